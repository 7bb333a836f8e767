-- How far has each source been read?
-- Grain: stream, as in the view sync_status; the streams of an account together.
select
    stream,
    source,
    account_id,
    region,
    covered_from,
    watermark,
    read_at,
    history_from,
    is_history_complete,
    history_left_days,
    open_windows,
    late_events,
    gap_count,
    error_at,
    error
from sync_status
order by account_id, source = 'catalogue', source, region
