-- Which regions and models does each application spend on?
-- Grain: application x region x model, over all that is loaded.
{{ costs.units() }}
{{ costs.totals('daily_costs_by_application', ['application', 'region', 'model_id']) }}
