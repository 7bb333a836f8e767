-- What of each budget is spent, and is it exceeded?
-- Grain: as budget_status. :now is the moment to judge at, UTC text; blank is now.
-- Restricted visitors get the budgets that are wholly of what they may see, and those
-- that are for them alone.

-- :_visitor_applications, :_visitor_teams: what the visitor may see, NULL for all.
-- :_visitor_user: who the visitor is, NULL if unknown.
{% set now = "coalesce(nullif(:now, ''), strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))" %}
{% set hides_reading %}
:_visitor_applications is not null or :_visitor_teams is not null
{%- endset %}
with {{ budgets.states(now, budgets.is_visible(), hides_reading) }}

select
    {{ budgets.shown() }}
from states
order by
    budget_number,
    is_current desc,
    first_day desc,
    micro desc,
    name
