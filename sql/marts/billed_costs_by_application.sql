-- What does AWS's bill charge for each application?
-- Grain: application x currency, over all months that were loaded.
{{ bill.units() }}
{{ bill.totals('application') }}
