-- What was used on the days of a month that the bill does not have, and has no cost?
-- Grain: one row, from :first_day to :last_day of :month.
with closed as materialized (
    {{ bill.closed_accounts() }}
)

select
    coalesce(sum(usage.unpriced_calls), 0) as unpriced_calls,
    coalesce(sum(usage.unpriced_tokens), 0) as unpriced_tokens,
    coalesce(sum(usage.calls_without_tokens), 0) as calls_without_tokens
from usage_cost_daily as usage
left join closed on closed.account_id = usage.account_id
where
    usage.day >= :first_day
    and usage.day <= :last_day
    and usage.day > coalesce(closed.closed_until, '')
