-- Who used what each day, and what did it cost?
-- Grain: day x account x region x model x user x application x team x data source. Rows
-- are also split by model id as sent, service tier and context size, so sum them.
-- Units: tokens; USD. Tokens are NULL where unknown; a cost is NULL where
-- no tokens are known or none has a price, and a lower bound where is_lower_bound is 1.

-- *_picodollars are whole numbers, 10^12 = 1 USD, for exact sums. data_source separates
-- measured from estimated rows. A row may count no call: the estimated part of calls
-- counted elsewhere, or (unattributed) usage. cost_usd is list_cost_usd less discounts,
-- or at negotiated rates; list_cost_usd leaves out list_unpriced_tokens.
-- For many days, daily_costs_by_user and daily_costs_by_application have the same sums
-- in fewer rows.
select
    usage.day,
    accounts.account_id,
    names.region,
    names.model_id,
    users.user_name,
    names.application,
    names.team,
    usage.data_source,
    usage.calls,
    usage.failed_calls,
    {{ columns.each(columns.shown, 'usage.{}') }},
    usage.list_cost_picodollars / 1e12 as list_cost_usd,
    usage.cost_picodollars / 1e12 as cost_usd,
    usage.list_cost_picodollars,
    usage.cost_picodollars,
    usage.unpriced_calls,
    usage.unpriced_tokens,
    usage.list_unpriced_tokens,
    usage.calls_without_tokens,
    usage.unpriced_calls + usage.unpriced_tokens + usage.calls_without_tokens > 0
        as is_lower_bound
from int_usage_daily_priced as usage
inner join accounts on accounts.account_key = usage.account_key
inner join int_names as names
    on
        names.rate_key = usage.rate_key
        and names.application_key = usage.application_key
inner join stg_users as users on users.user_key = usage.user_key
