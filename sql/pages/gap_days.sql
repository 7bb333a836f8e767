-- Of which of the selected days could a part not be read?
-- Grain: UTC day, in order, from :since to :until, both included. sync_gaps has the
-- reasons.

-- :_visitor_applications, :_visitor_teams: what the visitor may see, NULL for all.
-- With a list, there are no rows: what could not be read concerns all applications.
with recursive gaps as (
    select
        max(date(gap_start), coalesce(:since, '')) as day,
        min(date(gap_end), coalesce(nullif(:until, ''), '9999')) as last_day
    from sync_gaps
    where
        {{ filters.sees_all() }}
        and date(gap_start) <= coalesce(nullif(:until, ''), '9999')
        and date(gap_end) >= coalesce(:since, '')
),

days as (
    select
        day,
        last_day
    from gaps
    union
    select
        date(day, '+1 day') as day,
        last_day
    from days
    where day < last_day
)

select distinct day from days
order by day
