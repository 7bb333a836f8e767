-- Are the stored estimates what the totals and the calls come to today?
-- Each row is an hour, account, rate key and user whose stored estimate differs.
with both_sides as (
    select
        hour,
        account_key,
        rate_key,
        user_key,
        application_key,
        estimated_tokens
    from int_estimates
    union all
    select
        unattributed.hour,
        unattributed.account_key,
        unattributed.rate_key,
        users.user_key,
        applications.application_key,
        unattributed.residual_tokens
    from int_unattributed as unattributed
    left join users on users.user_name = '(unattributed)'
    left join applications on applications.application = '(unattributed)'
    union all
    select
        hour,
        account_key,
        rate_key,
        user_key,
        application_key,
        -coalesce(estimated_input_tokens, 0)
        - coalesce(estimated_output_tokens, 0)
        - coalesce(estimated_cache_read_tokens, 0)
        - coalesce(estimated_cache_write_tokens, 0)
        - coalesce(estimated_image_count, 0)
    from usage_hourly
)

select
    hour,
    account_key,
    rate_key,
    user_key,
    application_key,
    sum(estimated_tokens) as missing_tokens
from both_sides
group by hour, account_key, rate_key, user_key, application_key
having sum(estimated_tokens) <> 0
