-- What does the bill charge, and what did the warehouse know of the same?
-- Grain: day x payer x account x region x model x token kind x inference scope x tier x
-- context size x user x charge kind, of the accounts and months that the bill covers.
-- user_name is NULL where the bill does not name all users of an account's model on a
-- day. Where an account has several payers, one of them has our figures of a day.
-- Units: tokens (or images, ...); whole pico-dollars; rates in pico-dollars per token.
-- our_basis is our cost at `rate`: a list price where the bill has discounts apart.
select
    {{ columns.each(bill.place) }},
    {{ bill.counted_kind('token_kind') }} as counted_kind,
    {{ columns.each(bill.variant) }},
    charge_kind,
    is_open,
    is_current,
    billed_lines,
    mantle_lines,
    billed,
    billed_cost,
    is_tokens,
    known,
    estimated,
    known + estimated as ours,
    our_cost,
    billed_cost - our_cost as difference,
    iif(charge_kind = 'not understood', billed_cost, 0) as not_understood,
    our_basis,
    rate,
    list_rate
from bill_cells
