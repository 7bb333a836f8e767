-- What did each kind of token of a call cost, and at which price?
-- Grain: kind of token that the call used, in the column order of calls. Units: tokens;
-- USD per million tokens, USD. The price columns are NULL where there is no price.
with call as (
    select *
    from calls
    where event_time = :event_time and event_id = :event_id
),

used as (
{% for count, price in columns.priced_counts %}
    select
        {{ loop.index }} as position,
        '{{ price }}' as token_kind,
        {{ count }} as tokens,
        {{ price }}_price_id as price_id
    from call
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
    prices.usd_per_mtok / 1e6 as usd_per_mtok,
    used.tokens * prices.usd_per_mtok / 1e12 as cost_usd,
    prices.model_id,
    prices.region,
    prices.scope,
    prices.service_tier,
    prices.min_input_tokens,
    prices.effective_from,
    prices.effective_to,
    prices.source,
    prices.checked_on,
    prices.origin
from used
left join prices on prices.price_id = used.price_id
where used.tokens > 0
order by used.position
