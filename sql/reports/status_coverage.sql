-- How much of the tokens is known, and how, from a given day on?
-- Grain: one row. :since is a UTC day, '' for all. Units: successful calls; tokens of
-- all kinds; coverage_pct is 0 to 100, NULL without calls.
select
    min(day) as first_day,
    max(day) as last_day,
    coalesce(sum(failed_calls), 0) as failed_calls,
    {{ coverage.sums() }}
from int_token_parts
where day >= :since
