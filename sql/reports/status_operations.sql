-- Which operations of Bedrock are not known yet?
-- Grain: operation, the most frequent first.
select
    event_source,
    event_name,
    sum(event_count) as event_count,
    min(first_seen) as first_seen,
    max(last_seen) as last_seen
from operations_not_known
group by event_source, event_name
order by sum(event_count) desc, event_source, event_name
