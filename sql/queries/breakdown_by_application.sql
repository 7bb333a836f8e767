-- title: Applications by region and model
-- description: What each application spends, by region and model, highest spend
--   first.
{{ filters.period_in_words() }}
-- parameters: date_from, date_to, regions, models
-- chart: bar x=cost_usd:quantitative y=application:ordinal color=model_id
{{ costs.period_breakdown('daily_costs_by_application', 'application') }}
