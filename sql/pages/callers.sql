-- How many users does each application have, and what did one cost?
-- Grain: dimension (all, application) x name of what a user called with success, the
-- most expensive first. Filters as in usage: :since, :until, :regions, :models, :users,
-- :applications, :teams. Units: USD. cost_usd is that of all usage, usd_per_user its
-- part of a user. A user of two applications counts in both.

-- :_visitor_applications, :_visitor_teams: what the visitor may see, NULL for all.
with {{ filters.chosen_keys() }},

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

named as materialized (
    select
        names.application,
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
{% for dimension, name in (('all', "'(all)'"), ('application', 'application')) %}
    select
        '{{ dimension }}' as dimension,
        {{ name }} as name,
        count(distinct user_name) filter (where calls > 0) as users,
        round(sum(cost_microdollars) / 1e6, 9) as cost_usd
    from named
    group by 2
{% if not loop.last %}
    union all
{% endif %}
{% endfor %}
)

select
    dimension,
    name,
    users,
    cost_usd,
    round(cost_usd / users, 9) as usd_per_user
from final
where users > 0
order by dimension, cost_usd desc, name
