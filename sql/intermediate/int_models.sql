-- Which model does each model id as sent stand for?
-- Grain: one row per model id as sent. A loaded application inference profile resolves
-- to its model, scope and application. Until it is loaded, it stands for itself.
with application_profiles as (
    -- One row per profile id, even if two accounts share one.
    select
        profile_id,
        min(profile_arn) as profile_arn
    from inference_profiles
    where application is not null
    group by profile_id
),

resolved as (
    select
        models.model_key,
        models.endpoint,
        models.model_id,
        models.cloudwatch_model_id,
        coalesce(target.canonical_model_id, models.canonical_model_id)
            as canonical_model_id,
        coalesce(profile.inference_scope, models.inference_scope) as inference_scope,
        coalesce(target.model_key, models.model_key) as price_model_key,
        profile.application as profile_application,
        -- Paid by the hour, whatever the calls use: no price per token applies.
        models.model_id like 'arn:%:provisioned-model/%' as is_provisioned
    from models
    left join application_profiles
        on application_profiles.profile_id = models.model_tail
    left join inference_profiles as profile
        on profile.profile_arn = application_profiles.profile_arn
    left join models as target on target.model_key = profile.model_key
)

select * from resolved
