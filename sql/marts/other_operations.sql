-- Which operations of Bedrock are no calls, how often are they used, and what is kept?
-- Grain: operation x account x region x kept_as. Each event counts once. kept_as:
-- security event (view security_events), not known yet (view operations_not_known), or
-- count only.
with events_of_all as (
    select
        operation_key,
        account_key,
        region_key,
        event_time,
        'security event' as kept_as
    from control_events
    union all
    select
        operation_key,
        account_key,
        region_key,
        event_time,
        'not known yet' as kept_as
    from unknown_operations
    union all
    select
        operation_key,
        account_key,
        region_key,
        event_time,
        'count only' as kept_as
    from skipped_operations
),

counted as (
    select
        operation_key,
        account_key,
        region_key,
        kept_as,
        count(*) as event_count,
        min(event_time) as first_seen,
        max(event_time) as last_seen
    from events_of_all
    group by operation_key, account_key, region_key, kept_as
)

select
    operations.event_source,
    operations.event_name,
    accounts.account_id,
    regions.region,
    counted.kept_as,
    counted.event_count,
    counted.first_seen,
    counted.last_seen
from counted
inner join operations on operations.operation_key = counted.operation_key
inner join accounts on accounts.account_key = counted.account_key
inner join regions on regions.region_key = counted.region_key
