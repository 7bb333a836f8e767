-- What does AWS's bill charge, by user, application, team, region, model or day?
-- Grain: one row for each combination of the requested dimensions (:by_..., 1 or 0).
-- Units: USD, all kinds of charges. Filters as in pages/usage.
select
    iif(:by_day, day, null) as day,
    iif(:by_user, user_name, null) as user_name,
    iif(:by_application, application, null) as application,
    iif(:by_team, team, null) as team,
    iif(:by_region, region, null) as region,
    iif(:by_model, model_id, null) as model_id,
    {{ money.dollars('billed_cost_picodollars') }} as billed_cost_usd
from int_bill_lines
where
    {{ filters.days() }}
    and {{ filters.of_names() }}
    and {{ filters.chosen('users', 'user_name') }}
group by 1, 2, 3, 4, 5, 6
having count(*) > 0
order by 1, 2, 3, 4, 5, 6
