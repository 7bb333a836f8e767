-- How much does each user spend each day?
-- Grain: day x account x region x model x user. Rows are also split by model id as
-- sent, service tier and context size, so sum them.
{{ costs.daily_units(has_bounds=true) }}

-- Every cost by user is a sum of these rows.
select
    costs.day,
    accounts.account_id,
    regions.region,
    int_models.canonical_model_id as model_id,
    users.user_name,
    {{ costs.daily_columns() }},
    {{ costs.daily_bounds() }}
from priced_daily_by_user as costs
inner join accounts on accounts.account_key = costs.account_key
inner join rate_keys on rate_keys.rate_key = costs.rate_key
inner join regions on regions.region_key = rate_keys.region_key
inner join int_models on int_models.model_key = rate_keys.model_key
inner join stg_users as users on users.user_key = costs.user_key
