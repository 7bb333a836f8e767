-- Who used what, day by day, and what does it cost? Every other cost adds this up.
-- Grain: day x account x region x model x user x application x data source, and finer:
-- a row of its own for each model id as sent, service tier and context size. Add them
-- up.
-- Units: tokens; USD; *_picodollars are whole numbers, 10^12 = 1 USD, for exact sums.
-- Caveats: a token column is NULL where unknown, a cost where the tokens or a price are
-- unknown. data_source tells measured from estimated rows. A row may count no call: the
-- estimated part of calls counted elsewhere, or (unattributed) usage.
-- No discount is configured in this version: cost_usd equals list_cost_usd.
select
    day,
    account_id,
    region,
    model_id,
    user_name,
    application,
    data_source,
    calls,
    failed_calls,
    input_tokens,
    output_tokens,
    cache_read_tokens,
    cache_write_tokens,
    image_count,
    list_cost_picodollars / 1e12 as list_cost_usd,
    list_cost_picodollars / 1e12 as cost_usd,
    list_cost_picodollars as cost_picodollars,
    unpriced_calls,
    unpriced_tokens,
    calls_without_tokens
from int_usage_priced
where period_kind = 'day'
