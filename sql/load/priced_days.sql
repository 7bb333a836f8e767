-- What does each day's usage cost, at the rates in priced_rates?
-- Grain: as int_usage_daily, with the columns of int_usage_daily_priced.
-- The days are priced with the rates that were just compared: looking them up takes
-- SQLite a third of the time of working them out.
{{ usage.priced(['day'], 'int_usage_daily', has_bounds=true, rates_in='priced_rates') }}
