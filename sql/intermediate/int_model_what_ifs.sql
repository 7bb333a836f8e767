-- What would a token cost if the call had been to another model?
-- Grain: rate key x target x discount group x period of unchanged rates [valid_from,
-- valid_to), UTC days. target: the other model, of the same provider or in use.
-- Units: *_rate = pico-dollars per token (or image), with the account's discounts; NULL
-- where there is no price.
{{ what_if.choices('model') }}
