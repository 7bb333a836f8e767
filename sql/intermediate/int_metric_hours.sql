-- What did CloudWatch count in each hour, with nothing counted twice?
-- Grain: hour x account x region x endpoint x model as CloudWatch names it x kind.
-- Units: tokens, images or calls, depending on metric_kind.

-- This is the definition of metric_hourly. The same usage may be loaded with two period
-- lengths, under two names of one metric (the cache metrics have two) and under two
-- spellings of one model (an ARN and its tail). Part of an hour is never more than the
-- whole, so the largest value is used.
with period_sums as (
    select
        series_key,
        hour,
        period_seconds,
        sum(value) as value,
        max(is_provisional) as is_provisional
    from stg_metric_totals
    group by series_key, hour, period_seconds
),

counted_once as (
    select
        period_sums.hour,
        metric_series.account_key,
        metric_series.region_key,
        models.endpoint,
        models.cloudwatch_model_id,
        models.model_tail,
        metric_series.metric_kind,
        min(models.model_key) as model_key,
        max(period_sums.value) as value,
        max(period_sums.is_provisional) as is_provisional
    from period_sums
    inner join metric_series on metric_series.series_key = period_sums.series_key
    inner join models on models.model_key = metric_series.model_key
    group by
        period_sums.hour,
        metric_series.account_key,
        metric_series.region_key,
        models.endpoint,
        models.cloudwatch_model_id,
        models.model_tail,
        metric_series.metric_kind
),

-- An id with a context suffix (:200k) has a series separate from the plain id's.
final as (
    select
        {{ columns.each(columns.metric_hour) }},
        min(model_key) as model_key,
        sum(value) as value,
        max(is_provisional) as is_provisional
    from counted_once
    group by {{ columns.metric_hour | join(', ') }}
)

select * from final
