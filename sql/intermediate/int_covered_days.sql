-- Which days are over, and of which is all usage loaded?
-- Grain: UTC day, from the first with usage to the last that every stream of sync has
-- read to its end. is_covered is 0 where a part of the day could not be read. Without
-- sync, the last day with usage is not over, and all before it are covered.

-- A stream that is more than a week behind everything else was given up: it holds
-- nothing back.
with loaded as (
    select
        (select min(day) from usage_daily) as first_day,
        (select max(day) from usage_daily) as last_day
),

streams as (
    select
        sync_state.covered_from,
        sync_state.watermark,
        sync_state.history_from
    from sync_state
    cross join loaded
    where
        sync_state.watermark >= date(loaded.last_day, '-7 days')
        and sync_state.watermark
        >= (
            select strftime('%Y-%m-%dT%H:%M:%SZ', max(others.watermark), '-7 days')
            from sync_state as others
        )
),

days as (
    select
        first_day as day,
        coalesce(
            (select date(min(watermark), '+1 second', '-1 day') from streams),
            date(last_day, '-1 day')
        ) as last_day
    from loaded
    where first_day is not null
    union all
    select
        date(day, '+1 day') as day,
        last_day
    from days
    where day < last_day
)

select
    day,
    not exists (
        select 1 from sync_gaps
        where
            sync_gaps.gap_start < days.day || 'T24'
            and sync_gaps.gap_end >= days.day || 'T00:00:00Z'
    )
    -- History that is wanted and not read yet. What is older than that is from files.
    and not exists (
        select 1 from streams
        where
            streams.covered_from > days.day || 'T00:00:00Z'
            and coalesce(streams.history_from, streams.covered_from)
            < days.day || 'T24'
    ) as is_covered
from days
where day <= last_day
