-- Which usage has no price, and which price did it nearly match?
-- Grain: as the view price_gaps, the most tokens first; gaps that have a day from
-- :since to :until. Regions and models are JSON arrays, NULL for all.
select *
from price_gaps
where
    last_day >= coalesce(:since, '')
    and first_day <= coalesce(:until, '9999')
    and (:regions is null or region in (select value from json_each(:regions)))
    and (:models is null or model_id in (select value from json_each(:models)))
order by
    tokens desc,
    calls desc,
    model_id,
    region,
    inference_scope,
    service_tier,
    min_input_tokens,
    token_kind,
    first_day
