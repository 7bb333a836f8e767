-- How far has each source been read?
-- Grain: one row per stream (source x account x region). Times are UTC, in whole
-- seconds; covered_from and watermark are both included. history_left_days and
-- is_history_complete are NULL where a source has no history (the catalogue) or was
-- never read to its end. Days that AWS no longer keeps are a gap (table sync_gaps), not
-- history that is left.

-- There is no column for the age of the data: that depends on the reader's clock.
with states as (
    select * from sync_state
),

windows as (
    select
        stream,
        group_concat(kind, ', ') as open_windows,
        max(iif(kind = 'history', fetched_down_to, null)) as history_read_to
    from sync_windows
    group by stream
),

gaps as (
    select
        stream,
        count(*) as gap_count
    from sync_gaps
    group by stream
),

bounded as (
    select
        states.*,
        windows.open_windows,
        coalesce(gaps.gap_count, 0) as gap_count,
        coalesce(windows.history_read_to, states.covered_from) as history_read_to,
        -- Wanted history that can no longer be read is a gap at its start.
        coalesce(
            strftime('%Y-%m-%dT%H:%M:%SZ', lost.gap_end, '+1 second'),
            states.history_from
        ) as history_ends
    from states
    left join windows on windows.stream = states.stream
    left join gaps on gaps.stream = states.stream
    left join sync_gaps as lost
        on lost.stream = states.stream and lost.gap_start = states.history_from
),

measured as (
    select
        bounded.*,
        case
            when watermark is not null
                then
                    max(
                        0,
                        strftime('%s', history_read_to) - strftime('%s', history_ends)
                    )
        end as history_left_seconds
    from bounded
),

final as (
    select
        stream,
        source,
        account_id,
        region,
        covered_from,
        watermark,
        read_at,
        history_from,
        history_left_seconds = 0 as is_history_complete,
        round(history_left_seconds / 86400.0, 2) as history_left_days,
        open_windows,
        late_events,
        gap_count,
        error_at,
        error
    from measured
)

select * from final
