-- Which price did a kind of token of a call nearly match?
-- Grain: one row of the view price_gaps, or none.
with call as (
    select
        int_models.canonical_model_id as model_id,
        int_models.inference_scope,
        regions.region,
        usage.service_tier,
        usage.min_input_tokens,
        substr(usage.event_time, 1, 10) as day,
        {{ columns.by_variant(':token_kind', 'usage.variant') }} as token_kind
    from int_call_usage as usage
    inner join int_models on int_models.model_key = usage.model_key
    inner join regions on regions.region_key = usage.region_key
    where usage.event_time = :event_time and usage.event_id = :event_key
)

select
    gaps.missing,
    gaps.near_price,
    gaps.near_price_id,
    gaps.near_usd_per_mtok,
    gaps.command
from call
inner join price_gaps as gaps
    on
        gaps.model_id = call.model_id
        and gaps.region = call.region
        and gaps.inference_scope = call.inference_scope
        and gaps.service_tier = call.service_tier
        and gaps.min_input_tokens = call.min_input_tokens
        and gaps.token_kind = call.token_kind
        and call.day between gaps.first_day and gaps.last_day
-- Two gaps may overlap: one has days before and after the other.
order by gaps.first_day desc
limit 1
