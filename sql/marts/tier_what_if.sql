-- What would the same tokens have cost in another service tier?
-- Grain: month x application x team x region x model x scope x tier x
-- other tier, which is target.
-- Units: calls; tokens; USD, summed exactly. A cost is NULL where it is not known:
-- missing_prices names the kinds of token for which target has no price. difference_usd
-- is also NULL where what was used has unpriced_calls or unpriced_tokens. Both costs
-- leave out calls_without_tokens. Prices are those of the days of usage, with the
-- account's discounts and negotiated rates.
-- It is no promise: batch takes up to 24 hours and does not stream; flex answers more
-- slowly and may be throttled. A price does not mean that a region offers the tier.

with {{ what_if.usage() }},

{{ what_if.compared('tier') }}

select
    {{ columns.each(what_if.grain) }},
    target,
    {{ what_if.figures() }}
from compared
