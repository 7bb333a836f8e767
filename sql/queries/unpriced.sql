-- title: Usage without a price
-- description: Usage of models or kinds of token without a price, by model id as sent.
--   No cost includes it. The view price_gaps has the price that it nearly matches.
{{ filters.period_in_words() }}
-- parameters: date_from, date_to, regions, models
select
    {{ costs.without_price() }}
from int_unpriced_usage
where
    {{ filters.period() }}
group by raw_model_id, model_id, region
order by sum(unpriced_calls) desc, sum(unpriced_tokens) desc, raw_model_id, region
