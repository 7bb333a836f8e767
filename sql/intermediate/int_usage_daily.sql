-- What was used each day, by whom, and how are the tokens known?
-- Grain: stg_usage_daily row x data source, two at most.
{{ usage.known_caveats() }}
with parts as (
    select
        usage.*,
        sources.data_source,
        sources.token_source_key = -1 as is_estimated
    from stg_usage_daily as usage
    -- Source -1 is CloudWatch.
    cross join token_sources as sources
        on sources.token_source_key in (usage.token_source_key, -1)
),

{{ usage.known(['day']) }}
