-- How fresh is what is loaded?
-- Grain: one row; NULL where there is nothing. Times are UTC.
-- The same for every visitor, whatever :_visitor_applications are.
select
    (select max(event_time) from events) as last_event_time,
    (select min(day) from usage_daily) as first_day,
    (select max(day) from usage_daily) as last_day,
    (select max(read_at) from sync_state) as last_read_at,
    (select count(*) from sync_state) as streams,
    (select count(*) from sync_state where error is not null) as failing_streams
