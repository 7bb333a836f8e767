-- Up to which day is each month of the bill closed?
-- Grain: month of an export. Days after closed_until are open. AWS delivers a day's
-- lines 24 to 48 hours late, so a day is closed once the export has usage of two days
-- later. What was written two weeks after a month's end has all of it, if it has usage
-- of the last days.
with months as (
    select
        month_key,
        month,
        -- Copies may be younger than what they copy, and never read before it.
        min(coalesce(written_at, seen_at), seen_at) as written_at,
        date(month || '-01', '+1 month', '-1 day') as month_end,
        last_day,
        max(last_day) over (partition by export_key) as export_last_day
    from bill_months
)

select
    month_key,
    month,
    month_end,
    last_day,
    iif(
        date(month_end, '+14 days') <= written_at
        and date(month_end, '-1 day') <= last_day,
        month_end,
        min(month_end, coalesce(date(export_last_day, '-2 days'), ''))
    ) as closed_until
from months
