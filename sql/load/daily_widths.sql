-- How far off may the estimates of :day be?
-- Grain: usage_daily row with an estimate that may be off.
{{ widths.of_days('day = :day') }}
