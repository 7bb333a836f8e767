-- What does each team spend, by region and model?
-- Grain: team x region x model, over all loaded data. A shared application is split by
-- its fixed shares.
{{ costs.units(has_bounds=true) }}
{{ costs.totals('daily_costs_by_team', ['team', 'region', 'model_id'], has_bounds=true) }}
