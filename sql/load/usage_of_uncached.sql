-- How does each call of a batch count in the rollup, where none reports cached tokens?
-- Grain: one row per incoming call, as usage_of_incoming, which is slower.
select
    substr(incoming.event_time, 1, 13) || ':00:00Z' as hour,
    shapes.account_key,
    shapes.region_key,
    shapes.model_key,
    shapes.user_key,
    shapes.application_key,
    shapes.guardrail_use_key,
    coalesce(incoming.token_source_key, 0) as token_source_key,
    coalesce(incoming.token_tier, shapes.service_tier, 'standard') as service_tier,
    {{ tokens.context_band('incoming', has_cached=false) }} as min_input_tokens,
    coalesce(incoming.variant, '') as variant,
    shapes.error_code_key is null as calls,
    shapes.error_code_key is not null as failed_calls,
    {{ tokens.counted('incoming', 'shapes.error_code_key', has_cached=false) }}
from incoming
inner join call_shapes as shapes using (shape)
