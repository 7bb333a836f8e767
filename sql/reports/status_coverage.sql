-- For how many calls does AWS report the tokens call by call, from a given day on?
-- Grain: one row. :since is a UTC day, '' for all. Units: successful calls;
-- coverage_pct is 0 to 100, NULL without calls.
-- Counts as in the view token_coverage.
select
    min(day) as first_day,
    max(day) as last_day,
    coalesce(sum(calls), 0) as calls,
    coalesce(sum(failed_calls), 0) as failed_calls,
    coalesce(sum(calls_with_tokens), 0) as calls_with_tokens,
    round(
        100.0 * coalesce(sum(calls_with_tokens), 0) / nullif(sum(calls), 0),
        1
    ) as coverage_pct
from priced_daily_by_model
where day >= :since
