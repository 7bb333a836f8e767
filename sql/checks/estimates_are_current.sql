-- Do the stored estimates match the current totals and calls?
-- Each row is an hour, account, rate key and user with a different stored estimate, or
-- one by another method (as usage_hourly.estimated_by).
{% set key = ['hour', 'account_key', 'rate_key', 'user_key', 'application_key'] %}
with both_sides as (
    select
        {{ columns.each(key) }},
        estimated_tokens,
        method,
        null as stored_method
    from int_estimates
    union all
    select
        unattributed.hour,
        unattributed.account_key,
        unattributed.rate_key,
        users.user_key,
        applications.application_key,
        unattributed.residual_tokens,
        null as method,
        null as stored_method
    from int_unattributed as unattributed
    left join users on users.user_name = '(unattributed)'
    left join applications on applications.application = '(unattributed)'
    union all
    select
        {{ columns.each(key) }},
        {{ columns.each(columns.estimates + [columns.cached_input], '-coalesce({}, 0)', '\n') }},
        null as method,
        estimated_by as stored_method
    from usage_hourly
)

select
    {{ columns.each(key) }},
    sum(estimated_tokens) as missing_tokens,
    max(method) as method,
    max(stored_method) as stored_method
from both_sides
group by {{ key | join(', ') }}
having sum(estimated_tokens) <> 0 or max(method) is not max(stored_method)
