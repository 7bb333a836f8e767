-- title: Token coverage per day
-- description: For how many calls AWS reports the tokens call by call. Tokens of the
--   others are estimated from CloudWatch's totals, or unknown.
{{ filters.period_in_words() }}
-- parameters: date_from, date_to, regions, models
-- chart: bar x=day:ordinal y=coverage_pct:quantitative
select
    day,
    sum(calls) as calls,
    sum(calls_with_tokens) as calls_with_tokens,
    round(100.0 * sum(calls_with_tokens) / sum(calls), 1) as coverage_pct
from daily_costs_by_model
where
    {{ filters.period() }}
group by day
having sum(calls) > 0
order by day
