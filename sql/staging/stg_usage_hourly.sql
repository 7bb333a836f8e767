-- What is known and estimated of each hour's calls, without prices?
-- Grain: as usage_hourly. Units: tokens, images, calls. A known count is NULL where no
-- call of the row reports it.
{{ usage.staged('hour', 'usage_hourly') }}
