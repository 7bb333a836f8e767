-- How much of each CloudWatch total do calls report themselves?
-- Grain: hour x account x region x endpoint x CloudWatch model x token kind; only where
-- CloudWatch has a total. cached_tokens, gross_cached_tokens: the cached tokens that
-- these calls report, and those of them whose input is reported with the cached tokens.
with known as (
    select
        {{ columns.each(columns.metric_model, 'totals.{}') }},
        totals.metric_kind as token_kind,
        totals.model_key,
        totals.value as total_tokens,
        case totals.metric_kind
{% for kind in columns.kinds %}
            when '{{ kind.name }}'
                then {{ columns.total(kind, 'usage.{}', '\n+ ') }}
{% endfor %}
        end as known_tokens,
        {{ usage.unknown_calls_of('totals.metric_kind') }} as unknown_calls,
        {{ columns.each(columns.cache_counts, 'usage.{}', '\n+ ') }} as cached_tokens,
        (1 << usage.token_source_key) & ~forms.gross_sources = 0 as is_gross
    from metric_hourly as totals
    left join int_rate_series as series
        on
            {{ columns.same_series('series', 'totals') }}
    left join usage_hourly as usage
        on
            usage.hour = totals.hour
            and usage.account_key = totals.account_key
            and usage.rate_key = series.rate_key
    left join rate_keys on rate_keys.rate_key = usage.rate_key
    left join model_input_forms as forms on forms.model_key = rate_keys.model_key
    where
        totals.metric_kind in (
            {{ columns.each(columns.kinds | map(attribute='name'), "'{}'") }}
        )
),

final as (
    select
        {{ columns.each(columns.metric_model) }},
        token_kind,
        model_key,
        total_tokens,
        coalesce(sum(known_tokens), 0) as known_tokens,
        coalesce(sum(unknown_calls), 0) as unknown_calls,
        coalesce(sum(cached_tokens), 0) as cached_tokens,
        coalesce(sum(cached_tokens) filter (where is_gross), 0) as gross_cached_tokens
    from known
    group by
        {{ columns.each(columns.metric_model) }},
        token_kind,
        model_key,
        total_tokens
)

select * from final
