-- Why does AWS's bill differ from the costs of the warehouse?
-- Grain: day x payer x account x region x model x kind x user x reason; price and
-- rounding also by inference scope, tier and context size. Only accounts and months of
-- the bill in USD. Units: USD, billed less ours; the rows of a day add up to its
-- difference, exactly in difference_picodollars. Ours is as it was before the bill was
-- known.
-- reason:
-- price: the same tokens at another rate: billed tokens times the difference of rates.
-- rounding: as small as what AWS rounds in each line.
-- missing calls: more tokens are billed than were seen; times our rate, like the next:
-- not yet billed, never billed: fewer are billed, on a day that is open or closed.
-- estimate error: the tokens were estimated, and the bill knows them: no more than were
-- estimated, and more only as far as other users had too much.
-- gross or net input: input is more or less by exactly the cached tokens.
-- tier: the same tokens in another tier, scope, context size or lifetime of the cache.
-- discount: the bill's discounts, less ours where list prices are compared.
-- Everything else that is billed is a reason of its own, under its charge_kind.
select
    {{ columns.each(bill_differences.reason) }},
    difference_tokens,
    rate / 1e6 as our_usd_per_million,
    billed_usd_per_million,
    round(difference_picodollars / 1e12, 12) as difference_usd,
    difference_picodollars
from bill_reasons
