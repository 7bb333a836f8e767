-- title: Models in use
-- description: Which models are in use, since when, and whether they have a price.
{{ filters.period_in_words() }}
-- parameters: date_from, date_to, regions, models
-- chart: bar x=calls:quantitative y=model_id:ordinal color=price_status
select
    model_id,
    {{ costs.models() }},
    model_name,
    provider_name
from daily_costs_by_model
left join foundation_models using (model_id)
where
    {{ filters.period() }}
group by model_id
order by sum(calls) desc, model_id
