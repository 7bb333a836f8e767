-- How much is spent in each region?
-- Grain: one row per region the calls were made in, over all loaded data.
{{ costs.units() }}
{{ costs.totals('daily_costs_by_model', ['region']) }}
