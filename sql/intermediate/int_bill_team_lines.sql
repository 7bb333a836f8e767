-- What of each sum of lines of the bill does each team pay?
-- Grain: as int_bill_lines, for a shared application also by team: each line is split
-- by its fixed shares, by the largest remainder. Money as there.

-- The rest of a division has no sign in team_share_parts.
{% set split = ['billed_tokens', 'lines', 'cost_pico', 'net_cost_pico'] %}
with named as (
    select
        lines.day,
        lines.region,
        lines.model_id,
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
        day,
        region,
        model_id,
        application,
        team,
        currency,
        charge_kind,
{% for column in split %}
        {{ column }}_sign
        * ({{ columns.shared(column) }}) as {{ column }}{{ ',' if not loop.last }}
{% endfor %}
    from named
)

select
    *,
    iif(currency = 'USD', cost_pico, null) as billed_cost_picodollars,
    iif(currency = 'USD', net_cost_pico, null) as net_cost_picodollars,
    iif(currency = 'USD' and charge_kind = 'usage', cost_pico, null)
        as usage_picodollars
from parts
