-- Which capacity was paid by the hour, and did calls use it?
-- Grain: UTC day x account x region x provisioned model. Units: hours;
-- model_unit_hours is hours x model units. These hours are in no cost: AWS bills them
-- whether or not calls use them. They are counted from the creation of the provisioned
-- throughput to the last time that sync saw it listed.

-- Bedrock lists what exists now. A change is dated by the throughput's own time of
-- modification where that lies between two readings, else by the reading that shows it.
with recursive seen as (
    select
        *,
        case
            when lag(seen_to) over by_time is null then min(created_at, seen_from)
            when modified_at > lag(seen_to) over by_time
                then min(modified_at, seen_from)
            else seen_from
        end as started_at
    from provisioned_throughputs
    window by_time as (partition by provisioned_model_arn order by seen_from)
),

spans as (
    select
        *,
        coalesce(
            lead(started_at) over (
                partition by provisioned_model_arn order by seen_from
            ),
            seen_to
        ) as ended_at
    from seen
),

days as (
    select
        *,
        substr(started_at, 1, 10) as day
    from spans
    where status in ('InService', 'Updating') and ended_at > started_at
    union all
    select
        provisioned_model_arn,
        seen_from,
        seen_to,
        account_id,
        region,
        model_id,
        served_model_arn,
        model_units,
        commitment_duration,
        status,
        created_at,
        modified_at,
        started_at,
        ended_at,
        date(day, '+1 day') as day
    from days
    where date(day, '+1 day') || 'T00:00:00Z' < ended_at
),

timed as (
    select
        *,
        strftime('%s', min(ended_at, date(day, '+1 day') || 'T00:00:00Z'))
        - strftime('%s', max(started_at, day || 'T00:00:00Z')) as seconds
    from days
),

summed as (
    select
        day,
        account_id,
        region,
        provisioned_model_arn,
        max(model_id) as model_id,
        max(model_units) as model_units,
        max(commitment_duration) as commitment_duration,
        sum(seconds) / 3600.0 as hours,
        sum(seconds * model_units) / 3600.0 as model_unit_hours
    from timed
    group by day, account_id, region, provisioned_model_arn
),

final as (
    select
        summed.*,
        (
            select coalesce(sum(usage.calls), 0)
            from models
            inner join rate_keys on rate_keys.model_key = models.model_key
            inner join accounts on accounts.account_id = summed.account_id
            inner join priced_daily_by_model as usage
                on
                    usage.day = summed.day
                    and usage.account_key = accounts.account_key
                    and usage.rate_key = rate_keys.rate_key
            where models.model_id = summed.provisioned_model_arn
        ) as calls
    from summed
)

select
    *,
    calls > 0 as is_used
from final
