-- What is our price for each thing that the bill charges?
-- Grain: day x account x region x model x token kind x inference scope x tier x context
-- size, as the bill has them. Units: pico-dollars per token. rate is with negotiated
-- rates and discounts, list_rate without; NULL where there is no price. Both are chosen
-- as in int_rates and int_account_rates.
with charged as (
    select distinct
        day,
        account_id,
        region,
        model_id,
        token_kind,
        inference_scope,
        service_tier,
        min_input_tokens
    from int_bill_lines
    where charge_kind = 'usage'
),

ranked as (
    select
        charged.*,
        prices.usd_per_mtok,
        prices.rate_class,
        row_number() over (
            partition by
                {{ columns.each(bill.variant, 'charged.{}') }},
                charged.day,
                charged.account_id,
                charged.region,
                charged.model_id,
                prices.rate_class
            order by
                prices.origin,
                prices.region = '*',
                prices.min_input_tokens desc,
                prices.effective_from desc,
                prices.price_id
        ) as choice
    from charged
    inner join prices
        on
            prices.model_id = charged.model_id
            and (
                prices.region = charged.region
                or (prices.region = '*' and charged.region not like 'us-gov-%')
            )
            and prices.token_kind = charged.token_kind
            and prices.scope = charged.inference_scope
            and prices.service_tier = charged.service_tier
            and prices.min_input_tokens <= charged.min_input_tokens
            and prices.effective_from <= charged.day
            and (prices.effective_to is null or prices.effective_to > charged.day)
            and prices.corrected_on is null
),

chosen as (
    select
        day,
        account_id,
        region,
        model_id,
        {{ columns.each(bill.variant) }},
        max(usd_per_mtok) filter (where rate_class = 'negotiated') as negotiated_rate,
        max(usd_per_mtok) filter (where rate_class = 'list') as list_rate
    from ranked
    where choice = 1
    group by
        day,
        account_id,
        region,
        model_id,
        {{ columns.each(bill.variant) }}
),

discounted as (
    select
        chosen.*,
        (
            select discounts.kept_millionths from discounts
            where
                {{ rates.meets('accounts', ['chosen.account_id']) }}
                and {{ rates.meets('regions', ['chosen.region']) }}
                and {{ rates.meets('tiers', ['chosen.service_tier']) }}
                and {{ rates.meets('models', ['chosen.model_id']) }}
                and {{ rates.meets('kinds', ['chosen.token_kind']) }}
                and discounts.effective_from <= chosen.day
                and coalesce(discounts.effective_to > chosen.day, true)
            order by discounts.discount_number
            limit 1
        ) as kept_millionths
    from chosen
)

select
    day,
    account_id,
    region,
    model_id,
    {{ columns.each(bill.variant) }},
    coalesce(
        negotiated_rate,
        (list_rate * kept_millionths + 500000) / 1000000,
        list_rate
    ) as rate,
    list_rate
from discounted
