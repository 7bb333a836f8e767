-- What does each hour's usage cost?
-- Grain: as int_usage_hourly.
{{ usage.priced_units() }}
{{ usage.priced(['hour', 'day'], 'int_usage_hourly') }}
