-- title: Cost by application
-- description: What each application costs, most expensive first.
{{ filters.period_in_words() }}
-- parameters: date_from, date_to, regions, models
-- chart: bar x=cost_usd:quantitative y=application:ordinal color=data_source
{{ costs.period('daily_costs_by_application', ['application'], has_bounds=true) }}
order by cost_usd desc, calls desc, application
