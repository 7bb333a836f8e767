-- What would a token cost in the other scope, global or regional?
-- Grain: rate key x target x discount group x period of unchanged rates [valid_from,
-- valid_to), UTC days. target: the other scope.
-- Units: *_rate = pico-dollars per token (or image), with the account's discounts; NULL
-- where there is no price.
{{ what_if.choices('scope') }}
