-- Does a model's input contain its cached tokens, as each source reports it?
-- Grain: model as sent x token source, CloudWatch included. form: gross = it contains
-- cache reads and writes, net = it does not, unknown. The other columns are the row of
-- input_forms that says so: that of the longest family that the model id begins with.
with matching as (
    select
        int_models.model_key,
        token_sources.token_source_key,
        input_forms.*,
        row_number() over (
            partition by int_models.model_key, token_sources.token_source_key
            order by
                input_forms.family = '*',
                length(input_forms.family) desc,
                input_forms.token_source = '*'
        ) as choice
    from int_models
    inner join input_forms
        on
            input_forms.family
            in (
                '*',
                substr(int_models.canonical_model_id, 1, length(input_forms.family))
            )
    inner join token_sources
        on
            token_sources.token_source_key <> 0
            and input_forms.token_source in ('*', token_sources.token_source)
)

select
    model_key,
    token_source_key,
    form,
    family,
    token_source,
    source,
    checked_on
from matching
where choice = 1
