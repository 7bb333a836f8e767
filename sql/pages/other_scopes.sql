-- What would the same tokens have cost with global or with regional inference?
-- Grain: region x model x scope x tier x other scope (target).
-- The largest saving first. Filters as in usage. Units and caveats as in the view
-- scope_what_if.

-- :_visitor_applications, :_visitor_teams: what the visitor may see, NULL for all.
{% set by = ['region', 'model_id', 'inference_scope', 'service_tier'] %}
with {{ what_if.chosen_usage() }},

{{ what_if.compared('scope', by) }}

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
