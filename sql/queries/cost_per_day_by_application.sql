-- title: Cost per day, by application
-- description: What each application costs each day, stacked.
{{ filters.period_in_words() }}
-- parameters: date_from, date_to, regions, models
-- chart: bar x=day:ordinal y=cost_usd:quantitative color=application
{{ costs.period('daily_costs_by_application', ['day', 'application'], has_bounds=true) }}
order by day, cost_usd desc, calls desc, application
