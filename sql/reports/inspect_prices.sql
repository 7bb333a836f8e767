-- By which price did each kind of token of a call cost what?
-- Grain: kind of token that the call used, in the order of the columns of calls. Units:
-- tokens; USD per million tokens, USD. The columns of prices are NULL where there is
-- none.
with call as (
    select *
    from calls
    where event_time = :event_time and event_id = :event_id
),

used as (
    select
        1 as position,
        'input' as token_kind,
        input_tokens as tokens,
        input_price_id as price_id
    from call
    union all
    select
        2 as position,
        'output' as token_kind,
        output_tokens as tokens,
        output_price_id as price_id
    from call
    union all
    select
        3 as position,
        'cache_read' as token_kind,
        cache_read_tokens as tokens,
        cache_read_price_id as price_id
    from call
    union all
    select
        4 as position,
        'cache_write_5m' as token_kind,
        cache_write_5m_tokens as tokens,
        cache_write_5m_price_id as price_id
    from call
    union all
    select
        5 as position,
        'cache_write_1h' as token_kind,
        cache_write_1h_tokens as tokens,
        cache_write_1h_price_id as price_id
    from call
    union all
    select
        6 as position,
        'image' as token_kind,
        image_count as tokens,
        image_price_id as price_id
    from call
)

select
    used.token_kind,
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
    prices.is_override
from used
left join prices on prices.price_id = used.price_id
where used.tokens > 0
order by used.position
