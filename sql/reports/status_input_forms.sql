-- Where may cached tokens be charged twice, and where do reports contradict themselves?
-- Grain: model as sent x source of the input; only where there is something to tell.
-- calls, cached_tokens: successful calls whose input is of unknown form, and the cached
-- tokens known or estimated for them, of which some may be charged twice. Input that is
-- estimated is from CloudWatch; no call may account for it, so calls may be 0.
-- input_contradictions: calls whose cached tokens exceed the input that should contain
-- them.

-- The priced days say where a model has cached tokens at all, in far fewer rows.
with unknown as (
    select
        models.model_id,
        iif(usage.token_source_key = 0, -1, usage.token_source_key)
            as token_source_key,
        iif(usage.token_source_key = 0, usage.estimated_calls, usage.calls) as calls,
        {{ columns.each(columns.cache_counts, 'usage.{}', '\n+ ') }}
{% for kind in columns.kinds if kind.name in columns.cache_kinds %}
        + coalesce(usage.{{ kind.estimate }}, 0)
{% endfor %}
            as cached_tokens,
        0 as input_contradictions
    from model_input_forms as forms
    inner join models on models.model_key = forms.model_key
    inner join rate_keys on rate_keys.model_key = forms.model_key
    inner join priced_daily_by_model as days on days.rate_key = rate_keys.rate_key
    cross join usage_daily as usage
        on
            usage.day = days.day
            and usage.account_key = days.account_key
            and usage.rate_key = days.rate_key
    where
        forms.unknown_sources > 0
        and (days.cache_read_tokens > 0 or days.cache_write_tokens > 0)
        -- The lowest bit is CloudWatch's; key 0: calls without counts of their own.
        and (usage.token_source_key > 0 or usage.estimated_input_tokens > 0)
        and (forms.unknown_sources >> usage.token_source_key) & 1
),

-- An index covers exactly these rows.
contradicting as (
    select
        models.model_id,
        usage.token_source_key,
        0 as calls,
        0 as cached_tokens,
        usage.input_contradictions
    from usage_daily as usage
    inner join rate_keys on rate_keys.rate_key = usage.rate_key
    inner join models on models.model_key = rate_keys.model_key
    where usage.input_contradictions > 0
),

parts as (
    select * from unknown
    where cached_tokens > 0
    union all
    select * from contradicting
)

select
    parts.model_id,
    token_sources.token_source,
    sum(parts.calls) as calls,
    sum(parts.cached_tokens) as cached_tokens,
    sum(parts.input_contradictions) as input_contradictions
from parts
inner join token_sources on token_sources.token_source_key = parts.token_source_key
group by parts.model_id, token_sources.token_source
order by cached_tokens desc, input_contradictions desc, parts.model_id, token_source
