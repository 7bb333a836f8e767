-- How is a cost calculated: which tokens, at which price?
-- Grain: model x region x service tier x context size x period of unchanged prices x
-- discount x data source x token kind, most expensive first. Filters as in usage:
-- :since, :until, :regions, :models, :users, :applications, :teams.
-- Units: tokens (images for the kind image); usd_per_mtok = USD per million of them;
-- cost_usd = tokens x usd_per_mtok / 1e6, NULL without a price. list_usd_per_mtok is
-- the list price, discount_number the discount in usd_per_mtok. calls are those whose
-- tokens come from the line's data source; each of its lines shows the same number.
-- A row with token_kind NULL counts calls without known tokens.

-- :_visitor_applications, :_visitor_teams: what the visitor may see, NULL for all.
{{ cost_lines.lines() }}

select * from final
order by
    cost_usd desc,
    calls desc,
    model_id,
    region,
    data_source,
    token_kind,
    service_tier,
    min_input_tokens,
    price_id,
    discount_number
