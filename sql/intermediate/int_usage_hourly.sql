-- What was used each hour, by whom, and how is it known?
-- Grain: stg_usage_hourly row x data source, two at most: what calls are known to use
-- (or the calls of which nothing is known, with the failed ones), and what CloudWatch
-- estimates ((unattributed) usage and the estimated part of calls that know some of
-- their counts count no call). A token column is NULL where unknown. Estimated cache
-- writes are taken as 5-minute ones.
-- The hours come from usage_hours, where those of a day are found at once.
with parts as (
    select
        usage_hours.hour,
        usage_hours.day,
        usage.account_key,
        usage.rate_key,
        usage.user_key,
        usage.application_key,
        usage.token_source_key,
        usage.calls,
        usage.failed_calls,
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_tokens,
        usage.cache_write_5m_tokens,
        usage.cache_write_1h_tokens,
        usage.image_count,
        usage.estimated_calls,
        usage.estimated_input_tokens,
        usage.estimated_output_tokens,
        usage.estimated_cache_read_tokens,
        usage.estimated_cache_write_tokens,
        usage.estimated_image_count,
        sources.data_source,
        sources.token_source_key = -1 as is_estimated
    from usage_hours
    cross join stg_usage_hourly as usage on usage.hour = usage_hours.hour
    -- Source -1 is CloudWatch.
    cross join token_sources as sources
        on sources.token_source_key in (usage.token_source_key, -1)
),

final as (
    select
        hour,
        day,
        account_key,
        rate_key,
        user_key,
        application_key,
        token_source_key,
        data_source,
        case
            when is_estimated then estimated_calls
            when token_source_key = 0 then calls - estimated_calls
            else calls
        end as calls,
        iif(is_estimated, 0, failed_calls) as failed_calls,
        iif(is_estimated, estimated_input_tokens, input_tokens) as input_tokens,
        iif(is_estimated, estimated_output_tokens, output_tokens) as output_tokens,
        iif(is_estimated, estimated_cache_read_tokens, cache_read_tokens)
            as cache_read_tokens,
        iif(is_estimated, estimated_cache_write_tokens, cache_write_5m_tokens)
            as cache_write_5m_tokens,
        iif(is_estimated, null, cache_write_1h_tokens) as cache_write_1h_tokens,
        iif(is_estimated, estimated_image_count, image_count) as image_count
    from parts
    where
        case
            when is_estimated
                then
                    estimated_calls > 0
                    or estimated_input_tokens > 0
                    or estimated_output_tokens > 0
                    or estimated_cache_read_tokens > 0
                    or estimated_cache_write_tokens > 0
                    or estimated_image_count > 0
            when token_source_key = 0 then calls > estimated_calls or failed_calls > 0
            else true
        end
)

select * from final
