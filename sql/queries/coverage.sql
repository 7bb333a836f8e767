-- title: Token coverage per day
-- description: For how many calls AWS reports the tokens call by call, and how the
--   tokens of the others are known.
{{ filters.period_in_words() }}
-- parameters: date_from, date_to, regions, models
-- chart: bar x=day:ordinal y=coverage_pct:quantitative
with {{ coverage.summed(filters.period_days()) }}

select
    summed.day,
    {{ coverage.sums() }}
from summed
{{ coverage.names() }}
where
    {{ filters.chosen('regions', 'regions.region') }}
    and {{ filters.chosen('models', 'int_models.canonical_model_id') }}
group by summed.day
having sum(calls) > 0
order by summed.day
