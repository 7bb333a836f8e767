-- Which region, model, application and team belong to a rate key and a found
-- application?
-- Grain: rate_key x application_key.
select
    rate_keys.rate_key,
    int_applications.application_key,
    rate_keys.model_key,
    regions.region,
    int_applications.model_id,
    int_applications.application,
    int_applications.application_source,
    int_applications.team,
    int_applications.team_source
from rate_keys
inner join regions on regions.region_key = rate_keys.region_key
inner join int_applications on int_applications.model_key = rate_keys.model_key
