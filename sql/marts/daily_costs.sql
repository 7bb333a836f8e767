-- How much is spent each day?
-- Grain: one row per UTC day, over all loaded data.
{{ costs.units() }}
{{ costs.totals('daily_costs_by_model', ['day']) }}
