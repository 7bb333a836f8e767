-- What is known and estimated of the calls of each hour, without prices?
-- Grain: as usage_hourly. Units: tokens, images, calls. Known counts are NULL where no
-- call of the row knows them.
{{ usage.staged('hour', 'usage_hourly') }}
