-- How is it known which application made the calls?
-- Grain: application x evidence x user, of the days of a selection, most calls first.
-- Filters as in usage: :since, :until, :regions, :models, :users, :applications.
-- evidence: config rule, role name, inference profile, request metadata, user agent,
-- unknown.
-- :_visitor_applications: those that the visitor may see, NULL for all.
with named as (
    select
        costs.calls,
        costs.failed_calls,
        regions.region,
        int_models.canonical_model_id as model_id,
        coalesce(users.alias, users.user_name) as user_name,
        case
            -- Rank 3 is the inference profile's place among the evidence.
            when
                int_models.profile_application is not null
                and applications.source_rank > 3
                then int_models.profile_application
            else applications.application
        end as application,
        case
            when
                int_models.profile_application is not null
                and applications.source_rank > 3
                then 'inference profile'
            else applications.application_source
        end as evidence
    from priced_daily as costs
    inner join rate_keys on rate_keys.rate_key = costs.rate_key
    inner join regions on regions.region_key = rate_keys.region_key
    inner join int_models on int_models.model_key = rate_keys.model_key
    inner join users on users.user_key = costs.user_key
    inner join applications on applications.application_key = costs.application_key
    where
        costs.day between coalesce(:since, '') and coalesce(nullif(:until, ''), '9999')
)

select
    application,
    evidence,
    user_name,
    sum(calls) as calls,
    sum(failed_calls) as failed_calls
from named
where
    (
        coalesce(:regions, '') = ''
        or region in (select value from json_each(nullif(:regions, '')))
    )
    and (
        coalesce(:models, '') = ''
        or model_id in (select value from json_each(nullif(:models, '')))
    )
    and (
        coalesce(:users, '') = ''
        or user_name in (select value from json_each(nullif(:users, '')))
    )
    and (
        coalesce(:applications, '') = ''
        or application in (select value from json_each(nullif(:applications, '')))
    )
    and (
        :_visitor_applications is null
        or application in (select value from json_each(:_visitor_applications))
    )
group by application, evidence, user_name
order by calls desc, application, evidence, user_name
