-- What would a token cost in the other scope, global or regional?
-- Grain: rate key x target x discount group x period of unchanged rates [valid_from,
-- valid_to), UTC days. target: the other scope.
-- Units: *_rate = pico-dollars per token (or image), with the account's discounts; NULL
-- where there is no price.
with {{ what_if.uses() }},

targets as materialized (
    select
        {{ what_if.other_use(
            'scopes.inference_scope',
            sent='scopes.prefix || used.model_id',
            scope='scopes.inference_scope'
        ) }}
    from used
    inner join (
        select
            'regional' as inference_scope,
            '' as prefix
        union all
        select
            'global' as inference_scope,
            'global.' as prefix
    ) as scopes
        on scopes.inference_scope <> used.inference_scope
),

{{ what_if.other_rates() }}
