-- Which discount does AWS's bill give on each model, month by month?
-- Grain: month x payer x model, of what is billed in USD by a known list price.
-- Units: USD; percent. suggestion is what to write into the configuration file, NULL
-- where the difference is below 0.1 percent.
with rated as (
    select
        month,
        payer_account_id,
        model_id,
        billed_cost as charged,
        iif(charge_kind = 'usage', billed * list_rate, 0) as listed
    from int_bill_cells
    where
        model_id is not null
        and (
            charge_kind = 'discount'
            or (charge_kind = 'usage' and billed > 0 and list_rate is not null)
        )
),

summed as (
    select
        month,
        payer_account_id,
        model_id,
        {{ money.dollars('listed') }} as list_cost_usd,
        {{ money.dollars('charged') }} as charged_cost_usd
    from rated
    group by month, payer_account_id, model_id
),

final as (
    select
        *,
        round(
            100 * (list_cost_usd - charged_cost_usd) / nullif(list_cost_usd, 0), 4
        ) as discount_percent
    from summed
    where list_cost_usd > 0
)

select
    *,
    iif(
        discount_percent >= 0.1,
        '[[discounts]]' || char(10)
        || 'percent = ' || discount_percent || char(10)
        || 'model = "' || model_id || '"' || char(10)
        || 'from = ' || month || '-01',
        null
    ) as suggestion
from final
