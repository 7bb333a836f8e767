-- Which models are in use, since when, and do they have a price?
-- Grain: one row per canonical model id. first_seen and last_seen are the UTC days of
-- the first and last call or CloudWatch total; (unattributed) usage adds no calls.
-- model_name and provider_name are NULL until sync has read Bedrock's catalogue, and
-- for models that it does not list.
with used as (
    select
        model_id,
        {{ costs.models() }}
    from daily_costs_by_model
    group by model_id
),

final as (
    select
        used.model_id,
        used.first_seen,
        used.last_seen,
        used.calls,
        used.failed_calls,
        used.region_count,
        used.regions,
        used.price_status,
        foundation_models.model_name,
        foundation_models.provider_name
    from used
    left join foundation_models on foundation_models.model_id = used.model_id
)

select * from final
