-- Which application is meant, by the model and by the application that was found?
-- Grain: models.model_key x applications.application_key. An inference profile that
-- names its application comes before what the user agent tells, and after a rule and a
-- role. model_id is the canonical id, raw_model_id the one as sent.
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
    end as application_source
from int_models as models
inner join applications on true
