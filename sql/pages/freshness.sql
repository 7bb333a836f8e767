-- How fresh is the loaded data?
-- Grain: one row; NULL where nothing is loaded. Times are UTC. finished_until is the
-- last day that every stream of sync has read to its end, NULL without sync; a stream
-- that is a week behind the others was given up, and does not count.

-- :_visitor_applications, :_visitor_teams: what the visitor may see, NULL for all.
-- With a list, the days and the last call are those of the list, and the columns on
-- how far AWS has been read are NULL, because they concern all applications.
with visible as materialized (
    select
        rate_key,
        model_key,
        application_key
    from int_names
    where
        not ({{ filters.sees_all() }})
        and {{ filters.visible() }}
),

visible_days as materialized (
    select
        day,
        calls + failed_calls as all_calls
    from priced_daily_by_application
    where
        (rate_key, application_key) in (
            select
                rate_key,
                application_key
            from visible
        )
),

last_day as materialized (
    select max(day) as day from visible_days
    where all_calls > 0
),

own as (
    select
        (
            select max(events.event_time)
            from last_day
            cross join events
                on events.event_time between last_day.day and last_day.day || 'T99'
            where
                (events.model_key, events.application_key) in (
                    select
                        model_key,
                        application_key
                    from visible
                )
        ) as last_event_time,
        (select min(day) from visible_days) as first_day,
        (select max(day) from visible_days) as last_day,
        null as finished_until,
        null as last_read_at,
        null as streams,
        null as failing_streams,
        null as unread_from,
        null as unread_to
    where not ({{ filters.sees_all() }})
),

every as (
    select
        (select max(event_time) from events) as last_event_time,
        (select min(day) from usage_daily) as first_day,
        (select max(day) from usage_daily) as last_day,
        (
            select date(min(watermark), '+1 second', '-1 day') from sync_state
            where
                watermark >= (
                    select strftime('%Y-%m-%dT%H:%M:%SZ', max(watermark), '-7 days')
                    from sync_state
                )
        ) as finished_until,
        (select max(read_at) from sync_state) as last_read_at,
        (select count(*) from sync_state) as streams,
        (select count(*) from sync_state where error is not null) as failing_streams,
        (
            select date(min(history_from)) from sync_status
            where not is_history_complete
        ) as unread_from,
        (
            select date(max(covered_from), '-1 second') from sync_status
            where not is_history_complete
        ) as unread_to
    where {{ filters.sees_all() }}
)

select * from own
union all
select * from every
