-- How much does each model cost each day, in each region?
-- Grain: day x account x region x model. Rows are also split by model id as sent,
-- service tier and context size, so sum them.
{{ costs.daily_units() }}

-- Every cost by model, region or day is a sum of these rows.
select
    costs.day,
    accounts.account_id,
    regions.region,
    int_models.canonical_model_id as model_id,
    {{ costs.daily_columns() }}
from priced_daily_by_model as costs
inner join accounts on accounts.account_key = costs.account_key
inner join rate_keys on rate_keys.rate_key = costs.rate_key
inner join regions on regions.region_key = rate_keys.region_key
inner join int_models on int_models.model_key = rate_keys.model_key
