-- What did guardrails charge that no other cost has?
-- Grain: one row. Units: text units and images together; USD, for units with a price.
-- unknown_calls: those with a guardrail whose units nothing shows.

-- :_visitor_applications, :_visitor_teams: what the visitor may see, NULL for all.
select
    coalesce(sum(units), 0) as units,
    sum(cost_picodollars) / 1e12 as cost_usd,
    coalesce(sum(units) filter (where missing = 'price'), 0) as unpriced_units,
    coalesce(sum(calls) filter (where missing = 'units'), 0) as unknown_calls
from guardrail_usage
where
    {{ filters.days() }}
    and {{ filters.chosen('regions', 'region') }}
    and {{ filters.chosen('models', 'model_id') }}
    and {{ filters.chosen('users', 'user_name') }}
    and {{ filters.chosen('applications', 'application') }}
    and {{ filters.chosen('teams', 'team') }}
    and {{ filters.visible() }}
