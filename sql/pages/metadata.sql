-- What was used and what did it cost, by the values of a key of the request metadata?
-- Grain: one row per value of :metadata_key, which is one of those in the configuration
-- ([metadata]); none for any other key. :since and :until are UTC days, both included;
-- :regions, :models, :users, :applications and :teams are exact names, in a JSON array
-- or separated by commas. NULL or blank is no filter.

-- At most max_values values are named, those that cost most; the others are one row,
-- (others), and distinct_values counts what is in each. A NULL value is everything
-- else: calls without the key, calls that vacuum dropped, and what is estimated from
-- CloudWatch's totals, which know no metadata. So all rows add up to the usage.

-- :_visitor_applications, :_visitor_teams: what the visitor may see, NULL for all.
with configured as materialized (
    select
        metadata_key,
        max_values
    from metadata_keys
    where metadata_key = :metadata_key
),

valued as materialized (
    select
        request_metadata.request_metadata_key,
        cast(pairs.value as text) as value
    from configured
    cross join request_metadata
    cross join json_each(request_metadata.request_metadata) as pairs
    where pairs.key = configured.metadata_key
),

of_calls as (
    select
        substr(usage.event_time, 1, 10) as day,
        usage.request_metadata_key,
        usage.account_key,
        rate_keys.rate_key,
        usage.user_key,
        usage.application_key,
        token_sources.data_source,
        sum(usage.calls) as calls,
        sum(usage.failed_calls) as failed_calls,
        {{ columns.each(columns.counts, 'sum(usage.{0}) as {0}') }}
    from int_call_usage as usage
    {{ rates.of_call('inner') }}
    inner join token_sources
        on token_sources.token_source_key = usage.token_source_key
    where
        usage.request_metadata_key in (select request_metadata_key from valued)
        and usage.event_time >= coalesce(:since, '')
        and substr(usage.event_time, 1, 10) <= coalesce(nullif(:until, ''), '9999')
    group by 1, 2, 3, 4, 5, 6, 7
),

priced as (
{{ usage.priced(['day', 'request_metadata_key'], 'of_calls') }}
),

known as materialized (
    select
        valued.value,
        priced.*
    from priced
    inner join valued on valued.request_metadata_key = priced.request_metadata_key
    inner join int_names as names
        on
            names.rate_key = priced.rate_key
            and names.application_key = priced.application_key
    inner join stg_users as users on users.user_key = priced.user_key
    where
        {{ filters.chosen('regions', 'names.region') }}
        and {{ filters.chosen('models', 'names.model_id') }}
        and {{ filters.chosen('users', 'users.user_name') }}
        and {{ filters.chosen('applications', 'names.application') }}
        and {{ filters.chosen('teams', 'names.team') }}
        and {{ filters.visible() }}
),

ranked as materialized (
    select
        value,
        row_number() over (
            order by
                sum(cost_picodollars / 1000000) desc,
                sum(calls) desc,
                value
        ) > (select max_values from configured) as is_other
    from known
    group by value
),

-- Sums in whole micro-dollars and the rest, which a sum of nine million dollars needs.
by_value as (
    select
        iif(ranked.is_other, '(others)', known.value) as value,
        count(distinct known.value) as distinct_values,
        sum(calls) as calls,
        sum(failed_calls) as failed_calls,
        {{ columns.each(columns.shown_tokens, 'sum({0}) as {0}') }},
        sum(list_cost_picodollars / 1000000) as list_cost_microdollars,
        sum(list_cost_picodollars % 1000000) as list_cost_rest,
        sum(cost_picodollars / 1000000) as cost_microdollars,
        sum(cost_picodollars % 1000000) as cost_rest,
        sum(calls) - sum(calls_without_tokens) as calls_with_tokens,
        sum(calls_without_tokens) as calls_without_tokens,
        sum(unpriced_calls) as unpriced_calls,
        sum(unpriced_tokens) as unpriced_tokens,
        sum(list_unpriced_tokens) as list_unpriced_tokens,
        {{ money.data_source() }} as data_source
    from known
    inner join ranked on ranked.value = known.value
    group by 1
),

everything as (
    select
        sum(calls) as calls,
        sum(failed_calls) as failed_calls,
        {{ columns.each(columns.shown_tokens, 'sum({0}) as {0}') }},
        sum(list_cost_picodollars / 1000000) as list_cost_microdollars,
        sum(list_cost_picodollars % 1000000) as list_cost_rest,
        sum(cost_picodollars / 1000000) as cost_microdollars,
        sum(cost_picodollars % 1000000) as cost_rest,
        sum(calls_with_tokens) as calls_with_tokens,
        sum(calls_without_tokens) as calls_without_tokens,
        sum(unpriced_calls) as unpriced_calls,
        sum(unpriced_tokens) as unpriced_tokens,
        sum(list_unpriced_tokens) as list_unpriced_tokens,
        {{ money.data_source() }} as data_source
    from daily_costs_by_user_and_application
    where
        exists (select 1 from configured)
        and {{ filters.days() }}
        and {{ filters.chosen('regions', 'region') }}
        and {{ filters.chosen('models', 'model_id') }}
        and {{ filters.chosen('users', 'user_name') }}
        and {{ filters.chosen('applications', 'application') }}
        and {{ filters.chosen('teams', 'team') }}
        and {{ filters.visible() }}
),

{% set sums = ['calls', 'failed_calls'] + columns.shown_tokens
    + ['list_cost_microdollars', 'list_cost_rest', 'cost_microdollars', 'cost_rest'] %}
{% set left = ['calls_with_tokens', 'calls_without_tokens', 'unpriced_calls',
    'unpriced_tokens', 'list_unpriced_tokens'] %}
parts as (
    select * from by_value
    union all
    select
        null as value,
        0 as distinct_values,
{% for column in sums %}
        everything.{{ column }}
        - coalesce((select sum({{ column }}) from by_value), 0)
            as {{ column }},
{% endfor %}
{% for column in left %}
        max(
            everything.{{ column }}
            - coalesce((select sum({{ column }}) from by_value), 0),
            0
        ) as {{ column }},
{% endfor %}
        everything.data_source
    from everything
    where everything.calls is not null
)

select
    value,
    distinct_values,
    calls,
    failed_calls,
    {{ columns.each(columns.shown_tokens) }},
    round((list_cost_microdollars + list_cost_rest / 1e6) / 1e6, 9) as list_cost_usd,
    round((cost_microdollars + cost_rest / 1e6) / 1e6, 9) as cost_usd,
    calls_with_tokens,
    calls_without_tokens,
    unpriced_calls,
    unpriced_tokens,
    list_unpriced_tokens,
    unpriced_calls + unpriced_tokens + calls_without_tokens > 0 as is_lower_bound,
    data_source
from parts
where
    value is not null
    or calls + failed_calls > 0
    or cost_microdollars + cost_rest > 0
order by
    value is null,
    value = '(others)',
    cost_microdollars desc,
    calls desc,
    value
