-- What would the same tokens have cost with global or with regional inference?
-- Grain: month x application x team x region x model x scope x tier x
-- other scope, which is target.
-- Units: calls; tokens; USD, summed exactly. A cost is NULL where it is not known:
-- missing_prices names the kinds of token for which target has no price. difference_usd
-- is also NULL where what was used has unpriced_calls or unpriced_tokens. Both costs
-- leave out calls_without_tokens. Prices are those of the days of usage, with the
-- account's discounts and negotiated rates.
-- It is no promise: with a global profile AWS may process requests in any commercial
-- region, which rules on where data may go can forbid; limits and latency differ. Not
-- every model has a global profile: target is one for which there are prices.

with {{ what_if.usage() }},

{{ what_if.compared('scope') }}

select
    {{ columns.each(what_if.grain) }},
    target,
    {{ what_if.figures() }}
from compared
