-- How does each call enter the rollup? The definition of usage_hourly: its rows are the
-- sums of these, grouped by hour, account, rate key, user, application and token
-- source.
-- Grain: one row per event. calls is 1 for a successful call, failed_calls for a failed
-- one; a failed call has no unknown counts, because it takes no part in an estimate.
with usage as (
    select
        events.*,
        coalesce(tokens.token_source_key, 0) as token_source_key,
        coalesce(tokens.service_tier, events.service_tier, 'standard') as billed_tier,
        tokens.input_tokens,
        tokens.output_tokens,
        tokens.cache_read_tokens,
        tokens.cache_write_5m_tokens,
        tokens.cache_write_1h_tokens,
        tokens.image_count
    from events
    left join tokens
        on tokens.event_time = events.event_time and tokens.event_id = events.event_id
)

select
    event_time,
    event_id,
    substr(event_time, 1, 13) || ':00:00Z' as hour,
    account_key,
    region_key,
    model_key,
    user_key,
    application_key,
    token_source_key,
    billed_tier as service_tier,
    -- The size of the request decides its rate: the largest threshold that it exceeds.
    coalesce(
        (
            select max(context_bands.min_input_tokens)
            from context_bands
            where
                context_bands.min_input_tokens
                < coalesce(input_tokens, 0)
                + coalesce(cache_read_tokens, 0)
                + coalesce(cache_write_5m_tokens, 0)
                + coalesce(cache_write_1h_tokens, 0)
        ),
        0
    ) as min_input_tokens,
    error_code_key is null as calls,
    error_code_key is not null as failed_calls,
    input_tokens,
    output_tokens,
    cache_read_tokens,
    cache_write_5m_tokens,
    cache_write_1h_tokens,
    image_count,
    error_code_key is null and input_tokens is null as input_unknown_calls,
    error_code_key is null and output_tokens is null as output_unknown_calls,
    error_code_key is null and cache_read_tokens is null as cache_read_unknown_calls,
    error_code_key is null
    and cache_write_5m_tokens is null
    and cache_write_1h_tokens is null as cache_write_unknown_calls,
    error_code_key is null and image_count is null as image_unknown_calls,
    request_id,
    operation_key,
    principal_key,
    session_key,
    user_agent_key,
    error_code_key,
    inference_region_key,
    request_metadata_key,
    guardrail_action,
    reported_by
from usage
