-- How much does each team spend each day?
-- Grain: day x account x region x model x application x team. Rows are also split by
-- model id as sent, service tier and context size, so sum them.
{{ costs.daily_units() }}
-- A shared application is split by its fixed shares: each count and cost of a row by
-- the largest remainder, so that the teams' parts are whole and add up to the row.

-- team_share_parts has what each team gets of the rest of a division by the sum of the
-- shares: value / total * share + part(value % total).
with named as (
    select
        costs.*,
        accounts.account_id,
        names.region,
        names.model_id,
        names.application,
        coalesce(shares.team, names.team) as team,
        shares.share,
        shares.total
    from priced_daily_by_application as costs
    inner join accounts on accounts.account_key = costs.account_key
    inner join int_names as names
        on
            names.rate_key = costs.rate_key
            and names.application_key = costs.application_key
    left join int_team_shares as shares on shares.application = names.application
),

costs as (
    select
        day,
        account_id,
        region,
        model_id,
        application,
        team,
        data_source,
{% for column in columns.daily %}
        {{ columns.shared(column) }} as {{ column }}{{ ',' if not loop.last }}
{% endfor %}
    from named
)

select
    costs.day,
    costs.account_id,
    costs.region,
    costs.model_id,
    costs.application,
    costs.team,
    {{ costs.daily_columns() }}
from costs
