-- What would the same tokens have cost on other models?
-- Grain: model x scope x tier x other model (target).
-- The largest saving first. Filters as in usage. Units and caveats as in the view
-- model_what_if.

-- :_visitor_applications, :_visitor_teams: what the visitor may see, NULL for all.
{% set by = ['model_id', 'inference_scope', 'service_tier'] %}
with {{ what_if.chosen_usage() }},

{{ what_if.compared('model', by) }}

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
