-- Which model does each id of a price stand for, that the bill names?
-- Grain: id of a price. model_id: a canonical one; an id under which no model's price
-- is listed stands for itself.
with ranked as (
    select
        ids.price_model_id,
        models.model_id,
        row_number() over (
            partition by ids.price_model_id
            order by
                models.price_model_id <> ids.price_model_id,
                ids.match_rank,
                models.model_id
        ) as choice
    from int_bill_models as models
    inner join int_models on int_models.model_key = models.model_key
    inner join model_price_ids as ids on ids.model_key = int_models.price_model_key
    where ids.price_model_id in (select price_model_id from bill_models)
),

-- Materialized: otherwise SQLite would work it out for each line of the bill.
final as materialized (
    select distinct
        billed.price_model_id,
        coalesce(ranked.model_id, billed.price_model_id) as model_id
    from bill_models as billed
    left join ranked
        on
            ranked.price_model_id = billed.price_model_id
            and ranked.choice = 1
)

select * from final
