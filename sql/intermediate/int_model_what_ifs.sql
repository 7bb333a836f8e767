-- What would a token cost if the call had been to another model?
-- Grain: rate key x target x discount group x period of unchanged rates [valid_from,
-- valid_to), UTC days. target: the other model, of the same provider or in use.
-- Units: *_rate = pico-dollars per token (or image), with the account's discounts; NULL
-- where there is no price.
with {{ what_if.uses() }},

models as materialized (
    select
        model_id,
        provider,
        work,
        max(is_in_use) as is_in_use
    from int_book_models
    group by model_id
),

targets as materialized (
    select
        {{ what_if.other_use(
            'others.model_id',
            model='others.model_id',
            sent=what_if.sent_as('others.model_id')
        ) }}
    from used
    inner join models as own on own.model_id = used.model_id
    inner join models as others
        on
            others.model_id <> own.model_id
            and others.work = own.work
            and (others.provider = own.provider or others.is_in_use)
),

{{ what_if.other_rates() }}
