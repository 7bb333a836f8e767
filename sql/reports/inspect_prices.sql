-- What did each kind of token of a call cost, and at which price?
-- Grain: kind of token that the call used, in the column order of calls. Units: tokens;
-- USD per million tokens, USD. usd_per_mtok is after the discount, list_usd_per_mtok
-- the list price before it. The price columns are NULL where there is no price.
with call as (
    select *
    from calls
    where event_time = :event_time and event_id = :event_id
),

rated as (
    select
        {{ columns.each(columns.priced_kinds, 'rates.{}_rate') }},
        {{ columns.each(columns.priced_kinds, 'rates.{}_list_rate') }},
        {{ columns.each(columns.priced_kinds, 'rates.{}_discount') }}
    from int_call_usage as usage
    {{ rates.of_call('inner') }}
    {{ rates.in_force('usage.account_key', 'rate_keys.rate_key', 'substr(usage.event_time, 1, 10)') }}
    where
        usage.event_time = :event_time
        and {{ ids.as_text('usage.event_id') }} = :event_id
),

used as (
{% for count, price in columns.priced_counts %}
    select
        {{ loop.index }} as position,
        '{{ price }}' as token_kind,
        call.{{ count }} as tokens,
        rated.{{ price }}_rate as rate,
        rated.{{ price }}_list_rate as list_rate,
        rated.{{ price }}_discount as discount_number,
        call.{{ price }}_price_id as price_id
    from call
    left join rated on true
{% if not loop.last %}
    union all
{% endif %}
{% endfor %}
)

select
    -- As the price row has it: a cache write may be one of 30 minutes.
    coalesce(prices.token_kind, used.token_kind) as token_kind,
    used.tokens,
    used.price_id,
    used.rate / 1e6 as usd_per_mtok,
    used.tokens * used.rate / 1e12 as cost_usd,
    used.list_rate / 1e6 as list_usd_per_mtok,
    used.discount_number,
    prices.model_id,
    prices.region,
    prices.scope,
    prices.service_tier,
    prices.min_input_tokens,
    prices.effective_from,
    prices.effective_to,
    prices.source,
    prices.checked_on,
    prices.origin,
    prices.rate_class
from used
left join prices on prices.price_id = used.price_id
where used.tokens > 0
order by used.position
