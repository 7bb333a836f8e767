-- What does each day's usage cost?
-- Grain: as int_usage_daily.
{{ usage.priced_units() }}
{{ usage.priced(['day'], 'int_usage_daily', has_bounds=true) }}
