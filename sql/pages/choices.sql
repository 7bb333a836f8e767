-- Which regions, models, users, applications and teams can be selected?
-- Grain: kind x name, sorted. kind: region, model, user, application or team.
-- Only names with usage from :since to :until, UTC days, both included.

-- :_visitor_applications, :_visitor_teams: what the visitor may see, NULL for all.
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
    where {{ filters.visible('names.') }}
),

user_keys as (
    select distinct user_key from priced_daily_by_user
    where
        {{ filters.sees_all() }}
        and {{ filters.days() }}
    union
    select user_key from priced_daily
    where
        not ({{ filters.sees_all() }})
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
        'team' as kind,
        team as name
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
