-- How much of the tokens is known, and how, by day, region and model?
-- Grain: day x region x model. Filters as in pages/usage, units as in the view
-- token_coverage.
with {{ coverage.chosen() }},

{{ coverage.summed(filters.of_chosen()) }}

select
    summed.day,
    regions.region,
    int_models.canonical_model_id as model_id,
    {{ coverage.sums() }}
from summed
{{ coverage.names() }}
group by summed.day, regions.region, int_models.canonical_model_id
order by summed.day, regions.region, int_models.canonical_model_id
