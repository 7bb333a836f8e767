-- How is it known which application made the calls?
-- Grain: application x evidence x user, of the days of a selection, most calls first.
-- Filters as in usage: :since, :until, :regions, :models, :users, :applications.
-- evidence: config rule, role name, inference profile, request metadata, user agent,
-- unknown.
-- :_visitor_applications: those that the visitor may see, NULL for all.
with named as (
    select
        rate_keys.rate_key,
        applications.application_key,
        regions.region,
        int_models.canonical_model_id as model_id,
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
    from rate_keys
    inner join regions on regions.region_key = rate_keys.region_key
    inner join int_models on int_models.model_key = rate_keys.model_key
    cross join applications
),

chosen as materialized (
    select
        rate_key,
        application_key,
        application,
        evidence
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
            coalesce(:applications, '') = ''
            or application in (select value from json_each(nullif(:applications, '')))
        )
        and (
            :_visitor_applications is null
            or application in (select value from json_each(:_visitor_applications))
        )
),

-- Only what is asked for is added up, and named when it is.
summed as (
    select
        rate_key,
        user_key,
        application_key,
        sum(calls) as calls,
        sum(failed_calls) as failed_calls
    from priced_daily
    where
        day between coalesce(:since, '') and coalesce(nullif(:until, ''), '9999')
        and (rate_key, application_key) in (
            select
                rate_key,
                application_key
            from chosen
        )
        and (
            coalesce(:users, '') = ''
            or user_key in (
                select users.user_key from users
                where
                    coalesce(users.alias, users.user_name) in (
                        select value from json_each(nullif(:users, ''))
                    )
            )
        )
    group by rate_key, user_key, application_key
)

select
    chosen.application,
    chosen.evidence,
    coalesce(users.alias, users.user_name) as user_name,
    sum(summed.calls) as calls,
    sum(summed.failed_calls) as failed_calls
from summed
inner join chosen
    on
        chosen.rate_key = summed.rate_key
        and chosen.application_key = summed.application_key
inner join users on users.user_key = summed.user_key
group by chosen.application, chosen.evidence, coalesce(users.alias, users.user_name)
order by calls desc, chosen.application, chosen.evidence, user_name
