-- What does AWS's bill charge for each model?
-- Grain: model x currency, over all months that were loaded.
{{ bill.units() }}
{{ bill.totals('model_id') }}
