-- Which CloudWatch model counts the calls of each account and rate key?
-- Grain: account x rate key. It is the id as sent (its tail, with the geo prefix) where
-- CloudWatch has it in that account and region, else the canonical id. It is never
-- another profile.
with cloudwatch_models as (
    select distinct
        metric_series.account_key,
        metric_series.region_key,
        models.endpoint,
        models.cloudwatch_model_id
    from metric_series
    inner join models on models.model_key = metric_series.model_key
),

candidates as (
    select
        cloudwatch_models.account_key,
        rate_keys.rate_key,
        rate_keys.region_key,
        cloudwatch_models.endpoint,
        cloudwatch_models.cloudwatch_model_id,
        cloudwatch_models.cloudwatch_model_id = int_models.cloudwatch_model_id
            as is_exact
    from rate_keys
    inner join int_models on int_models.model_key = rate_keys.model_key
    inner join cloudwatch_models
        on
            cloudwatch_models.region_key = rate_keys.region_key
            and cloudwatch_models.endpoint = int_models.endpoint
            and cloudwatch_models.cloudwatch_model_id
            in (int_models.cloudwatch_model_id, int_models.canonical_model_id)
    -- A batch job uses its tokens later and elsewhere.
    where rate_keys.service_tier <> 'batch'
),

final as (
    select
        account_key,
        rate_key,
        region_key,
        endpoint,
        cloudwatch_model_id,
        -- SQLite takes the other columns from the row that has the maximum.
        max(is_exact) as is_exact
    from candidates
    group by account_key, rate_key
)

select * from final
