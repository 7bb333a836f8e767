-- Under which name are a model's calls compared with the bill?
-- Grain: as int_models. price_model_id: the id that the bill names, of those under
-- which the model's price may be listed, or else the canonical one. model_id: the
-- canonical id of the models that the bill names by that id, one for all.
with matched as (
    select
        int_models.model_key,
        int_models.canonical_model_id,
        ids.price_model_id,
        ids.match_rank,
        row_number() over (
            partition by int_models.model_key order by ids.match_rank
        ) as choice
    from int_models
    inner join model_price_ids as ids on ids.model_key = int_models.price_model_key
    where ids.price_model_id in (select price_model_id from bill_models)
),

chosen as (
    select
        model_key,
        price_model_id,
        first_value(canonical_model_id) over (
            partition by price_model_id
            order by
                canonical_model_id <> price_model_id,
                match_rank,
                canonical_model_id
        ) as model_id
    from matched
    where choice = 1
)

select
    int_models.model_key,
    int_models.inference_scope,
    int_models.is_provisioned,
    coalesce(chosen.price_model_id, int_models.canonical_model_id) as price_model_id,
    coalesce(chosen.model_id, int_models.canonical_model_id) as model_id
from int_models
left join chosen on chosen.model_key = int_models.model_key
