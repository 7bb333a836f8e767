-- Which regions and models does each user spend on?
-- Grain: user x region x model, over all that is loaded.
{{ costs.units() }}
{{ costs.totals('daily_costs_by_user', ['user_name', 'region', 'model_id']) }}
