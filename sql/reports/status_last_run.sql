-- How did the last round of sync go?
-- Grain: one row, or none if nothing was ever synced. outcome and finished_at are NULL
-- while it runs, and if it was killed.
select
    run_id,
    started_at,
    finished_at,
    strftime('%s', finished_at) - strftime('%s', started_at) as duration_seconds,
    outcome,
    message,
    pid,
    host,
    calls_new,
    calls_with_tokens,
    late_events,
    metric_values,
    rejected
from sync_runs
order by run_id desc
limit 1
