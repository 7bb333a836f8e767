-- title: Cost by model
-- description: What each model costs, most expensive first.
{{ filters.period_in_words() }}
-- parameters: date_from, date_to, regions, models
-- chart: bar x=cost_usd:quantitative y=model_id:ordinal color=data_source
{{ costs.period('daily_costs_by_model', ['model_id']) }}
order by cost_usd desc, calls desc, model_id
