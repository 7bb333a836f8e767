-- How much does each user spend?
-- Grain: one row per user, over all that is loaded.
{{ costs.units() }}
-- (unattributed) is usage that CloudWatch saw but no known call can take.
{{ costs.totals('daily_costs_by_user', ['user_name']) }}
