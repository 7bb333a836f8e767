-- How does each call count in the rollup?
-- Grain: one row per event. calls is 1 for a successful call, failed_calls for a failed
-- one. A failed call takes no part in an estimate, so it has no unknown counts.
-- input_tokens are without cached tokens where they are known to contain them.

-- This is the definition of usage_hourly: its rows are the sums of these, grouped by
-- hour, account, rate key, user, application and token source.
with usage as (
    select
        events.*,
        coalesce(tokens.token_source_key, 0) as token_source_key,
        coalesce(tokens.service_tier, events.service_tier, 'standard') as billed_tier,
        {{ columns.each(columns.counts, 'tokens.{}') }},
        coalesce(tokens.variant, '') as variant,
        {{ tokens.of_cache('tokens', 'forms') }}
    from events
    left join tokens
        on tokens.event_time = events.event_time and tokens.event_id = events.event_id
    left join model_input_forms as forms on forms.model_key = events.model_key
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
    {{ tokens.context_band('usage') }} as min_input_tokens,
    variant,
    error_code_key is null as calls,
    error_code_key is not null as failed_calls,
    {{ tokens.counted('usage', 'error_code_key') }},
    {{ tokens.input_form('usage') }} as input_form,
    usage.input_tokens as reported_input_tokens,
    request_id,
    operation_key,
    principal_key,
    session_key,
    user_agent_key,
    error_code_key,
    inference_region_key,
    request_metadata_key,
    guardrail_action,
    guardrail_use_key,
    reported_by
from usage
