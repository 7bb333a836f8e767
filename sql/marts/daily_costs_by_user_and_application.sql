-- How much does each user spend through each application each day?
-- Grain: day x account x region x model x user x application x team. Rows are also
-- split by model id as sent, service tier and context size, so sum them.
{{ costs.daily_units(has_bounds=true) }}
select
    costs.day,
    accounts.account_id,
    names.region,
    names.model_id,
    users.user_name,
    names.application,
    names.team,
    {{ costs.daily_columns() }},
    {{ costs.daily_bounds() }}
from priced_daily as costs
inner join accounts on accounts.account_key = costs.account_key
inner join int_names as names
    on
        names.rate_key = costs.rate_key
        and names.application_key = costs.application_key
inner join stg_users as users on users.user_key = costs.user_key
