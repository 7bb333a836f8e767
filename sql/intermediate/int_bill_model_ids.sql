-- Which model does each id of a price stand for, that the bill names?
-- Grain: id of a price. model_id: a canonical one; an id under which no model's price
-- is listed stands for itself.
select
    billed.price_model_id,
    coalesce(
        (
            select models.model_id from int_bill_models as models
            where models.price_model_id = billed.price_model_id
            limit 1
        ),
        (
            select models.model_id from int_models
            inner join model_price_ids as ids
                on ids.model_key = int_models.price_model_key
            inner join int_bill_models as models
                on models.model_key = int_models.model_key
            where ids.price_model_id = billed.price_model_id
            order by ids.match_rank, models.model_id
            limit 1
        ),
        billed.price_model_id
    ) as model_id
from (select distinct price_model_id from bill_models) as billed
