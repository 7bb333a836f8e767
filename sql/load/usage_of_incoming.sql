-- How does each call of a batch count in the rollup, before it is in events?
-- Grain: one row per incoming call. The columns are those of int_call_usage that a
-- rollup needs, and mean the same.
select
    substr(incoming.event_time, 1, 13) || ':00:00Z' as hour,
    shapes.account_key,
    shapes.region_key,
    shapes.model_key,
    shapes.user_key,
    shapes.application_key,
    coalesce(incoming.token_source_key, 0) as token_source_key,
    coalesce(incoming.token_tier, shapes.service_tier, 'standard') as service_tier,
    {{ tokens.context_band('incoming') }} as min_input_tokens,
    shapes.error_code_key is null as calls,
    shapes.error_code_key is not null as failed_calls,
    {{ tokens.counted('incoming', 'shapes.error_code_key') }}
from incoming
inner join call_shapes as shapes using (shape)
