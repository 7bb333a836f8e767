-- What the same usage would cost if it were another model's, scope's or tier's.

{% import 'macros/columns' as columns %}
{% import 'macros/filters' as filters %}
{% import 'macros/money' as money %}
{% import 'macros/rates' as rates %}
{% import 'macros/widths' as widths %}

-- All counts, and those that views show.
{% set counted = (columns.shown + columns.counts) | unique | list %}

{% set grain = [
    'month',
    'application',
    'team',
    'region',
    'model_id',
    'inference_scope',
    'service_tier',
] %}

-- Other uses of the tokens of usage, as CTEs: numbered, by rate key and target, and
-- other_rates, by other_key, discount group and changed_on. question: what is another
-- one, model, scope or tier. Needs the CTE usage.

-- Other models are those of the same provider that have a price on the last day, and
-- those in use, if they do the same work: if the same kinds cost something, cached
-- tokens aside. Everything follows from usage: nothing tells what others use.

-- Rates are looked up for the days on which some rate may change, not by period, and
-- most CTEs are used once: SQLite plans every use of one by itself.
{% set works = columns.kinds | rejectattr('name', 'in', columns.cache_kinds)
    | map(attribute='counts') | sum(start=()) | map(attribute='price') | list %}
{% macro choices(question) %}
used as materialized (
    select
        rate_keys.rate_key,
        int_models.price_model_key,
        int_models.canonical_model_id as model_id,
        int_models.cloudwatch_model_id,
        regions.region,
        int_models.inference_scope,
        rate_keys.service_tier,
        rate_keys.min_input_tokens,
        rate_keys.variant
    from rate_keys
    inner join regions on regions.region_key = rate_keys.region_key
    inner join int_models on int_models.model_key = rate_keys.model_key
    where
        not int_models.is_provisioned
        and rate_keys.rate_key in (select rate_key from usage)
),

last_day as materialized (
    select max(day) as day from usage
),

in_use as materialized (
    select
        model_id,
        -- Ids as sent that stand for one model have the same prices.
        min(price_model_key) as price_model_key
    from used
    group by model_id
),

used_ids as materialized (
    select
        in_use.model_id,
        ids.price_model_id,
        ids.match_rank,
        1 as is_in_use
    from in_use
    inner join model_price_ids as ids on ids.model_key = in_use.price_model_key
),

priced as materialized (
    select
        model_id,
        max(
            effective_from <= last_day.day
            and (effective_to is null or effective_to > last_day.day)
        ) as is_current,
{% for kind in works %}
        (
            max(
                usd_per_mtok > 0
                and {{ columns.without_variant('token_kind') }}
                = '{{ kind }}'
            ) << {{ loop.index0 }}
        ){{ ' +' if not loop.last }}
{% endfor %}
            as work
    from prices
    cross join last_day
    where
        corrected_on is null
        and {{ columns.without_variant('token_kind') }}
        in (
            {{ columns.each(works, "'{}'") }}
        )
    group by model_id
),

ids as (
    select * from used_ids
    union all
    select
        model_id,
        model_id as price_model_id,
        1 as match_rank,
        0 as is_in_use
    from priced
    where
        is_current
        and model_id not in (select price_model_id from used_ids)
),

book as materialized (
    select
        ids.*,
        substr(ids.model_id, 1, instr(ids.model_id, '.')) as provider,
        max(priced.work) over (partition by ids.model_id) as work
    from ids
    inner join priced on priced.model_id = ids.price_model_id
),

{{ targets(question) }}

{{ other_rates() }}
{% endmacro %}

{% macro targets(question) %}
{% if question == 'model' %}
models as materialized (
    select distinct
        model_id,
        provider,
        work,
        is_in_use
    from book
),

targets as materialized (
    select
        {{ other_use(
            'others.model_id', model='others.model_id', sent=sent_as('others.model_id')
        ) }}
    from used
    inner join models as own on own.model_id = used.model_id
    inner join models as others
        on
            others.model_id <> own.model_id
            and others.work = own.work
            and (others.provider = own.provider or others.is_in_use)
),
{% elif question == 'scope' %}
scopes (inference_scope, prefix) as (
    values ('regional', ''), ('global', 'global.')
),

targets as materialized (
    select
        {{ other_use(
            'scopes.inference_scope',
            sent='scopes.prefix || used.model_id',
            scope='scopes.inference_scope'
        ) }}
    from used
    inner join scopes on scopes.inference_scope <> used.inference_scope
),
{% elif question == 'tier' %}
tiers as materialized (
    select distinct
        book.model_id,
        prices.service_tier
    from book
    inner join prices on prices.model_id = book.price_model_id
    where prices.corrected_on is null
),

targets as materialized (
    select
        {{ other_use('tiers.service_tier', tier='tiers.service_tier') }}
    from used
    inner join tiers
        on
            tiers.model_id = used.model_id
            and tiers.service_tier <> used.service_tier
),
{% else %}
targets as materialized (
    select
        {{ other_use("'itself'") }}
    from used
),
{% endif %}
{% endmacro %}

-- The columns of another use than used, where it differs. sent: as what the call would
-- have been sent, which discounts may name.
{% macro other_use(target, model='used.model_id', sent='used.cloudwatch_model_id',
                   scope='used.inference_scope', tier='used.service_tier') %}
used.rate_key,
{{ target }} as target,
{{ model }} as model_id,
{{ sent }} as sent_model_id,
used.region,
{{ scope }} as inference_scope,
{{ tier }} as service_tier,
used.min_input_tokens,
used.variant
{% endmacro %}

-- Another model's id with the geo prefix that the call had.
{% macro sent_as(model) -%}
iif(
    substr(used.cloudwatch_model_id, -length(used.model_id)) = used.model_id,
    substr(
        used.cloudwatch_model_id,
        1,
        length(used.cloudwatch_model_id) - length(used.model_id)
    ),
    ''
) || {{ model }}
{%- endmacro %}

-- The rates of other uses. Needs a CTE targets with the columns of other_use, a row for
-- each rate key and target, and the CTE slices.
{% macro other_rates() %}
numbered as materialized (
    select
        *,
        -- Many uses have the same other use.
        dense_rank() over (
            order by
                model_id,
                sent_model_id,
                region,
                inference_scope,
                service_tier,
                min_input_tokens,
                variant
        ) as other_key
    from targets
),

keys as materialized (
    select distinct
        other_key as rate_key,
        model_id as canonical_model_id,
        sent_model_id as cloudwatch_model_id,
        region,
        inference_scope,
        service_tier,
        min_input_tokens,
        variant
    from numbered
),

uses as not materialized (
    select
        keys.*,
        ids.price_model_id,
        ids.match_rank
    from keys
    inner join book as ids on ids.model_id = keys.canonical_model_id
),

{{ rates.candidates() }},

ranked as (
    select
        candidates.rate_key,
        slices.changed_on,
        candidates.counted_as as token_kind,
        candidates.usd_per_mtok,
        candidates.rate_class,
        row_number() over (
            partition by
                candidates.rate_key,
                slices.changed_on,
                candidates.counted_as,
                candidates.rate_class
            order by
                {{ rates.preference() }}
        ) as choice
    from slices
    cross join candidates
        on
            candidates.effective_from <= slices.changed_on
            and (
                candidates.effective_to is null
                or candidates.effective_to > slices.changed_on
            )
),

chosen_rates as materialized (
    select
        rate_key,
        changed_on,
{% for price in columns.priced_kinds %}
        max(usd_per_mtok)
        filter (where token_kind = '{{ price }}' and rate_class = 'list')
            as {{ price }}_rate,
        max(usd_per_mtok)
        filter (where token_kind = '{{ price }}' and rate_class = 'negotiated')
            as {{ price }}_own_rate{{ ',' if not loop.last }}
{% endfor %}
    from ranked
    where choice = 1
    group by rate_key, changed_on
),

{{ rates.matching() }},

discounted as materialized (
    select
        matching.discount_group,
        matching.rate_key,
        slices.changed_on,
{% for price in columns.priced_kinds %}
        min(matching.discount_number)
        filter (where {{ rates.is_of_kind(price) }})
            as {{ price }}_discount{{ ',' if not loop.last }}
{% endfor %}
    from matching
    inner join slices
        on
            matching.effective_from <= slices.changed_on
            and (
                matching.effective_to is null
                or matching.effective_to > slices.changed_on
            )
    group by matching.discount_group, matching.rate_key, slices.changed_on
),

other_rates as materialized (
    select
        groups.discount_group,
        chosen_rates.rate_key as other_key,
        chosen_rates.changed_on,
{% for price in columns.priced_kinds %}
        coalesce(
            {{ price }}_own_rate,
            {{ rates.lowered(price) }}
        ) as {{ price }}_rate{{ ',' if not loop.last }}
{% endfor %}
    from chosen_rates
    cross join groups
    left join discounted
        on
            discounted.discount_group = groups.discount_group
            and discounted.rate_key = chosen_rates.rate_key
            and discounted.changed_on = chosen_rates.changed_on
)
{% endmacro %}

-- Usage with each count by itself, as CTEs. costs: the rows of
-- priced_daily_by_application, or what some users have of them. condition: on usage_daily
-- likewise. kept: whether the rows are kept, for several readings.
{% set key = ['day', 'account_key', 'rate_key', 'application_key'] %}
{% macro usage(costs='priced_daily_by_application', condition='true',
               kept='not materialized') %}
{% for kind in columns.kinds if kind.counts | length > 1 %}
{% for count in kind.counts[1:] %}
split_{{ count.price }} as materialized (
    select
        {{ columns.each(key) }},
        sum({{ count.column }}) as {{ count.column }}
    from usage_daily
    where
        {{ count.column }} > 0
        and {{ condition }}
    group by
        {{ columns.each(key) }}
),

{% endfor %}
{% endfor %}
usage as {{ kept }} (
    select
        costs.day,
        costs.account_key,
        costs.rate_key,
        costs.application_key,
        {{ rates.group_of('costs.account_key') }}
            as discount_group,
        costs.data_source,
        costs.calls,
{% for kind in columns.kinds %}
{% for count in kind.counts[1:] %}
        coalesce(split_{{ count.price }}.{{ count.column }}, 0)
            as {{ count.column }},
{% endfor %}
{% if kind.counts | length > 1 %}
        coalesce(costs.{{ kind.shown }}, 0)
{% for count in kind.counts[1:] %}
        - coalesce(split_{{ count.price }}.{{ count.column }}, 0)
{% endfor %}
            as {{ kind.counts[0].column }},
{% endif %}
        costs.{{ kind.shown }},
{% endfor %}
        costs.cost_picodollars,
        costs.unpriced_calls,
        costs.unpriced_tokens,
        costs.calls_without_tokens
    from {{ costs }} as costs
{% for kind in columns.kinds if kind.counts | length > 1 %}
{% for count in kind.counts[1:] %}
    left join split_{{ count.price }}
        on
{% set split = 'split_' ~ count.price %}
            {{ columns.each(key, split ~ '.{0} = costs.{0}', '\nand ') }}
{% endfor %}
{% endfor %}
)
{% endmacro %}

-- What usage costs and what it would cost, as CTEs; the last is compared, by these
-- columns and target. Needs the CTE usage.
{% macro compared(question, by=grain) %}
-- Between two of these days no rate changes.
changes as materialized (
    select effective_from as changed_on from prices
    where corrected_on is null
    union
    select effective_to as changed_on from prices
    where corrected_on is null and effective_to is not null
    union
    select effective_from as changed_on from discounts
    union
    select effective_to as changed_on from discounts
    where effective_to is not null
),

days as materialized (
    select
        used_days.day,
        substr(used_days.day, 1, 7) as month,
        coalesce(
            (
                select max(changes.changed_on) from changes
                where changes.changed_on <= used_days.day
            ),
            ''
        ) as changed_on
    from (select distinct day from usage) as used_days
),

slices as materialized (
    select distinct changed_on from days
),

{{ choices(question) }},

summed as materialized (
    select
        days.month,
        days.changed_on,
        usage.discount_group,
        usage.rate_key,
        usage.application_key,
        sum(usage.calls) as calls,
        {{ columns.each(counted, 'sum(usage.{0}) as {0}') }},
        {{ widths.whole('usage.cost_picodollars') }} as cost_picodollars,
        sum(usage.unpriced_calls) as unpriced_calls,
        sum(usage.unpriced_tokens) as unpriced_tokens,
        sum(usage.calls_without_tokens) as calls_without_tokens
    from usage
    inner join days on days.day = usage.day
    group by
        days.month,
        days.changed_on,
        usage.discount_group,
        usage.rate_key,
        usage.application_key
),

named as (
    select
        summed.*,
        int_names.region,
        int_names.model_id,
        int_names.application,
        int_names.team,
        int_models.inference_scope,
        rate_keys.service_tier
    from summed
    inner join int_names
        on
            int_names.rate_key = summed.rate_key
            and int_names.application_key = summed.application_key
    inner join rate_keys on rate_keys.rate_key = summed.rate_key
    inner join int_models on int_models.model_key = rate_keys.model_key
),

grouped as materialized (
    select
        *,
        -- One integer is grouped by faster than many texts.
        dense_rank() over (
            order by
                {{ columns.each(by) }}
        ) as group_key
    from named
),

now as materialized (
    select
        group_key,
        {{ columns.each(by) }},
        sum(calls) as calls,
        {{ columns.each(columns.shown, 'sum({0}) as {0}') }},
        {{ widths.whole('cost_picodollars') }} as cost_picodollars,
        sum(unpriced_calls) as unpriced_calls,
        sum(unpriced_tokens) as unpriced_tokens,
        sum(calls_without_tokens) as calls_without_tokens
    from grouped
    group by group_key
    -- Without tokens there is nothing to compare.
    having
        coalesce(
            {{ columns.each(columns.shown, 'sum({})') }}
        ) is not null
),

then_priced as (
    select
        grouped.group_key,
        numbered.target,
        max(other_rates.other_key is not null) as has_rates,
{% for count, price in columns.priced_counts %}
        max(grouped.{{ count }} > 0 and {{ price }}_rate is null)
            as lacks_{{ price }},
{% endfor %}
        {{ widths.whole(other_cost()) }}
            as other_picodollars
    from grouped
    inner join numbered on numbered.rate_key = grouped.rate_key
    left join other_rates
        on
            other_rates.other_key = numbered.other_key
            and other_rates.discount_group = grouped.discount_group
            and other_rates.changed_on = grouped.changed_on
    group by grouped.group_key, numbered.target
),

compared as (
    select
        now.*,
        then_priced.target,
        then_priced.other_picodollars,
        rtrim(
{% for count, price in columns.priced_counts %}
            {{ '' if loop.first else '||' }} iif(lacks_{{ price }}, '{{ price }}, ', '')
{% endfor %}
            , ', '
        ) as missing
    from then_priced
    inner join now on now.group_key = then_priced.group_key
    where then_priced.has_rates
)
{% endmacro %}

{% macro other_cost() %}
{% for count, price in columns.priced_counts %}
{{ '' if loop.first else '+' }} coalesce(grouped.{{ count }} * {{ price }}_rate, 0)
{% endfor %}
{%- endmacro %}

-- The figures that views and pages show of the CTE compared: in dollars, because an
-- integer holds no more than nine million dollars of pico-dollars.
{% macro figures() %}
calls,
{{ columns.each(columns.shown) }},
round(cost_picodollars / 1e12, 9) as cost_usd,
iif(missing = '', round(other_picodollars / 1e12, 9), null) as what_if_cost_usd,
-- Only of usage that has all its prices, now and then.
iif(
    missing = '' and unpriced_calls = 0 and unpriced_tokens = 0,
    round((other_picodollars - cost_picodollars) / 1e12, 9),
    null
) as difference_usd,
nullif(missing, '') as missing_prices,
unpriced_calls,
unpriced_tokens,
calls_without_tokens
{% endmacro %}

-- The usage that a page's filters choose, as CTEs.
{% macro chosen_usage() %}
{{ filters.chosen_keys() }},

{% set sums = ['calls'] + columns.shown + [
    'cost_picodollars',
    'unpriced_calls',
    'unpriced_tokens',
    'calls_without_tokens',
] %}
-- For all users there are far fewer rows.
chosen_costs as not materialized (
    select
        {{ columns.each(key) }},
        data_source,
        {{ columns.each(sums) }}
    from priced_daily_by_application
    where
        {{ filters.is_blank('users') }}
        and {{ filters.days() }}
        and {{ filters.of_chosen_names() }}
    union all
    select
        {{ columns.each(key) }},
        {{ money.data_source() }} as data_source,
        {{ columns.each(sums, 'sum({0}) as {0}') }}
    from priced_daily
    where
        not {{ filters.is_blank('users') }}
        and {{ filters.of_chosen() }}
    group by
        {{ columns.each(key) }}
),

{{ usage('chosen_costs', filters.of_users(), 'materialized') }}
{% endmacro %}

-- The rows of a page: what the selected usage would have cost on other targets of a kind
-- (model, scope or tier), by some of its columns.
{% macro page(kind, by) %}
with {{ chosen_usage() }},

{{ compared(kind, by) }}

select
    {{ columns.each(by) }},
    target,
    {{ figures() }}
from compared
order by
    difference_usd is null,
    difference_usd,
    cost_usd desc,
    {{ columns.each(by) }},
    target
{% endmacro %}
