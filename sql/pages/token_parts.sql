-- How much of the tokens is measured, how is the rest known, and how much has no price?
-- Grain: one row. Filters as in usage: :since, :until, :regions, :models, :users,
-- :applications, :teams. Units as in the view token_coverage.

-- :_visitor_applications, :_visitor_teams: what the visitor may see, NULL for all.
with {{ coverage.chosen() }}

select
    {{ coverage.sums() }}
from int_token_parts
where
    {{ filters.of_chosen() }}
