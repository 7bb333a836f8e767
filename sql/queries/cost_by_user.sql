-- title: Cost by user
-- description: What each user spends, highest spend first.
{{ filters.period_in_words() }}
-- parameters: date_from, date_to, regions, models
-- chart: bar x=cost_usd:quantitative y=user_name:ordinal color=data_source
{{ costs.period('daily_costs_by_user', ['user_name'], has_bounds=true) }}
order by cost_usd desc, calls desc, user_name
