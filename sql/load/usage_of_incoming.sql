-- How does each call of a batch count in the rollup, before it is in events?
-- Grain: one row per incoming call. The columns are those of int_call_usage that a
-- rollup needs, and mean the same.
with usage as (
    select
        incoming.*,
        shapes.account_key,
        shapes.region_key,
        shapes.model_key,
        shapes.user_key,
        shapes.application_key,
        shapes.guardrail_use_key,
        shapes.error_code_key,
        shapes.service_tier,
        {{ tokens.of_cache('incoming', 'forms') }}
    from incoming
    inner join call_shapes as shapes using (shape)
    left join model_input_forms as forms on forms.model_key = shapes.model_key
)

select
    substr(event_time, 1, 13) || ':00:00Z' as hour,
    account_key,
    region_key,
    model_key,
    user_key,
    application_key,
    guardrail_use_key,
    coalesce(token_source_key, 0) as token_source_key,
    coalesce(token_tier, service_tier, 'standard') as service_tier,
    {{ tokens.context_band('usage') }} as min_input_tokens,
    coalesce(variant, '') as variant,
    error_code_key is null as calls,
    error_code_key is not null as failed_calls,
    {{ tokens.counted('usage', 'error_code_key') }}
from usage
