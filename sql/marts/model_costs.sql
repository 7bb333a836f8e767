-- How much does each model cost?
-- Grain: one row per canonical model id, over all that is loaded.
{{ costs.units() }}
{{ costs.totals('daily_costs_by_model', ['model_id']) }}
