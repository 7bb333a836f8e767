-- For how many calls does AWS report the tokens call by call, and how are the tokens of
-- the others known?
-- Grain: day x region x model. Units: successful calls; tokens of all kinds;
-- coverage_pct is 0 to 100, NULL without calls.

-- "Events with token data: X / Y" is sum(calls_with_tokens) / sum(calls). Each token is
-- in one of the columns from actual_tokens to unattributed_tokens.
with {{ coverage.summed() }}

select
    summed.day,
    regions.region,
    int_models.canonical_model_id as model_id,
    {{ coverage.sums() }}
from summed
{{ coverage.names() }}
group by summed.day, regions.region, int_models.canonical_model_id
-- Calls that failed have no tokens.
having
    sum(calls) > 0
    or sum(actual_tokens) > 0
    or sum(shared_tokens) > 0
    or sum(unattributed_tokens) > 0
