-- What did guardrails charge, by policy, and for whose calls?
-- Grain: UTC day x account x region x model x user x application x team x guardrail
-- x policy.
-- Units: text units of 1,000 characters, or images (unit); USD. These costs are in no
-- other view: AWS bills guardrails by themselves, whatever the model. Only the trace in
-- a response shows the units, so only invocation logs with bodies of calls that ask for
-- it. missing is units for calls with a guardrail where nothing shows them, and price
-- where there is none: both cost NULL, which is not 0.

-- The rates are in prices, under amazon.bedrock-guardrails. They are chosen as
-- int_rates does: one's own before AWS's Price List and the seed, the region before *,
-- a negotiated rate before a list rate less the first discount that matches.
{% set price_model = 'amazon.bedrock-guardrails' %}
{% set key = [
    'day',
    'account_key',
    'region_key',
    'token_kind',
] %}
with used as (
    select
        guarded.day,
        guarded.account_key,
        guarded.region_key,
        guarded.model_key,
        guarded.user_key,
        guarded.application_key,
        guardrails.key as guardrail_id,
        policies.key as policy,
        'guardrail_' || policies.key as token_kind,
        sum(guarded.calls) as calls,
        sum(guarded.calls * policies.value) as units
    from guardrail_daily as guarded
    inner join guardrail_uses as uses
        on uses.guardrail_use_key = guarded.guardrail_use_key
    inner join json_each(uses.guardrail_use) as guardrails
    left join
        json_each(
            iif(guardrails.type = 'object', guardrails.value, '{}')
        ) as policies
    -- Neither: the guardrail has no policy that charged anything.
    where guardrails.type = 'null' or policies.key is not null
    group by
        guarded.day,
        guarded.account_key,
        guarded.region_key,
        guarded.model_key,
        guarded.user_key,
        guarded.application_key,
        guardrails.key,
        policies.key
),

ranked as (
    select
        {{ columns.each(key, 'keys.{}') }},
        accounts.account_id,
        regions.region,
        prices.price_id,
        prices.usd_per_mtok,
        prices.rate_class,
        row_number() over (
            partition by
                {{ columns.each(key, 'keys.{}') }},
                prices.rate_class
            order by
                prices.origin,
                prices.region = '*',
                prices.effective_from desc,
                prices.price_id
        ) as choice
    from (
        select distinct {{ key | join(', ') }} from used
    ) as keys
    inner join accounts on accounts.account_key = keys.account_key
    inner join regions on regions.region_key = keys.region_key
    inner join prices
        on
            prices.model_id = '{{ price_model }}'
            and prices.token_kind = keys.token_kind
            and prices.scope = 'regional'
            and prices.service_tier = 'standard'
            and prices.min_input_tokens = 0
            and prices.corrected_on is null
            and prices.effective_from <= keys.day
            and coalesce(prices.effective_to, '9999-12-31') > keys.day
            and (
                prices.region = regions.region
                or (prices.region = '*' and regions.region not like 'us-gov-%')
            )
),

discounted as (
    select
        *,
        iif(
            rate_class = 'negotiated',
            usd_per_mtok,
            coalesce(
                (
                    -- Half up.
                    select
                        (ranked.usd_per_mtok * discounts.kept_millionths + 500000)
                        / 1000000
                    from discounts
                    where
                        {{ rates.meets('accounts', ['ranked.account_id']) }}
                        and {{ rates.meets('regions', ['ranked.region']) }}
                        and {{ rates.meets('tiers', ["'standard'"]) }}
                        and {{ rates.meets('models', ["'" ~ price_model ~ "'"]) }}
                        and {{ rates.meets('kinds', ['ranked.token_kind']) }}
                        and discounts.effective_from <= ranked.day
                        and coalesce(discounts.effective_to, '9999-12-31') > ranked.day
                    order by discounts.discount_number
                    limit 1
                ),
                usd_per_mtok
            )
        ) as rate
    from ranked
    where choice = 1
),

chosen as (
    select
        {{ key | join(', ') }},
        max(usd_per_mtok) filter (where rate_class = 'list') as list_rate,
        coalesce(
            max(rate) filter (where rate_class = 'negotiated'),
            max(rate) filter (where rate_class = 'list')
        ) as rate,
        coalesce(
            max(price_id) filter (where rate_class = 'negotiated'),
            max(price_id) filter (where rate_class = 'list')
        ) as price_id
    from discounted
    group by {{ key | join(', ') }}
),

named as (
    select
        used.*,
        accounts.account_id,
        regions.region,
        applications.model_id,
        users.user_name,
        applications.application,
        applications.team,
        chosen.price_id,
        used.units * chosen.list_rate as list_cost_picodollars,
        used.units * chosen.rate as cost_picodollars
    from used
    inner join accounts on accounts.account_key = used.account_key
    inner join regions on regions.region_key = used.region_key
    inner join stg_users as users on users.user_key = used.user_key
    inner join int_applications as applications
        on
            applications.model_key = used.model_key
            and applications.application_key = used.application_key
    left join chosen
        on {{ columns.each(key, 'chosen.{0} = used.{0}', '\nand ') }}
),

final as (
    select
        day,
        account_id,
        region,
        model_id,
        user_name,
        application,
        team,
        guardrail_id,
        policy,
        case
            when policy = 'content_image' then 'images'
            when policy is not null then 'text units'
        end as unit,
        calls,
        units,
        list_cost_picodollars / 1e12 as list_cost_usd,
        cost_picodollars / 1e12 as cost_usd,
        list_cost_picodollars,
        cost_picodollars,
        price_id,
        case
            when policy is null then 'units'
            when price_id is null then 'price'
        end as missing
    from named
)

select * from final
