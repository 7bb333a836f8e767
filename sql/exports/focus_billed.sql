-- What does AWS's bill of a month charge on the days that are closed?
-- Grain: day x payer x account x region x model x token kind x inference scope x tier x
-- context size x user x application x team x charge kind x what is counted, of the bill
-- of :month. Refunds and corrections may be dated in another month.
-- Units: tokens (or images and so on), NULL where nothing is counted; list_rate in
-- pico-dollars per token, NULL where there is no list price. billed_cost is exact.
{% set cell = [
    'day',
    'account_id',
    'region',
    'model_id',
    'token_kind',
    'inference_scope',
    'service_tier',
    'min_input_tokens',
] %}
{% set keys = cell + [
    'user_name',
    'application',
    'team',
    'payer_account_id',
    'charge_kind',
    'counts',
] %}
with closed as materialized (
    {{ bill.closed_accounts() }}
),

lines as materialized (
    select lines.*
    from int_bill_lines as lines
    inner join closed on closed.account_id = lines.account_id
    where
        lines.month = :month
        and lines.day <= closed.closed_until
        and lines.currency = 'USD'
),

charged as (
    select
        {{ columns.each(keys) }},
        sum(coalesce(billed_tokens, billed_units)) as amount,
        {{ money.exact('cost_pico') }} as billed_cost
    from lines
    group by
        {{ columns.each(keys) }}
),

prices_of_lines as (
    {{ bill.prices_of('lines') }}
)

select
    {{ columns.each(keys, 'charged.{}') }},
    charged.amount,
    charged.billed_cost,
    prices.list_rate
from charged
left join prices_of_lines as prices
    on
        charged.charge_kind = 'usage'
{% for column in cell %}
        and prices.{{ column }} = charged.{{ column }}
{% endfor %}
order by
    {{ columns.each(keys, 'charged.{}') }}
