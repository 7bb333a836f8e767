-- What did the usage that a budget counts cost on each day?
-- Grain: budget x name x day with usage, from :since to :until, of budgets with
-- thresholds for their forecast. Units: USD, at the upper end where the budget counts
-- that.
with periods as materialized (
    select
        *,
        :since as first_day,
        :until as last_day,
        '' as yesterday,
        {{ budgets.source() }} as daily_costs
    from budgets
    where forecast_thresholds <> '[]'
),

spent as (
    {{ budgets.all_spent() }}
)

select
    budgets.budget,
    spent.name,
    spent.day,
    sum(
        iif(
            budgets.counts_upper_end,
            coalesce(spent.upper_picodollars, spent.cost_picodollars),
            spent.cost_picodollars
        ) / 1e12
    ) as cost_usd
from spent
inner join budgets on budgets.budget_number = spent.budget_number
group by budgets.budget, spent.name, spent.day
