-- Which late events did rereading find, and what was not read again?
-- Grain: stream that was reread since :since. late_events are those found since then;
-- most_late_hours is the most that any of them can have been late. unread_from to
-- unread_to, both included: what the last reread left out, for lack of requests or
-- because AWS no longer had it.
with recent as (
    select
        stream,
        count(*) as rereads,
        sum(late_events) as late_events,
        round(
            max((strftime('%s', started_at) - strftime('%s', late_from)) / 3600.0), 1
        ) as most_late_hours,
        max(started_at) as started_at
    from sync_rereads
    where started_at >= :since
    group by stream
)

select
    recent.stream,
    recent.rereads,
    recent.late_events,
    recent.most_late_hours,
    recent.started_at,
    last.is_done,
    last.requests,
    iif(last.is_done and last.reached > last.window_start, last.window_start, null)
        as unread_from,
    iif(
        last.is_done and last.reached > last.window_start,
        strftime('%Y-%m-%dT%H:%M:%SZ', last.reached, '-1 second'),
        null
    ) as unread_to
from recent
inner join sync_rereads as last
    on last.stream = recent.stream and last.started_at = recent.started_at
order by recent.stream
