-- What does each kind of token cost?
-- Grain: token kind, most expensive first. Filters as in usage: :since, :until,
-- :regions, :models, :users, :applications, :teams.
-- Units: tokens (images for the kind image); usd_per_mtok = USD per million of them, on
-- average over the models, regions, tiers and prices used. Both leave out
-- unpriced_tokens, which have no price.

-- :_visitor_applications, :_visitor_teams: what the visitor may see, NULL for all.
{{ cost_lines.lines() }},

by_kind as (
    select
        token_kind,
        sum(tokens) filter (where usd_per_mtok is not null) as tokens,
        sum(cost_usd) as cost_usd,
        coalesce(sum(tokens) filter (where usd_per_mtok is null), 0) as unpriced_tokens
    from final
    where token_kind is not null
    group by token_kind
)

select
    token_kind,
    tokens,
    round(cost_usd, 9) as cost_usd,
    round(cost_usd * 1e6 / tokens, 9) as usd_per_mtok,
    unpriced_tokens
from by_kind
order by cost_usd desc, token_kind
