-- Where CloudTrail and the invocation log both know a call's tokens, do they agree?
-- Grain: day x region x model; only calls whose tokens both tell. Units: calls; tokens.
-- The log's counts are the ones that count. *_difference_tokens = log less CloudTrail,
-- over the calls where both know that kind.
with compared as (
    select
        substr(said.event_time, 1, 10) as day,
        regions.region,
        int_models.canonical_model_id as model_id,
        tokens.input_tokens - said.input_tokens as input_difference,
        tokens.output_tokens - said.output_tokens as output_difference,
        tokens.cache_read_tokens - said.cache_read_tokens as cache_read_difference,
        tokens.cache_write_5m_tokens
        + coalesce(tokens.cache_write_1h_tokens, 0)
        - said.cache_write_5m_tokens
        - coalesce(said.cache_write_1h_tokens, 0) as cache_write_difference
    from cloudtrail_tokens as said
    -- cross join: these calls first, then each of them by its key.
    cross join tokens
        on tokens.event_time = said.event_time and tokens.event_id = said.event_id
    cross join events
        on events.event_time = said.event_time and events.event_id = said.event_id
    inner join regions on regions.region_key = events.region_key
    inner join int_models on int_models.model_key = events.model_key
),

final as (
    select
        day,
        region,
        model_id,
        count(*) as calls_compared,
        sum(
            coalesce(input_difference, 0) <> 0
            or coalesce(output_difference, 0) <> 0
            or coalesce(cache_read_difference, 0) <> 0
            or coalesce(cache_write_difference, 0) <> 0
        ) as calls_that_differ,
        coalesce(sum(input_difference), 0) as input_difference_tokens,
        coalesce(sum(output_difference), 0) as output_difference_tokens,
        coalesce(sum(cache_read_difference), 0) as cache_read_difference_tokens,
        coalesce(sum(cache_write_difference), 0) as cache_write_difference_tokens
    from compared
    group by day, region, model_id
)

select * from final
