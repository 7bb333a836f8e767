-- What would the same tokens have cost on other models?
-- Grain: month x application x team x region x model x scope x tier x
-- other model, which is target.
-- Units: calls; tokens; USD, summed exactly. A cost is NULL where it is not known:
-- missing_prices names the kinds of token for which target has no price. difference_usd
-- is also NULL where what was used has unpriced_calls or unpriced_tokens. Both costs
-- leave out calls_without_tokens. Prices are those of the days of usage, with the
-- account's discounts and negotiated rates.
-- Other models are those of the same provider and those in use that do the same work.
-- It is no promise: another model cuts text into other numbers of tokens, may write
-- longer or worse answers, has other limits, and may not be offered where you need it.

with {{ what_if.usage() }},

{{ what_if.compared('model') }}

select
    {{ columns.each(what_if.grain) }},
    target,
    {{ what_if.figures() }}
from compared
