-- How much is spent each day?
-- Grain: one row per UTC day, over all that is loaded.
{{ costs.units() }}
{{ costs.totals('daily_costs_by_model', ['day']) }}
