-- What does each sum of lines of the bill say, in names?
-- Grain: as bill_lines, of the exports that are used. month is the bill's: refunds and
-- corrections may be dated in another. model_id is the canonical id of what the bill
-- names by price_model_id, the id of a price. Money in 10^-12 of the currency;
-- billed_cost_picodollars and net_cost_picodollars are NULL in other currencies.
select
    bill_lines.month_key,
    used.month,
    bill_lines.day,
    bill_lines.payer_account_id,
    coalesce(accounts.account_id, '') as account_id,
    coalesce(regions.region, '') as region,
    coalesce(
        ids.model_id,
        iif(
            bill_lines.charge_kind in ('usage', 'not understood'),
            models.canonical_model_id,
            null
        )
    ) as model_id,
    bill_lines.model_id as price_model_id,
    bill_lines.token_kind,
    bill_lines.inference_scope,
    bill_lines.service_tier,
    bill_lines.min_input_tokens,
    users.user_name,
    {{ names.application('models', 'applications') }} as application,
    teams.team,
    bill_lines.charge_kind,
    bill_lines.usage_type,
    bill_lines.reason,
    bill_lines.currency,
    bill_lines.counts,
    bill_lines.lines,
    iif(bill_lines.counts = 'tokens', bill_lines.amount, null) as billed_tokens,
    iif(bill_lines.counts <> 'tokens', bill_lines.amount, null) as billed_units,
    bill_lines.cost_pico,
    bill_lines.net_cost_pico,
    iif(bill_lines.currency = 'USD', bill_lines.cost_pico, null)
        as billed_cost_picodollars,
    iif(bill_lines.currency = 'USD', bill_lines.net_cost_pico, null)
        as net_cost_picodollars,
    iif(
        bill_lines.currency = 'USD' and bill_lines.charge_kind = 'usage',
        bill_lines.cost_pico,
        null
    ) as usage_picodollars
from bill_lines
inner join bill_callers on bill_callers.caller_key = bill_lines.caller_key
left join accounts on accounts.account_key = bill_callers.account_key
left join regions on regions.region_key = bill_callers.region_key
left join int_models as models on models.model_key = bill_callers.model_key
left join int_bill_model_ids as ids on ids.price_model_id = bill_lines.model_id
inner join stg_users as users on users.user_key = bill_callers.user_key
inner join applications
    on applications.application_key = bill_callers.application_key
inner join teams on teams.team_key = applications.team_key
inner join int_bill_accounts as used
    on
        used.month_key = bill_lines.month_key
        and used.payer_account_id = bill_lines.payer_account_id
        and used.account_id = coalesce(accounts.account_id, '')
        and used.is_used
