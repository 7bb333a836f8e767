-- What would the same tokens have cost on other models?
-- Grain: model x scope x tier x other model (target).
-- The largest saving first. Filters as in usage. Units and caveats as in the view
-- model_what_if.

-- :_visitor_applications, :_visitor_teams: what the visitor may see, NULL for all.
{{ what_if.page('model', ['model_id', 'inference_scope', 'service_tier']) }}
