-- How much does each application spend each day?
-- Grain: day x account x region x model x application. Rows are also split by model id
-- as sent, service tier and context size, so sum them.
{{ costs.daily_units(has_bounds=true) }}

-- Every cost by application is a sum of these rows.
select
    costs.day,
    accounts.account_id,
    names.region,
    names.model_id,
    names.application,
    {{ costs.daily_columns() }},
    {{ costs.daily_bounds() }}
from priced_daily_by_application as costs
inner join accounts on accounts.account_key = costs.account_key
inner join int_names as names
    on
        names.rate_key = costs.rate_key
        and names.application_key = costs.application_key
