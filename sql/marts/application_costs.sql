-- How much does each application spend?
-- Grain: one row per application, over all that is loaded.
{{ costs.units() }}
-- Unknown: no rule found an application; (unattributed): no known call can take it.
{{ costs.totals('daily_costs_by_application', ['application']) }}
