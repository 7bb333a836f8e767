-- For how many calls does AWS report the tokens call by call, from a day on?
-- Grain: one row. :since is a UTC day, '' for all. Units: successful calls;
-- coverage_pct is 0 to 100, NULL without a call.
-- As the view token_coverage, but without any price, which would have to be looked up
-- for every row.
select
    min(day) as first_day,
    max(day) as last_day,
    coalesce(sum(calls), 0) as calls,
    coalesce(sum(failed_calls), 0) as failed_calls,
    coalesce(sum(calls) filter (where token_source_key <> 0), 0) as calls_with_tokens,
    round(
        100.0 * coalesce(sum(calls) filter (where token_source_key <> 0), 0)
        / nullif(sum(calls), 0),
        1
    ) as coverage_pct
from usage_daily
where day >= :since
