-- Which hours may CloudWatch still change?
-- Grain: one row; first_hour is NULL if there are none. Units: UTC hours, each counted
-- once for all models and regions.
-- Only the last day of each stream is read, hour by hour on the key, so the time taken
-- does not grow with the data: sync marks no older hour.
with recursive hours_back as (
    select 0 as back
    union all
    select back + 1 as back
    from hours_back
    where back < 24
),

recent as (
    select
        accounts.account_key,
        regions.region_key,
        strftime(
            '%Y-%m-%dT%H:00:00Z', sync_state.watermark, '-' || back || ' hours'
        ) as hour
    from sync_state
    inner join accounts on accounts.account_id = sync_state.account_id
    inner join regions on regions.region = sync_state.region
    cross join hours_back
    where sync_state.source = 'cloudwatch' and sync_state.watermark is not null
)

select
    min(metric_hourly.hour) as first_hour,
    count(distinct metric_hourly.hour) as hour_count
from recent
cross join metric_hourly
    on
        metric_hourly.hour = recent.hour
        and metric_hourly.account_key = recent.account_key
        and metric_hourly.region_key = recent.region_key
where metric_hourly.is_provisional
