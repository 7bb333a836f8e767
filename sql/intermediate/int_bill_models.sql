-- Which id does the bill have for each model?
-- Grain: as int_models. model_id is the id of the prices that the bill names, or else
-- the canonical one.
with billed as materialized (
    select distinct model_id from int_bill_lines
    where charge_kind = 'usage'
)

select
    int_models.model_key,
    int_models.inference_scope,
    coalesce(
        (
            select ids.price_model_id from model_price_ids as ids
            where
                ids.model_key = int_models.price_model_key
                and ids.price_model_id in (select model_id from billed)
            order by ids.match_rank
            limit 1
        ),
        int_models.canonical_model_id
    ) as model_id
from int_models
