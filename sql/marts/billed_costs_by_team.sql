-- What does AWS's bill charge for each team?
-- Grain: team x currency, over all months that were loaded.
{{ bill.units() }}
{{ bill.totals('team') }}
