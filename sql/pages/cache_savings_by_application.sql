-- What did caching save each application, and what could it gain?
-- Grain: application x model, the largest amounts first. Filters as in usage. Units and
-- caveats as in the view cache_savings.

-- :_visitor_applications, :_visitor_teams: what the visitor may see, NULL for all.
{% set by = ['application', 'model_id'] %}
with {{ what_if.chosen_usage() }},

{{ savings.of_cache(by) }}

select
    {{ columns.each(by) }},
    {{ savings.figures() }}
from savings
order by
    abs(coalesce(saved_picodollars, 0)) + coalesce(savable_picodollars, 0) desc,
    calls desc,
    {{ columns.each(by) }}
