-- From which sources is a model's input gross, and from which of unknown form?
-- Grain: model as sent; only models that have such sources. Each source is a bit: 1
-- shifted by its key, and the lowest bit for CloudWatch.

-- This is the definition of model_input_forms, by which int_call_usage counts calls.
with summed as (
    select
        model_key,
        sum((form = 'gross') << max(token_source_key, 0)) as gross_sources,
        sum((form = 'unknown') << max(token_source_key, 0)) as unknown_sources
    from int_input_forms
    group by model_key
)

select * from summed
where gross_sources + unknown_sources > 0
