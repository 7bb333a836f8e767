-- How much does each user spend?
-- Grain: one row per user, over all loaded data. (unattributed): usage that CloudWatch
-- counted and no known call accounts for.
{{ costs.units(has_bounds=true) }}
{{ costs.totals('daily_costs_by_user', ['user_name'], has_bounds=true) }}
