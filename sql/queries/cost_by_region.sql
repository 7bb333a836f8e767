-- title: Cost by region
-- description: What is spent in each region, by where the calls were made.
{{ filters.period_in_words() }}
-- parameters: date_from, date_to, regions, models
-- chart: bar x=cost_usd:quantitative y=region:ordinal color=data_source
{{ costs.period('daily_costs_by_model', ['region']) }}
order by cost_usd desc, calls desc, region
