-- How much does each application spend?
-- Grain: one row per application, over all loaded data. Unknown: nothing names an
-- application. (unattributed): no known call accounts for the usage.
{{ costs.units(has_bounds=true) }}
{{ costs.totals('daily_costs_by_application', ['application'], has_bounds=true) }}
