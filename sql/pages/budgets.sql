-- What of each budget is spent, and is it exceeded?
-- Grain: as budget_status. :now is the moment to judge at, UTC text; blank is now.
-- Restricted visitors get the budgets that are wholly of what they may see, and those
-- that are for them alone.

-- :_visitor_applications, :_visitor_teams: what the visitor may see, NULL for all.
-- :_visitor_user: who the visitor is, NULL if unknown. How current loaded files are
-- would tell of other applications' calls.
{% set now = "coalesce(nullif(:now, ''), strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))" %}
{% set last_loaded %}
iif(
    {{ filters.sees_all() | trim }},
    (select max(day) from usage_daily),
    ''
)
{%- endset %}
with {{ budgets.states(now, last_loaded, budgets.is_visible()) }}

select
    {{ budgets.shown() }}
from states
order by
    budget_number,
    is_current desc,
    first_day desc,
    micro desc,
    name
