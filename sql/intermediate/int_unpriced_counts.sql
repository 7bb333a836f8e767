-- How much of each kind has no price, day by day?
-- Grain: rate key x kind as prices name it x day. Units: calls; tokens (or images).
-- token_kind is NULL for calls without any count, of a model without any price. calls
-- are those of the rows of usage_daily that have the kind.

-- The priced days show which models lack a price; only the usage of those is read, with
-- the rates that it was priced with.
with unpriced as materialized (
    select
        usage.*,
        rates.rate_key is null
        or not {{ tokens.is_any(columns.priced_kinds, 'rates.{}_rate') }} as is_unpriced,
        {{ columns.each(columns.priced_kinds, 'rates.{}_rate') }}
    from (
        select distinct
            day,
            account_key,
            rate_key
        from priced_daily_by_model
        where unpriced_calls > 0 or unpriced_tokens > 0
    ) as priced
    cross join int_usage_daily as usage
        on
            usage.day = priced.day
            and usage.account_key = priced.account_key
            and usage.rate_key = priced.rate_key
    left join priced_rates as rates
        on
            rates.rate_key = usage.rate_key
            and usage.day >= rates.valid_from
            and usage.day < rates.valid_to
),

counts as (
{% for count, price in columns.priced_counts %}
    select
        rate_key,
        day,
        '{{ price }}' as token_kind,
        calls,
        {{ count }} as tokens
    from unpriced
    where {{ count }} > 0 and {{ price }}_rate is null
    union all
{% endfor %}
    select
        rate_key,
        day,
        null as token_kind,
        calls,
        null as tokens
    from unpriced
    where
        is_unpriced
        and calls > 0
        and {{ columns.each(columns.counts, 'coalesce({}, 0)', '\n+ ') }} = 0
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
