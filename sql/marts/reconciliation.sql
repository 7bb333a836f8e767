-- Do the tokens given to users add up to what CloudWatch counted?
-- Grain: day x region x model. Units: tokens of all kinds (input, output, cache).
-- difference = actual + estimated + unattributed - CloudWatch. It is 0 where CloudWatch
-- covers every hour, above 0 where calls report more than CloudWatch counted or
-- CloudWatch lacks hours, and NULL where CloudWatch has no figures.
with attributed as (
    select
        day,
        region,
        model_id,
        sum(actual_tokens) as actual_tokens,
        sum(estimated_tokens) filter (where application <> '(unattributed)')
            as estimated_tokens,
        sum(estimated_tokens) filter (where application = '(unattributed)')
            as unattributed_tokens
    from daily_costs_by_application
    group by day, region, model_id
),

by_hour as (
    select
        substr(hour, 1, 10) as day,
        region_key,
        min(model_key) as model_key,
        sum(value)
        filter (
            where
                metric_kind in (
                    {{ columns.each(columns.kinds_of_tokens | map(attribute='name'), "'{}'") }}
                )
        ) as tokens,
        sum(value) filter (where metric_kind = '{{ columns.input_kind }}') as input_tokens,
        sum(value)
        filter (where metric_kind in ({{ columns.each(columns.cache_kinds, "'{}'", ', ') }}))
            as cached_tokens,
        sum(value) filter (where metric_kind = 'calls') as calls,
        max(is_provisional) as is_provisional
    from metric_hourly
    group by {{ columns.metric_model | join(', ') }}
),

cloudwatch as (
    select
        by_hour.day,
        regions.region,
        int_models.canonical_model_id as model_id,
        -- The lowest bit is CloudWatch's: its input has the cached tokens in it.
        sum(by_hour.tokens)
        - sum(
            iif(
                forms.gross_sources & 1,
                coalesce(min(by_hour.input_tokens, by_hour.cached_tokens), 0),
                0
            )
        ) as cloudwatch_tokens,
        sum(by_hour.calls) as cloudwatch_calls,
        max(by_hour.is_provisional) as is_provisional
    from by_hour
    inner join regions on regions.region_key = by_hour.region_key
    inner join int_models on int_models.model_key = by_hour.model_key
    left join model_input_forms as forms on forms.model_key = by_hour.model_key
    group by by_hour.day, regions.region, int_models.canonical_model_id
),

final as (
    select
        attributed.day,
        attributed.region,
        attributed.model_id,
        attributed.actual_tokens,
        attributed.estimated_tokens,
        attributed.unattributed_tokens,
        cloudwatch.cloudwatch_tokens,
        cloudwatch.cloudwatch_calls,
        coalesce(attributed.actual_tokens, 0)
        + coalesce(attributed.estimated_tokens, 0)
        + coalesce(attributed.unattributed_tokens, 0)
        - cloudwatch.cloudwatch_tokens as difference_tokens,
        cloudwatch.is_provisional
    from attributed
    left join cloudwatch
        on
            cloudwatch.day = attributed.day
            and cloudwatch.region = attributed.region
            and cloudwatch.model_id = attributed.model_id
)

select * from final
