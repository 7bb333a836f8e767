-- What guardrails charged, and at which rate.

{% import 'macros/columns' as columns %}
{% import 'macros/rates' as rates %}

-- The units of each guardrail and policy. guarded: guardrail_daily, or sums of it.
{% macro used(guarded, by) %}
select
    {{ columns.each(by, 'guarded.{}') }},
    guardrails.key as guardrail_id,
    policies.key as policy,
    'guardrail_' || policies.key as token_kind,
    sum(guarded.calls) as calls,
    sum(guarded.calls * policies.value) as units
from {{ guarded }} as guarded
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
    {{ columns.each(by, 'guarded.{}') }},
    guardrails.key,
    policies.key
{% endmacro %}

-- The CTE chosen: the rate for each key of used. Needs the CTE used.

-- The rates are in prices, under amazon.bedrock-guardrails. They are chosen as
-- int_rates does: one's own before AWS's Price List and the seed, the region before *,
-- a negotiated rate before a list rate less the first discount that matches.
{% set price_model = 'amazon.bedrock-guardrails' %}
{% set key = ['day', 'account_key', 'region_key', 'token_kind'] %}

{% macro chosen() %}
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
)
{% endmacro %}

{% macro join_chosen() %}
left join chosen
    on {{ columns.each(key, 'chosen.{0} = used.{0}', '\nand ') }}
{% endmacro %}
