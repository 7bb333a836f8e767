-- What does AWS's bill charge for each team?
-- Grain: team x currency, over all months that were loaded. A shared application is
-- split by its fixed shares, as in team_costs: each line by the largest remainder.
{{ bill.units() }}

-- The rest of a division has no sign in team_share_parts.
{% set split = ['billed_tokens', 'lines', 'cost_pico', 'net_cost_pico'] %}
with named as (
    select
        lines.application,
        coalesce(shares.team, lines.team) as team,
        shares.share,
        shares.total,
        lines.currency,
        lines.charge_kind,
{% for column in split %}
        sign(lines.{{ column }}) as {{ column }}_sign,
        abs(lines.{{ column }}) as {{ column }}{{ ',' if not loop.last }}
{% endfor %}
    from int_bill_lines as lines
    left join int_team_shares as shares on shares.application = lines.application
),

parts as (
    select
        team,
        currency,
        charge_kind,
{% for column in split %}
        {{ column }}_sign
        * ({{ columns.shared(column) }}) as {{ column }}{{ ',' if not loop.last }}
{% endfor %}
    from named
),

of_teams as (
    select
        *,
        iif(currency = 'USD', cost_pico, null) as billed_cost_picodollars,
        iif(currency = 'USD', net_cost_pico, null) as net_cost_picodollars,
        iif(currency = 'USD' and charge_kind = 'usage', cost_pico, null)
            as usage_picodollars
    from parts
)

{{ bill.totals('team', 'of_teams') }}
