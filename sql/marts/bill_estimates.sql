-- How far off were the estimates, as the bill knows now?
-- Grain: day x account x region x model x kind of token x user, of closed days of which
-- some tokens were estimated. Units: tokens (or images, ...). off_tokens is billed less
-- ours; is_confirmed is 1 where that is at most 1 percent of what is billed, unless
-- another tolerance is configured. user_name is NULL where the bill does not name all.
with estimated as (
    select
        {{ columns.each(bill.place) }},
        counted_kind as token_kind,
        sum(ours) as our_tokens,
        sum(estimated) as estimated_tokens,
        sum(billed) as billed_tokens
    from int_bill_cells
    where charge_kind = 'usage' and not is_open
    group by
        {{ columns.each(bill.place) }},
        counted_kind
    having sum(estimated) > 0
)

select
    *,
    billed_tokens - our_tokens as off_tokens,
    round(100.0 * (billed_tokens - our_tokens) / nullif(billed_tokens, 0), 2)
        as off_percent,
    abs(billed_tokens - our_tokens) * 1000000
    <= billed_tokens * (select coalesce(max(millionths), 10000) from bill_tolerance)
        as is_confirmed
from estimated
