-- Which operations of Bedrock are no calls?
-- Grain: operation x kept_as, the most frequent first.
select
    event_source,
    event_name,
    kept_as,
    sum(event_count) as event_count
from other_operations
group by event_source, event_name, kept_as
order by sum(event_count) desc, event_name, event_source, kept_as
