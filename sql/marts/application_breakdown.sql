-- What does each application spend, by region and model?
-- Grain: application x region x model, over all loaded data.
{{ costs.units(has_bounds=true) }}
{{ costs.totals('daily_costs_by_application', ['application', 'region', 'model_id'], has_bounds=true) }}
