-- What does AWS's bill charge on the days that are closed, and what did we compute?
-- Grain: closed day, of the accounts whose day is closed. Units: USD. No row for
-- visitors that may not see all. A cost is NULL where there is none.

-- :_visitor_applications, :_visitor_teams: what the visitor may see, NULL for all.
with covered as (
    select
        *,
        min(closed_until) over (partition by month, account_id) as all_closed_until
    from int_bill_covered
),

closed as materialized (
    select distinct
        bill_days.day,
        covered.account_id,
        covered.account_key
    from covered
    inner join bill_days on bill_days.month_key = covered.month_key
    where
        bill_days.day <= covered.all_closed_until
        -- Another month's bill may have a correction of the day.
        and bill_days.day >= covered.month || '-01'
        and {{ filters.days('bill_days.day') }}
        and {{ filters.sees_all() }}
),

billed as (
    select
        closed.day,
        {{ money.dollars('lines.billed_cost_picodollars') }} as billed_cost_usd
    from closed
    inner join int_bill_lines as lines
        on lines.day = closed.day and lines.account_id = closed.account_id
    where
        {{ filters.of_names('lines.') }}
        and {{ filters.chosen('users', 'lines.user_name') }}
    group by closed.day
),

ours as (
    select
        closed.day,
        {{ money.dollars('costs.cost_picodollars') }} as our_cost_usd
    from closed
    cross join priced_daily as costs
        on costs.day = closed.day and costs.account_key = closed.account_key
    inner join int_names as names
        on
            names.rate_key = costs.rate_key
            and names.application_key = costs.application_key
    inner join stg_users as users on users.user_key = costs.user_key
    where
        {{ filters.of_names('names.') }}
        and {{ filters.chosen('users', 'users.user_name') }}
    group by closed.day
),

days as (
    select distinct day from closed
)

select
    days.day,
    billed.billed_cost_usd,
    ours.our_cost_usd
from days
left join billed on billed.day = days.day
left join ours on ours.day = days.day
order by days.day
