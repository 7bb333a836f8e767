-- Which application made a call, and for which team, given its model and the
-- application found for it?
-- Grain: model_key x application_key, which is an application of a team. An inference
-- profile that names its application ranks below a rule and a role name, and above the
-- user agent. model_id is the canonical id, raw_model_id the id as sent.
select
    models.model_key,
    applications.application_key,
    models.canonical_model_id as model_id,
    models.model_id as raw_model_id,
    models.inference_scope,
    {{ names.application('models', 'applications') }} as application,
    case
        when
            {{ names.is_profile('models', 'applications') }}
            then 'inference profile'
        else applications.application_source
    end as application_source,
    teams.team,
    teams.team_source
from int_models as models
inner join applications on true
inner join teams on teams.team_key = applications.team_key
