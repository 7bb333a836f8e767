-- What changed between two periods, and why. A name's cost is that of its cells (rates
-- of accounts x rate key x kind of price): tokens times rate. Between the two periods
-- one thing after the other is put from before to after, always in this order:

--   volume  the calls; tokens a call, what they are of, and rates are as before
--   size    the tokens a call
--   mix     what the tokens are of: model, region, tier, context size, kind of token
--   price   the rates

-- Each cause is the difference that its step makes, so they add up to the whole, in
-- whole pico-dollars. The rate of a cell before is what its tokens cost on average,
-- rounded to whole pico-dollars; if it had none, the rate of the last day before; and
-- what had no price then has its own, so that none of it is price.

{% import 'macros/columns' as columns %}
{% import 'macros/filters' as filters %}
{% import 'macros/money' as money %}
{% import 'macros/rates' as rates %}
{% import 'macros/widths' as widths %}

{% set cell = ['discount_group', 'rate_key', 'valid_from'] %}
{% set sums = ['calls', 'all_calls'] + columns.counts %}
{% set causes = ['volume', 'size', 'mix', 'price'] %}
{% set amounts = ['cost_before', 'cost_after', 'difference'] + causes %}

-- Estimates count as what they are: tokens of the calls that have them.
{% macro tokens_of(count, estimate) -%}
{{ columns.counted(count) }}
{%- if estimate %}

+ coalesce({{ estimate }}, 0)
{%- endif %}
{%- endmacro %}

-- The CTE periods, one row or none: by default the last seven days that are over, and the seven before.
-- until, since, against: the last and the first day, and the first to compare with;
-- against_until: the last to compare with, by default of as many days.
{% macro periods(
    until='null',
    since='null',
    against='null',
    is_allowed='true',
    against_until='null'
) %}
last_over as (
    select max(day) as day from int_covered_days
    where
        {{ is_allowed }}
),

periods as materialized (
    select
        since,
        until,
        against_since,
        coalesce(
            {{ against_until }},
            date(
                against_since,
                (julianday(until) - julianday(since)) || ' days'
            )
        ) as against_until
    from (
        select
            since,
            until,
            coalesce(
                {{ against }},
                date(since, (julianday(since) - julianday(until) - 1) || ' days')
            ) as against_since
        from (
            select
                coalesce({{ since }}, date(until, '-6 days')) as since,
                until
            from (
                select coalesce({{ until }}, day) as until
                from last_over
            )
        )
    )
    where since <= until
)
{%- endmacro %}

{% macro meaning() %}
-- The four causes add up to the difference, exactly in *_picodollars: volume (calls),
-- size (tokens a call), mix (of models, regions, tiers and kinds of token, such as
-- cached ones) and price, each as the step from before to after in this order. A name
-- without calls before or after is all volume. Estimates take part. What has no price,
-- or no tokens, does not: a row is a lower bound where is_lower_bound is 1.
{% endmacro %}

{# What the tokens after would have cost at the rates before. #}
{% set at_old_rate -%}
case
    when tokens_before > 0
        then
            tokens_after
            * ((cost_before + tokens_before / 2) / tokens_before)
    else coalesce(tokens_after * earlier_rate, cost_after)
end
{%- endset %}

-- A cost, times what became of a number. Exactly the cost, if the number is the same.
{% macro scaled(after, before) -%}
costs.cost_before
+ cast(
    round(
        costs.cost_before
        * (1.0 * {{ after }} / {{ before }} - 1)
    )
    as integer
)
{%- endmacro %}

-- What made most of a change, in words; NULL where nothing changed.
{% set in_words = {
    'volume': ('more calls', 'fewer calls'),
    'size': ('more tokens a call', 'fewer tokens a call'),
    'mix': ('a dearer mix', 'a cheaper mix'),
    'price': ('higher prices', 'lower prices'),
} %}
{% macro is_unused(when) -%}
moved.all_calls_{{ when }} = 0 and moved.cost_{{ when }} = 0
{%- endmacro %}

{% macro mainly() -%}
case
    when moved.difference = 0 then null
    when {{ is_unused('before') }}
        then 'no calls before'
    when {{ is_unused('after') }}
        then 'no calls after'
    -- Usage that no known call accounts for.
    when moved.with_volume is null
        then iif(moved.difference > 0, 'more usage', 'less usage')
{% for most, index in (('max', 0), ('min', 1)) %}
    when moved.difference {{ '>' if most == 'max' else '<' }} 0
        then case {{ most }}(moved.{{ causes | join(', moved.') }})
{% for cause in causes %}
            when moved.{{ cause }} then '{{ in_words[cause][index] }}'
{% endfor %}
        end
{% endfor %}
end
{%- endmacro %}

-- Needs a CTE periods of one row, with the days of both. chosen: a condition on usage;
-- splits: whether shared applications are split; by: the dimension, '' for all.
{% macro of_periods(chosen='true', splits='true', by="''") %}
halves as (
    select
        1 as is_after,
        since as first_day,
        until as last_day
    from periods
    union all
    select
        0 as is_after,
        against_since as first_day,
        against_until as last_day
    from periods
),

-- A call takes part if it has tokens, or an estimate of them, and any price.
used as materialized (
    select
        halves.is_after,
        coalesce(account_discounts.discount_group, 0) as discount_group,
        usage.rate_key,
        usage.user_key,
        usage.application_key,
        rates.valid_from,
        sum(
            iif(
                {{ columns.each(columns.priced_kinds, 'rates.{}_rate is null', '\nand ') }},
                0,
                iif(usage.token_source_key = 0, usage.estimated_calls, usage.calls)
            )
        ) as calls,
        sum(usage.calls) as all_calls,
        max(
            usage.estimated_calls > 0
            or {{ columns.each(columns.estimates, 'usage.{} > 0', '\nor ') }}
        ) as is_estimated,
{% for count, estimate in columns.estimate_of.items() %}
        sum(
            {{ tokens_of(count, estimate) }}
        ) as {{ count }}{{ ',' if not loop.last }}
{% endfor %}
    from halves
    cross join usage_daily as usage
        on usage.day >= halves.first_day and usage.day <= halves.last_day
    {{ rates.in_force('usage.account_key', 'usage.rate_key', 'usage.day', 'priced_rates') }}
    where
        {{ chosen }}
    group by 1, 2, 3, 4, 5, 6
),

placed as materialized (
    select
        used.*,
        users.user_name,
        names.application,
        names.team,
        names.model_id
    from used
    inner join int_names as names
        on
            names.rate_key = used.rate_key
            and names.application_key = used.application_key
    inner join stg_users as users on users.user_key = used.user_key
),

-- A shared application is split by its fixed shares, as in team_costs; but here it is
-- the calls and tokens of a period that are split into whole parts, not each day's.
by_team as materialized (
    select
        placed.is_after,
        {{ columns.each(cell, 'placed.{}') }},
        placed.is_estimated,
        {{ columns.each(sums, 'placed.{}') }},
        placed.application,
        coalesce(shares.team, placed.team) as team,
        shares.share,
        shares.total
    from placed
    left join int_team_shares as shares
        on
            shares.application = placed.application
            and {{ splits }}
),

parts as (
{% for dimension, column in (
    ('application', 'application'),
    ('user', 'user_name'),
    ('model', 'model_id'),
) %}
    select
        '{{ dimension }}' as dimension,
        {{ column }} as name,
        is_after,
        {{ columns.each(cell) }},
        is_estimated,
        {{ columns.each(sums) }}
    from placed
    where {{ by }} in ('', '{{ dimension }}')
    union all
{% endfor %}
    select
        'team' as dimension,
        team as name,
        is_after,
        {{ columns.each(cell) }},
        is_estimated,
{% for sum in sums %}
        {{ columns.shared(sum) }} as {{ sum }}{{ ',' if not loop.last }}
{% endfor %}
    from by_team as named
    where {{ by }} in ('', 'team')
),

grouped as materialized (
    select
        dimension,
        name,
        is_after,
        {{ columns.each(cell) }},
        max(is_estimated) as is_estimated,
        {{ columns.each(sums, 'sum({0}) as {0}') }}
    from parts
    group by
        dimension,
        name,
        is_after,
        {{ columns.each(cell) }}
),

counted as (
    select
        grouped.dimension,
        grouped.name,
        grouped.is_after,
        grouped.discount_group,
        grouped.rate_key,
        kinds.token_kind,
        case kinds.token_kind
{% for count, price in columns.priced_counts %}
            when '{{ price }}' then grouped.{{ count }}
{% endfor %}
        end as tokens,
{% for relation, rate in (('rates', 'rate'), ('earlier', 'earlier_rate')) %}
        case kinds.token_kind
{% for price in columns.priced_kinds %}
            when '{{ price }}' then {{ relation }}.{{ price }}_rate
{% endfor %}
        end as {{ rate }}{{ ',' if not loop.last }}
{% endfor %}
    from grouped
    cross join periods
    cross join (
{% for price in columns.priced_kinds %}
        select '{{ price }}' as token_kind{{ '\n        union all' if not loop.last }}
{% endfor %}
    ) as kinds
    left join priced_rates as rates
        on
            rates.rate_key = grouped.rate_key
            and rates.discount_group = grouped.discount_group
            and rates.valid_from = grouped.valid_from
    left join priced_rates as earlier
        on
            earlier.rate_key = grouped.rate_key
            and earlier.discount_group = grouped.discount_group
            and periods.against_until >= earlier.valid_from
            and periods.against_until < earlier.valid_to
),

cells as (
    select
        dimension,
        name,
        sum(iif(is_after or rate is null, 0, tokens)) as tokens_before,
        sum(iif(is_after and rate is not null, tokens, 0)) as tokens_after,
        {{ widths.whole('iif(is_after, 0, tokens * rate)') }} as cost_before,
        {{ widths.whole('iif(is_after, tokens * rate, 0)') }} as cost_after,
        max(earlier_rate) as earlier_rate,
        sum(iif(rate is null, tokens, 0)) as unpriced_tokens
    from counted
    where tokens > 0
    group by dimension, name, discount_group, rate_key, token_kind
),

costs as (
    select
        dimension,
        name,
        sum(tokens_before) as tokens_before,
        sum(tokens_after) as tokens_after,
        coalesce({{ widths.whole('cost_before') }}, 0) as cost_before,
        coalesce({{ widths.whole('cost_after') }}, 0) as cost_after,
        coalesce(
            {{ widths.whole(at_old_rate) }},
            0
        ) as cost_at_old_rates,
        sum(unpriced_tokens) as unpriced_tokens
    from cells
    group by dimension, name
),

calls as (
    select
        dimension,
        name,
        sum(iif(is_after, 0, calls)) as calls_before,
        sum(iif(is_after, calls, 0)) as calls_after,
        sum(all_calls - calls) as calls_without_cost,
        sum(iif(is_after, 0, all_calls)) as all_calls_before,
        sum(iif(is_after, all_calls, 0)) as all_calls_after,
        max(is_estimated) as is_estimated
    from grouped
    group by dimension, name
),

-- What the cost would be after the first step, and after the second. A product may be
-- larger than any integer: then it is as large as one can be.
steps as (
    select
        calls.*,
        coalesce(costs.tokens_before, 0) as tokens_before,
        coalesce(costs.tokens_after, 0) as tokens_after,
        coalesce(costs.unpriced_tokens, 0) as unpriced_tokens,
        coalesce(costs.cost_before, 0) as cost_before,
        coalesce(costs.cost_after, 0) as cost_after,
        costs.cost_at_old_rates,
        case
            when calls.calls_before > 0 and calls.calls_after > 0
                then {{ scaled('calls.calls_after', 'calls.calls_before') }}
        end as with_volume,
        case
            when costs.tokens_before > 0
                then {{ scaled('costs.tokens_after', 'costs.tokens_before') }}
            else costs.cost_at_old_rates
        end as with_size
    from calls
    left join costs
        on
            costs.dimension = calls.dimension
            and costs.name = calls.name
),

moved as (
    select
        *,
        cost_after - cost_before as difference,
        -- Without calls before or after, there is nothing to compare.
        coalesce(with_volume, cost_after) - cost_before as volume,
        iif(with_volume is null, 0, with_size - with_volume) as size,
        iif(with_volume is null, 0, cost_at_old_rates - with_size) as mix,
        iif(with_volume is null, 0, cost_after - cost_at_old_rates) as price
    from steps
),

final as (
    select
        moved.dimension,
        moved.name,
        case
            when {{ is_unused('before') }} then 'new'
            when {{ is_unused('after') }} then 'gone'
            else 'changed'
        end as change,
        periods.since,
        periods.until,
        periods.against_since,
        periods.against_until,
{% for amount in amounts %}
        round({{ amount }} / 1e12, 9) as {{ amount }}_usd,
{% endfor %}
        moved.calls_before,
        moved.calls_after,
        moved.tokens_before,
        moved.tokens_after,
        moved.calls_without_cost,
        moved.unpriced_tokens,
        moved.calls_without_cost + moved.unpriced_tokens > 0 as is_lower_bound,
        moved.is_estimated,
{% for amount in amounts %}
        moved.{{ amount }} as {{ amount }}_picodollars,
{% endfor %}
        {{ mainly() }} as mainly
    from moved
    cross join periods
    -- Failed calls alone change nothing.
    where
        moved.all_calls_before + moved.all_calls_after > 0
        or moved.cost_before <> 0
        or moved.cost_after <> 0
)

select * from final
{% endmacro %}
