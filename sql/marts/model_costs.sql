-- How much does each model cost?
-- Grain: one row per canonical model id, over all loaded data.
{{ costs.units() }}
{{ costs.totals('daily_costs_by_model', ['model_id']) }}
