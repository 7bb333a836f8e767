-- How much of the tokens is known, and how?
-- Grain: day x account x rate key x user x application, and a row for each hour's
-- estimate that is not by calls alone. Units: calls; tokens of all kinds. Everything
-- that tells it sums these rows.

-- shared_tokens are what callers get of CloudWatch's, single_caller_tokens and
-- calibrated_tokens included, which are in rows of hours. Their sum is fast, grouping
-- them is not. Without calibrations, no hours are read.
with unattributed as (
    select application_key from applications
    where application = '(unattributed)'
),

final as (
    select
        day,
        account_key,
        rate_key,
        user_key,
        application_key,
        calls,
        failed_calls,
        calls_with_tokens,
        actual_tokens,
        iif(
            application_key in (select application_key from unattributed),
            null,
            estimated_tokens
        ) as shared_tokens,
        null as single_caller_tokens,
        null as calibrated_tokens,
        iif(
            application_key in (select application_key from unattributed),
            estimated_tokens,
            null
        ) as unattributed_tokens,
        unpriced_tokens
    from priced_daily
    union all
    select
        usage_hours.day,
        usage.account_key,
        usage.rate_key,
        usage.user_key,
        usage.application_key,
        null as calls,
        null as failed_calls,
        null as calls_with_tokens,
        null as actual_tokens,
        null as shared_tokens,
{% for method in estimates.methods[:-1] %}
        iif(
            usage.estimated_by = {{ loop.index }},
            {{ columns.each(columns.kinds_of_tokens | map(attribute='estimate'), 'coalesce(usage.{}, 0)', '\n+ ') }},
            null
        ) as {{ method | replace(' ', '_') }}_tokens,
{% endfor %}
        null as unattributed_tokens,
        null as unpriced_tokens
    from usage_hours
    cross join usage_hourly as usage on usage.hour = usage_hours.hour
    where
        usage.estimated_by < {{ estimates.by_calls }}
        and exists (select 1 from calibrations)
)

select * from final
