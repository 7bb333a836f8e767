-- title: Cost per day
-- description: What is spent each day.
{{ filters.period_in_words() }}
-- parameters: date_from, date_to, regions, models
-- chart: bar x=day:ordinal y=cost_usd:quantitative
{{ costs.period('daily_costs_by_model', ['day']) }}
order by day
