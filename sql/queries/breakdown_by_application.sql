-- title: Applications by region and model
-- description: What each application spends, by region and model, highest spend
--   first.
{{ filters.period_in_words() }}
-- parameters: date_from, date_to, regions, models
-- chart: bar x=cost_usd:quantitative y=application:ordinal color=model_id
{{ costs.period('daily_costs_by_application', ['application', 'region', 'model_id']) }}
order by
    sum(sum(cost_picodollars / 1000000)) over (partition by application) desc,
    application,
    cost_usd desc,
    calls desc,
    region,
    model_id
