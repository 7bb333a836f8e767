-- What is known and estimated of each day's calls, without prices?
-- Grain: as usage_daily. Units: tokens, images, calls. A known count is NULL where no
-- call of the row reports it.
{{ usage.staged('day', 'usage_daily') }}
