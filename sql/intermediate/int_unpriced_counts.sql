-- How much of each kind has no price, day by day?
-- Grain: rate key x kind as prices name it x day. Units: calls; tokens, images, others.
-- token_kind is NULL where nothing is counted, for a model without any price. calls are
-- all successful calls of the day; for cache writes, those of users who have some.

-- The priced days have one row for all users. Only kinds of cache write share a column
-- there: for those the usage of the day is read.
with unpriced as materialized (
    select
        priced.*,
        {{ columns.each(columns.priced_kinds, 'rates.{}_rate') }}
    from priced_daily_by_model as priced
    left join priced_rates as rates
        on
            rates.rate_key = priced.rate_key
            and rates.discount_group = {{ rates.group_of('priced.account_key') }}
            and priced.day >= rates.valid_from
            and priced.day < rates.valid_to
    where priced.unpriced_calls > 0 or priced.unpriced_tokens > 0
),

counts as (
{% for kind in columns.kinds %}
{% for count in kind.counts %}
{% if kind.counts | length == 1 %}
    select
        rate_key,
        day,
        '{{ count.price }}' as token_kind,
        calls,
        {{ kind.shown }} as tokens
    from unpriced
    where {{ kind.shown }} > 0 and {{ count.price }}_rate is null
{% else %}
    select
        unpriced.rate_key,
        unpriced.day,
        '{{ count.price }}' as token_kind,
        usage.calls,
        usage.{{ count.column }} as tokens
    from unpriced
    cross join int_usage_daily as usage
        on
            usage.day = unpriced.day
            and usage.account_key = unpriced.account_key
            and usage.rate_key = unpriced.rate_key
    where
        unpriced.{{ kind.shown }} > 0
        and unpriced.{{ count.price }}_rate is null
        and usage.{{ count.column }} > 0
{% endif %}
    union all
{% endfor %}
{% endfor %}
    select
        rate_key,
        day,
        null as token_kind,
        unpriced_calls as calls,
        null as tokens
    from unpriced
    where
        unpriced_calls > 0
        and {{ columns.each(columns.shown, 'coalesce({}, 0)', '\n+ ') }} = 0
),

final as (
    select
        rate_key,
        token_kind,
        day,
        sum(calls) as calls,
        sum(tokens) as tokens
    from counts
    group by rate_key, token_kind, day
)

select * from final
