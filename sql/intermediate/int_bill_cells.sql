-- What does the bill charge, and what did the warehouse know of the same?
-- Grain: day x account x region x model x token kind x inference scope x tier x context
-- size x user x charge kind, of the accounts and months that the bill covers. user_name
-- is NULL where the bill does not name all users of an account's model on a day.
-- Units: tokens (or images, ...); whole pico-dollars; rates in pico-dollars per token.
-- our_basis is our cost at `rate`: a list price where the bill has discounts apart.
with covered as materialized (
    select * from int_bill_covered
),

lines as materialized (
    select lines.*
    from int_bill_lines as lines
    inner join covered
        on
            covered.month = lines.month
            and covered.account_id = lines.account_id
    where lines.currency = 'USD'
),

-- Where some usage has no user, no user's share can be compared.
unnamed as materialized (
    select distinct
        day,
        account_id,
        region,
        model_id
    from lines
    where charge_kind = 'usage' and user_name = '(unknown)'
),

models as materialized (
    select * from int_bill_models
),

-- The context size that decides a model's price, of all that do for some model.
sizes as materialized (
    select
        rate_keys.rate_key,
        coalesce(max(prices.min_input_tokens), 0) as min_input_tokens
    from rate_keys
    inner join models on models.model_key = rate_keys.model_key
    left join prices
        on
            prices.model_id = models.model_id
            and prices.min_input_tokens <= rate_keys.min_input_tokens
            and prices.corrected_on is null
    group by rate_keys.rate_key
),

both as (
    select
        month,
        day,
        account_id,
        region,
        model_id,
        token_kind,
        inference_scope,
        service_tier,
        min_input_tokens,
        nullif(user_name, '(unknown)') as user_name,
        charge_kind,
        lines as billed_lines,
        iif(charge_kind = 'usage' and usage_type like '%-mantle-%', lines, 0)
            as mantle_lines,
        coalesce(billed_tokens, billed_units, 0) as billed,
        billed_cost_picodollars as billed_cost,
        billed_tokens is not null as is_tokens,
        0 as known,
        0 as estimated,
        null as our_rate,
        null as our_list_rate,
        0 as is_current
    from lines
    union all
    select
        figures.month,
        figures.day,
        accounts.account_id,
        regions.region,
        models.model_id,
        figures.token_kind,
        models.inference_scope,
        rate_keys.service_tier,
        sizes.min_input_tokens,
        users.user_name,
        'usage' as charge_kind,
        0 as billed_lines,
        0 as mantle_lines,
        0 as billed,
        0 as billed_cost,
        figures.token_kind in (
            {{ columns.each(columns.token_prices, "'{}'") }}
        ) as is_tokens,
        figures.known,
        figures.estimated,
        figures.rate as our_rate,
        figures.list_rate as our_list_rate,
        figures.is_current
    from int_bill_figures as figures
    inner join rate_keys on rate_keys.rate_key = figures.rate_key
    inner join sizes on sizes.rate_key = figures.rate_key
    inner join models on models.model_key = rate_keys.model_key
    inner join regions on regions.region_key = rate_keys.region_key
    inner join accounts on accounts.account_key = figures.account_key
    inner join stg_users as users on users.user_key = figures.user_key
),

named as (
    select
        both.*,
        iif(unnamed.day is null, both.user_name, null) as named_user
    from both
    left join unnamed
        on
            unnamed.day = both.day
            and unnamed.account_id = both.account_id
            and unnamed.region = both.region
            and unnamed.model_id = both.model_id
),

cells as (
    select
        month,
        day,
        account_id,
        region,
        model_id,
        {{ columns.each(bill.variant) }},
        named_user as user_name,
        charge_kind,
        sum(billed_lines) as billed_lines,
        sum(mantle_lines) as mantle_lines,
        sum(billed) as billed,
        sum(billed_cost) as billed_cost,
        max(is_tokens) as is_tokens,
        sum(known) as known,
        sum(estimated) as estimated,
        sum((known + estimated) * coalesce(our_rate, 0)) as our_cost,
        sum((known + estimated) * coalesce(our_list_rate, 0)) as our_list_cost,
        max(our_rate) as our_rate,
        max(our_list_rate) as our_list_rate,
        max(is_current) as is_current
    from named
    group by
        month,
        day,
        account_id,
        region,
        model_id,
        {{ columns.each(bill.variant) }},
        named_user,
        charge_kind
),

-- Another user of the account may have the rate that a user lacks.
rated as (
    select
        cells.*,
        covered.payer_account_id,
        covered.has_discounts,
        cells.day > covered.closed_until as is_open,
        coalesce(
            {{ bill.over_users('our_rate') }},
            prices.rate
        ) as any_rate,
        coalesce(
            {{ bill.over_users('our_list_rate') }},
            prices.list_rate
        ) as any_list_rate
    from cells
    inner join covered
        on
            covered.month = cells.month
            and covered.account_id = cells.account_id
    left join int_bill_prices as prices
        on
            cells.charge_kind = 'usage'
            and prices.day = cells.day
            and prices.account_id = cells.account_id
            and prices.region = cells.region
            and prices.model_id = cells.model_id
{% for column in bill.variant %}
            and prices.{{ column }} = cells.{{ column }}
{% endfor %}
)

select
    month,
    day,
    payer_account_id,
    account_id,
    region,
    model_id,
    {{ bill.counted_kind('token_kind') }} as counted_kind,
    {{ columns.each(bill.variant) }},
    user_name,
    charge_kind,
    is_open,
    is_current,
    billed_lines,
    mantle_lines,
    billed,
    billed_cost,
    is_tokens,
    known,
    estimated,
    known + estimated as ours,
    our_cost,
    billed_cost - our_cost as difference,
    iif(charge_kind = 'not understood', billed_cost, 0) as not_understood,
    iif(has_discounts, our_list_cost, our_cost) as our_basis,
    iif(has_discounts, any_list_rate, any_rate) as rate,
    any_list_rate as list_rate
from rated
