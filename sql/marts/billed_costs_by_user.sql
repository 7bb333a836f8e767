-- What does AWS's bill charge for each user?
-- Grain: user x currency, over all months that were loaded.
{{ bill.units() }}
{{ bill.totals('user_name') }}
