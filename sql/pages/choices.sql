-- Which regions, models, users and applications can be chosen?
-- Grain: kind x name, names in their order; kind: region, model, user, application.
-- Only what has usage between :since and :until, UTC days, both inclusive.
-- :_visitor_applications: those that the visitor may see, NULL for all.
with used as (
    select distinct
        rate_key,
        application_key
    from priced_daily_by_application
    where day between coalesce(:since, '') and coalesce(nullif(:until, ''), '9999')
),

named as (
    select
        used.rate_key,
        used.application_key,
        regions.region,
        int_models.canonical_model_id as model_id,
        case
            -- Rank 3 is the inference profile's place among the evidence.
            when
                int_models.profile_application is not null
                and applications.source_rank > 3
                then int_models.profile_application
            else applications.application
        end as application
    from used
    inner join rate_keys on rate_keys.rate_key = used.rate_key
    inner join regions on regions.region_key = rate_keys.region_key
    inner join int_models on int_models.model_key = rate_keys.model_key
    inner join applications on applications.application_key = used.application_key
),

visible as (
    select * from named
    where
        :_visitor_applications is null
        or application in (select value from json_each(:_visitor_applications))
),

user_keys as (
    select distinct user_key from priced_daily_by_user
    where
        :_visitor_applications is null
        and day between coalesce(:since, '') and coalesce(nullif(:until, ''), '9999')
    union
    select user_key from priced_daily
    where
        :_visitor_applications is not null
        and day between coalesce(:since, '') and coalesce(nullif(:until, ''), '9999')
        and (rate_key, application_key) in (
            select
                rate_key,
                application_key
            from visible
        )
),

final as (
    select
        'region' as kind,
        region as name
    from visible
    union
    select
        'model' as kind,
        model_id as name
    from visible
    union
    select
        'application' as kind,
        application as name
    from visible
    union
    select
        'user' as kind,
        coalesce(users.alias, users.user_name) as name
    from user_keys
    inner join users on users.user_key = user_keys.user_key
)

select * from final
order by kind, lower(name), name
