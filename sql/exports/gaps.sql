-- What of a month was not read, or not yet?
-- Grain: gap of a stream that meets :first_day to :last_day, or what a stream lacks at
-- the beginning or the end of them. Both ends are included, UTC.
select
    stream,
    max(gap_start, :first_day || 'T00:00:00Z') as gap_start,
    min(gap_end, :last_day || 'T23:59:59Z') as gap_end,
    reason
from sync_gaps
where gap_start <= :last_day || 'T23:59:59Z' and gap_end >= :first_day || 'T00:00:00Z'
union all
select
    streams.stream,
    :first_day || 'T00:00:00Z' as gap_start,
    min(
        coalesce(sync_windows.fetched_down_to, streams.covered_from),
        :last_day || 'T23:59:59Z'
    ) as gap_end,
    'not read' as reason
from sync_state as streams
left join sync_windows
    on sync_windows.stream = streams.stream and sync_windows.kind = 'history'
where
    coalesce(sync_windows.fetched_down_to, streams.covered_from)
    > :first_day || 'T00:00:00Z'
union all
select
    stream,
    max(watermark, :first_day || 'T00:00:00Z') as gap_start,
    :last_day || 'T23:59:59Z' as gap_end,
    'not read yet' as reason
from sync_state
where covered_from is not null and watermark < :last_day || 'T23:59:59Z'
order by stream, gap_start
