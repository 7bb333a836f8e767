-- What is left of each CloudWatch total after the known tokens?
-- Grain: as int_metric_known. residual_tokens = max(total - known, 0).

-- Input is compared in the form in which CloudWatch counts it for that model. Net: with
-- the known input less what the estimated cached tokens take from it. Gross: with all
-- cached tokens in it, known and estimated, which are not estimated as input again.
-- Unknown: with what calls report, as they report it.
with parts as (
    select
        {{ columns.each(columns.metric_model) }},
        token_kind,
        model_key,
        total_tokens,
        known_tokens,
        unknown_calls,
        cached_tokens,
        gross_cached_tokens,
        iif(
            token_kind in ({{ columns.each(columns.cache_kinds, "'{}'", ', ') }}),
            max(total_tokens - known_tokens, 0),
            0
        ) as cache_residual,
        0 as taken_from_input
    from int_metric_known
    union all
    select
        {{ columns.each(columns.metric_model) }},
        'cached_input' as token_kind,
        null as model_key,
        null as total_tokens,
        null as known_tokens,
        null as unknown_calls,
        null as cached_tokens,
        null as gross_cached_tokens,
        0 as cache_residual,
        cached_tokens as taken_from_input
    from int_cached_input
),

together as (
    select
        *,
        sum(cache_residual) over series as cache_residuals,
        sum(taken_from_input) over series as cached_input
    from parts
    window series as (
        partition by {{ columns.metric_model | join(', ') }}
    )
),

compared as (
    select
        {{ columns.each(columns.metric_model, 'together.{}') }},
        together.token_kind,
        together.model_key,
        together.total_tokens,
        case
            when together.token_kind <> '{{ columns.input_kind }}' then together.known_tokens
            -- The lowest bit is CloudWatch's.
            when forms.gross_sources & 1
                then
                    together.known_tokens
                    + together.cached_tokens
                    + together.cache_residuals
                    - together.cached_input
            when forms.unknown_sources & 1
                then together.known_tokens + together.gross_cached_tokens
            else together.known_tokens - together.cached_input
        end as known_tokens,
        together.unknown_calls
    from together
    left join model_input_forms as forms on forms.model_key = together.model_key
    where together.token_kind <> 'cached_input'
)

select
    *,
    max(total_tokens - known_tokens, 0) as residual_tokens
from compared
