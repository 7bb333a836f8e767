-- Do users' estimates, plus (unattributed), add up to what CloudWatch counted?
-- Each row is an hour x account x region x endpoint x CloudWatch model where they do
-- not: estimated tokens of all kinds against CloudWatch's totals less the known ones
-- (kind by kind; 0 where CloudWatch counted less than is known).
with both_sides as (
    select
        {{ columns.each(columns.metric_model) }},
        max(total_tokens, known_tokens) - known_tokens as expected_tokens,
        0 as estimated_tokens
    from int_metric_residuals
    union all
    select
        usage.hour,
        usage.account_key,
        series.region_key,
        series.endpoint,
        series.cloudwatch_model_id,
        0 as expected_tokens,
        {{ columns.each(columns.estimates, 'coalesce(usage.{}, 0)', '\n+ ') }}
            as estimated_tokens
    from usage_hourly as usage
    inner join int_rate_series as series
        on
            series.account_key = usage.account_key
            and series.rate_key = usage.rate_key
)

select
    {{ columns.each(columns.metric_model) }},
    sum(expected_tokens) as expected_tokens,
    sum(estimated_tokens) as estimated_tokens
from both_sides
group by {{ columns.metric_model | join(', ') }}
having sum(expected_tokens) <> sum(estimated_tokens)
