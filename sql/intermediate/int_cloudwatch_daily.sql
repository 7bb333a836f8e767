-- What did CloudWatch count each day?
-- Grain: day x account x region x model as CloudWatch names it, whose first model_key
-- stands for it. Units: tokens of all kinds, without what the cache had or took where
-- CloudWatch's input contains it; calls.
with by_hour as (
    select
        substr(hour, 1, 10) as day,
        account_key,
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
)

select
    by_hour.day,
    by_hour.account_key,
    by_hour.region_key,
    by_hour.model_key,
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
left join model_input_forms as forms on forms.model_key = by_hour.model_key
group by by_hour.day, by_hour.account_key, by_hour.region_key, by_hour.model_key
