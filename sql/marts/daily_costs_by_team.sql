-- How much does each team spend each day?
-- Grain: day x account x region x model x application x team. Rows are also split by
-- model id as sent, service tier and context size, so sum them.
{{ costs.daily_units(has_bounds=true) }}
-- A shared application is split by its fixed shares: each count and cost of a row by
-- the largest remainder, so that the teams' parts are whole and add up to the row. Each
-- part is a lower bound if the row is one.

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
        shares.total,
        -- Those of which the tokens are estimated.
        costs.calls - costs.calls_with_tokens - costs.calls_without_tokens
            as other_calls,
        costs.cost_picodollars - costs.cost_low_picodollars as cost_below,
        costs.cost_high_picodollars - costs.cost_picodollars as cost_above,
        {{ costs.leaves_something_out() }}
            as is_lower_bound
    from priced_daily_by_application as costs
    inner join accounts on accounts.account_key = costs.account_key
    inner join int_names as names
        on
            names.rate_key = costs.rate_key
            and names.application_key = costs.application_key
    left join int_team_shares as shares on shares.application = names.application
),

parts as (
    select
        day,
        account_id,
        region,
        model_id,
        application,
        team,
        data_source,
        is_lower_bound,
        unbounded_estimates,
        {{ columns.shared('cost_below') }} as cost_below,
        {{ columns.shared('cost_above') }} as cost_above,
        -- All calls of the row are of one model and day, with a price or without.
        unpriced_calls > 0 as is_unpriced,
        cost_picodollars is list_cost_picodollars as is_list,
        {{ columns.shared('list_cost_picodollars') }} as own_list_cost,
{% for column in columns.split %}
        {{ columns.shared(column) }} as {{ column }}{{ ',' if not loop.last }}
{% endfor %}
    from named
),

summed as (
    select
        *,
        calls_with_tokens + calls_without_tokens + other_calls as calls,
        coalesce(
            actual_cost_picodollars + estimated_cost_picodollars,
            actual_cost_picodollars,
            estimated_cost_picodollars
        ) as cost_picodollars
    from parts
),

costs as (
    select
        *,
        iif(is_unpriced, calls, 0) as unpriced_calls,
        iif(is_list, cost_picodollars, own_list_cost) as list_cost_picodollars,
        cost_picodollars - cost_below as cost_low_picodollars,
        cost_picodollars + cost_above as cost_high_picodollars
    from summed
)

select
    costs.day,
    costs.account_id,
    costs.region,
    costs.model_id,
    costs.application,
    costs.team,
    {{ costs.daily_columns(is_lower_bound='costs.is_lower_bound') }},
    {{ costs.daily_bounds(is_lower_bound='costs.is_lower_bound') }}
from costs
