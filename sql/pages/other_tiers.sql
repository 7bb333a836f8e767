-- What would the same tokens have cost in another service tier?
-- Grain: region x model x scope x tier x other tier (target).
-- The largest saving first. Filters as in usage. Units and caveats as in the view
-- tier_what_if.

-- :_visitor_applications, :_visitor_teams: what the visitor may see, NULL for all.
{% set by = ['region', 'model_id', 'inference_scope', 'service_tier'] %}
with {{ what_if.chosen_usage() }},

{{ what_if.compared('tier', by) }}

select
    {{ columns.each(by) }},
    target,
    {{ what_if.figures() }}
from compared
order by
    difference_usd is null,
    difference_usd,
    cost_usd desc,
    {{ columns.each(by) }},
    target
