-- What does AWS's bill charge each team, where shared applications are split?
-- Grain: one row for each combination of the requested dimensions (:by_team,
-- :by_region, :by_model, 1 or 0). Units: USD, all kinds of charges. Filters as in
-- reports/usage_by_team.
select
    iif(:by_team, team, null) as team,
    iif(:by_region, region, null) as region,
    iif(:by_model, model_id, null) as model_id,
    {{ money.dollars('billed_cost_picodollars') }} as billed_cost_usd
from int_bill_team_lines
where
    {{ filters.days() }}
    and {{ filters.of_names() }}
group by 1, 2, 3
having count(*) > 0
order by 1, 2, 3
