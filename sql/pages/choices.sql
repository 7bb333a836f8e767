-- Which regions, models, users and applications can be selected?
-- Grain: kind x name, sorted. kind: region, model, user or application.
-- Only names with usage from :since to :until, UTC days, both included.

-- :_visitor_applications: those that the visitor may see, NULL for all.
with used as (
    select distinct
        rate_key,
        application_key
    from priced_daily_by_application
    where {{ filters.days() }}
),

visible as (
    select names.*
    from used
    inner join int_names as names
        on
            names.rate_key = used.rate_key
            and names.application_key = used.application_key
    where {{ filters.visible('names.application') }}
),

user_keys as (
    select distinct user_key from priced_daily_by_user
    where
        :_visitor_applications is null
        and {{ filters.days() }}
    union
    select user_key from priced_daily
    where
        :_visitor_applications is not null
        and {{ filters.days() }}
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
        users.user_name as name
    from user_keys
    inner join stg_users as users on users.user_key = user_keys.user_key
)

select * from final
order by kind, lower(name), name
