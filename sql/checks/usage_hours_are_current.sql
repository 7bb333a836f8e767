-- Does usage_hours list the hours that usage_hourly has?
-- Each row is an hour that is missing or left over.
with used as (
    select distinct
        hour,
        substr(hour, 1, 10) as day
    from usage_hourly
),

missing as (
    select * from used
    except
    select
        hour,
        day
    from usage_hours
),

left_over as (
    select
        hour,
        day
    from usage_hours
    except
    select * from used
)

select * from missing
union all
select * from left_over
