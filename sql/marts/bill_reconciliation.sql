-- Does AWS's bill agree with the costs of the warehouse, month by month?
-- Grain: month x payer, of what is billed in USD.
-- state: open (some days may still change), agrees (within the tolerance: 1 % of the
-- bill or 1 USD, unless configured), explained (what is not understood is within it),
-- or unexplained.
-- Units: tokens; USD, billed less ours. Ours is as it was before the bill was known.
{{ bill_differences.months() }}
