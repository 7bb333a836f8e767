-- What is left of CloudWatch's cached tokens after the known ones?
-- Grain: as int_metric_known, for the kinds of cached tokens. surplus_input: by how
-- much the known input exceeds CloudWatch's, both without cached tokens, as far as they
-- are known; NULL where it is unknown what CloudWatch's input contains.
with together as (
    select
        *,
        max(total_tokens - known_tokens, 0) as residual_tokens,
        sum(
            iif(
                token_kind in ({{ columns.each(columns.cache_kinds, "'{}'", ', ') }}),
                max(total_tokens - known_tokens, 0),
                0
            )
        ) over series as cache_residuals,
        sum(
            iif(token_kind = '{{ columns.input_kind }}', known_tokens - total_tokens, null)
        ) over series as input_difference
    from int_metric_known
    window series as (
        partition by {{ columns.metric_model | join(', ') }}
    )
)

select
    {{ columns.each(columns.metric_model, 'together.{}') }},
    together.token_kind,
    together.unknown_calls,
    together.residual_tokens,
    case
        -- The lowest bit is CloudWatch's.
        when forms.gross_sources & 1
            then
                together.input_difference
                + together.cached_tokens
                + together.cache_residuals
        when forms.unknown_sources & 1 then null
        else together.input_difference
    end as surplus_input
from together
left join model_input_forms as forms on forms.model_key = together.model_key
where together.token_kind in ({{ columns.each(columns.cache_kinds, "'{}'", ', ') }})
