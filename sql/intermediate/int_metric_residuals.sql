-- What is left of each CloudWatch total once the known tokens are taken off?
-- Grain: hour x account x region x endpoint x CloudWatch model x token kind; only where
-- CloudWatch has a total. residual_tokens = max(total - known, 0).
with totals as (
    select
        hour,
        account_key,
        region_key,
        endpoint,
        cloudwatch_model_id,
        metric_kind as token_kind,
        model_key,
        value as total_tokens,
        is_provisional
    from int_metric_hours
    where metric_kind <> 'calls'
),

attributed as (
    select
        usage.hour,
        usage.account_key,
        series.region_key,
        series.endpoint,
        series.cloudwatch_model_id,
        usage.token_kind,
        sum(usage.known_tokens) as known_tokens,
        sum(usage.unknown_calls) as unknown_calls
    from int_known_by_kind as usage
    inner join int_rate_series as series
        on
            series.account_key = usage.account_key
            and series.rate_key = usage.rate_key
    group by
        usage.hour,
        usage.account_key,
        series.region_key,
        series.endpoint,
        series.cloudwatch_model_id,
        usage.token_kind
),

final as (
    select
        totals.hour,
        totals.account_key,
        totals.region_key,
        totals.endpoint,
        totals.cloudwatch_model_id,
        totals.token_kind,
        totals.model_key,
        totals.total_tokens,
        coalesce(attributed.known_tokens, 0) as known_tokens,
        coalesce(attributed.unknown_calls, 0) as unknown_calls,
        max(totals.total_tokens - coalesce(attributed.known_tokens, 0), 0)
            as residual_tokens,
        totals.is_provisional
    from totals
    left join attributed
        on
            attributed.hour = totals.hour
            and attributed.account_key = totals.account_key
            and attributed.region_key = totals.region_key
            and attributed.endpoint = totals.endpoint
            and attributed.cloudwatch_model_id = totals.cloudwatch_model_id
            and attributed.token_kind = totals.token_kind
)

select * from final
