-- What does each user spend, by region and model?
-- Grain: user x region x model, over all loaded data.
{{ costs.units(has_bounds=true) }}
{{ costs.totals('daily_costs_by_user', ['user_name', 'region', 'model_id'], has_bounds=true) }}
