-- Which operations of Bedrock does this version not know yet?
-- Grain: operation x account x region. They count as no calls, and take no share of
-- estimates. Every event is kept in the table unknown_operations.
select
    event_source,
    event_name,
    account_id,
    region,
    count(*) as event_count,
    count(distinct user_name) as user_count,
    min(event_time) as first_seen,
    max(event_time) as last_seen
from int_other_operations
where not is_known
group by event_source, event_name, account_id, region
