-- What would the same tokens have cost in another service tier?
-- Grain: region x model x scope x tier x other tier (target).
-- The largest saving first. Filters as in usage. Units and caveats as in the view
-- tier_what_if.

-- :_visitor_applications, :_visitor_teams: what the visitor may see, NULL for all.
{{ what_if.page('tier', ['region', 'model_id', 'inference_scope', 'service_tier']) }}
