-- How many users does each application have, and what did one cost?
-- Grain: application that a user called for with success; with :by_application
-- 0, NULL or blank one row for all of them, if there are any. Filters as in usage:
-- :since, :until, :regions, :models, :users, :applications, :teams. Units: USD. The
-- cost is that of all usage of the application, usd_per_user is its part of a user.

-- :_visitor_applications, :_visitor_teams: what the visitor may see, NULL for all.
with chosen as materialized (
    select
        rate_key,
        application_key
    from int_names
    where
        {{ filters.of_names() }}
        and {{ filters.visible() }}
),

-- By key first: days have many rows.
summed as materialized (
    select
        rate_key,
        application_key,
        user_key,
        sum(calls) as calls,
        sum(cost_picodollars / 1000000) as cost_microdollars,
        sum(cost_picodollars % 1000000) as cost_rest
    from priced_daily
    where
        {{ filters.of_chosen() }}
    group by rate_key, application_key, user_key
),

named as (
    select
        iif(:by_application, names.application, null) as application,
        users.user_name,
        summed.calls,
        summed.cost_microdollars + summed.cost_rest / 1e6 as cost_microdollars
    from summed
    inner join int_names as names
        on
            names.rate_key = summed.rate_key
            and names.application_key = summed.application_key
    inner join stg_users as users on users.user_key = summed.user_key
),

final as (
    select
        application,
        count(distinct user_name) filter (where calls > 0) as users,
        round(sum(cost_microdollars) / 1e6, 9) as cost_usd
    from named
    group by application
)

select
    application,
    users,
    cost_usd,
    round(cost_usd / users, 9) as usd_per_user
from final
where users > 0
order by cost_usd desc, application
