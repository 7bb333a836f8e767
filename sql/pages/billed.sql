-- What does AWS's bill charge on the days that are closed, and what did we compute?
-- Grain: closed day. Units: USD. No row for visitors that may not see all. A cost is
-- NULL where there is none.

-- :_visitor_applications, :_visitor_teams: what the visitor may see, NULL for all.
with closed as materialized (
    select distinct bill_days.day
    from bill_days
    inner join int_bill_closed as months on months.month_key = bill_days.month_key
    where
        bill_days.day <= months.closed_until
        and {{ filters.days('bill_days.day') }}
        and {{ filters.sees_all() }}
),

billed as (
    select
        day,
        {{ money.dollars('billed_cost_picodollars') }} as billed_cost_usd
    from int_bill_lines
    where
        day in (select day from closed)
        and {{ filters.chosen('regions', 'region') }}
        and {{ filters.chosen('models', 'model_id') }}
        and {{ filters.chosen('users', 'user_name') }}
        and {{ filters.chosen('applications', 'application') }}
        and {{ filters.chosen('teams', 'team') }}
    group by day
),

ours as (
    select
        closed.day,
        {{ money.dollars('cost_picodollars') }} as our_cost_usd
    from closed
    cross join daily_costs_by_user_and_application as costs on costs.day = closed.day
    where
        {{ filters.chosen('regions', 'costs.region') }}
        and {{ filters.chosen('models', 'costs.model_id') }}
        and {{ filters.chosen('users', 'costs.user_name') }}
        and {{ filters.chosen('applications', 'costs.application') }}
        and {{ filters.chosen('teams', 'costs.team') }}
    group by closed.day
)

select
    closed.day,
    billed.billed_cost_usd,
    ours.our_cost_usd
from closed
left join billed on billed.day = closed.day
left join ours on ours.day = closed.day
order by closed.day
