-- What did guardrails charge, by policy, and for whose calls?
-- Grain: UTC day x account x region x model x user x application x team x guardrail
-- x policy.
-- Units: text units of 1,000 characters, or images (unit); USD. These costs are in no
-- other view: AWS bills guardrails by themselves, whatever the model. Only the trace in
-- a response shows the units, so only invocation logs with bodies of calls that ask for
-- it. missing is units for calls with a guardrail where nothing shows them, and price
-- where there is none: both cost NULL, which is not 0.

{% set grain = [
    'day',
    'account_key',
    'region_key',
    'model_key',
    'user_key',
    'application_key',
] %}
with used as (
    {{ guardrails.used('guardrail_daily', grain) }}
),

{{ guardrails.chosen() }},

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
    {{ guardrails.join_chosen() }}
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
