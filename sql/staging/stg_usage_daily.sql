-- What is known and estimated of the calls of each day, without prices?
-- Grain: as usage_daily. Units: tokens, images, calls. Known counts are NULL where no
-- call of the row knows them.
{{ usage.staged('day', 'usage_daily') }}
