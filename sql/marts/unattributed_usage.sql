-- What did CloudWatch count that no known call accounts for?
-- Grain: hour x account x region x model. Units: tokens; USD.
-- Usual causes: calls that are not loaded (another trail, data events), or calls that
-- all report their tokens, but fewer than CloudWatch counted.
with unattributed as (
    -- Rows that count no call. An index covers exactly these. Some are a user's: tokens
    -- of calls of the hour before.
    select
        hour,
        account_key,
        rate_key,
        user_key,
        application_key
    from usage_hourly
    where
        calls = 0
        and failed_calls = 0
        and user_key in (
            select users.user_key from users where users.user_name = '(unattributed)'
        )
)

select
    usage.hour,
    accounts.account_id,
    regions.region,
    int_models.canonical_model_id as model_id,
    {{ columns.each(columns.shown, 'sum(usage.{0}) as {0}') }},
    iif(
        {{ rates.may_differ() }},
        sum(usage.list_cost_picodollars) filter (where {{ rates.may_differ() }}),
        sum(usage.cost_picodollars)
    ) / 1e12 as list_cost_usd,
    sum(usage.cost_picodollars) / 1e12 as cost_usd,
    sum(usage.unpriced_tokens) as unpriced_tokens,
    {{ money.list_unpriced() }} as list_unpriced_tokens,
    sum(usage.unpriced_tokens) > 0 as is_lower_bound
from unattributed
cross join int_usage_hourly_priced as usage
    on
        usage.hour = unattributed.hour
        and usage.account_key = unattributed.account_key
        and usage.rate_key = unattributed.rate_key
        and usage.user_key = unattributed.user_key
        and usage.application_key = unattributed.application_key
inner join accounts on accounts.account_key = usage.account_key
inner join rate_keys on rate_keys.rate_key = usage.rate_key
inner join regions on regions.region_key = rate_keys.region_key
inner join int_models on int_models.model_key = rate_keys.model_key
group by usage.hour, accounts.account_id, regions.region, int_models.canonical_model_id
