-- What was used each hour, by whom, and how are the tokens known?
-- Grain: stg_usage_hourly row x data source, two at most.
{{ usage.known_caveats() }}

-- The hours come from usage_hours, which finds those of a day at once.
with parts as (
    select
        usage_hours.hour,
        usage_hours.day,
        {{ columns.each(columns.keys, 'usage.{}') }},
        usage.calls,
        usage.failed_calls,
        {{ columns.each(columns.counts, 'usage.{}') }},
        usage.estimated_calls,
        usage.estimated_by,
        {{ columns.each(columns.estimates, 'usage.{}') }},
        sources.data_source,
        sources.token_source_key = -1 as is_estimated
    from usage_hours
    cross join stg_usage_hourly as usage on usage.hour = usage_hours.hour
    -- Source -1 is CloudWatch.
    cross join token_sources as sources
        on sources.token_source_key in (usage.token_source_key, -1)
),

{{ usage.known(['hour', 'day']) }}
