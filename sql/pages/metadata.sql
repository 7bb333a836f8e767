-- What was used and what did it cost, by the values of a key of the request metadata?
-- Grain: one row per value of :metadata_key, which is one of those in the configuration
-- ([metadata]); none for any other key. :since and :until are UTC days, both included;
-- :regions, :models, :users, :applications and :teams are exact names, in a JSON array
-- or separated by commas. NULL or blank is no filter.

-- value_kind tells the rows apart, whatever callers name a value. named: one of the
-- values that cost most, of which there are at most max_values. others: one row for all
-- other values, which distinct_values counts. none: everything else, with a NULL value:
-- calls without the key, calls that vacuum dropped, and what is estimated from
-- CloudWatch's totals, which know no metadata. So all rows add up to the usage; only
-- calls with such an estimate count as without tokens under their value all the same,
-- because its row has nothing of it.

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

-- The calls of which cached tokens are estimated, and the input that is left of theirs.
-- It depends on the other calls of the hour too, those without metadata.
cached_hours as materialized (
    select * from usage_hourly
    where
        {{ columns.cached_input }} > 0
        and hour >= coalesce(:since, '')
        and substr(hour, 1, 10) <= coalesce(nullif(:until, ''), '9999')
),

cached_calls as materialized (
    select
        event_time,
        event_id,
        {{ usage.uncached_input() }} as input_tokens
    from (
        select
            hours.{{ columns.cached_input }} as cached_input,
            calls.event_time,
            calls.event_id,
            calls.input_tokens,
            sum(calls.input_tokens) over (
                {{ usage.each_hours_calls('calls') }}
            ) as input_up_to
        from (select distinct substr(hour, 1, 13) as begins from cached_hours) as spans
        cross join (
            select
                usage.*,
                rate_keys.rate_key
            from int_call_usage as usage
            {{ rates.of_call('inner') }}
        ) as calls
            on
                calls.event_time >= spans.begins
                and calls.event_time < spans.begins || 'Z'
        inner join cached_hours as hours
            on
                {{ usage.same_hour('hours', 'calls') }}
    )
),

-- is_estimated: the calls have no tokens of their own, but an estimate.
of_calls as (
    select
        substr(usage.event_time, 1, 10) as day,
        usage.request_metadata_key,
        usage.account_key,
        rate_keys.rate_key,
        usage.user_key,
        usage.application_key,
        token_sources.data_source,
        coalesce(hours.estimated_calls > 0, 0) as is_estimated,
        sum(usage.calls) as calls,
        sum(usage.failed_calls) as failed_calls,
        sum(coalesce(cached_calls.input_tokens, usage.input_tokens)) as input_tokens,
        {{ columns.each(columns.counts[1:], 'sum(usage.{0}) as {0}') }}
    from int_call_usage as usage
    {{ rates.of_call('inner') }}
    left join cached_calls
        on
            cached_calls.event_time = usage.event_time
            and cached_calls.event_id = usage.event_id
    left join usage_hourly as hours
        on
            usage.token_source_key = 0
            and hours.hour = usage.hour
            and hours.account_key = usage.account_key
            and hours.rate_key = rate_keys.rate_key
            and hours.user_key = usage.user_key
            and hours.application_key = usage.application_key
            and hours.token_source_key = 0
    inner join token_sources
        on token_sources.token_source_key = usage.token_source_key
    where
        usage.request_metadata_key in (select request_metadata_key from valued)
        and usage.event_time >= coalesce(:since, '')
        and substr(usage.event_time, 1, 10) <= coalesce(nullif(:until, ''), '9999')
    group by 1, 2, 3, 4, 5, 6, 7, 8
),

priced as (
{{ usage.priced(['day', 'request_metadata_key', 'is_estimated'], 'of_calls') }}
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
        {{ filters.of_names('names.') }}
        and {{ filters.chosen('users', 'users.user_name') }}
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
        iif(ranked.is_other, 'others', 'named') as value_kind,
        iif(ranked.is_other, '(others)', known.value) as value,
        count(distinct known.value) as distinct_values,
        sum(calls) as calls,
        sum(failed_calls) as failed_calls,
        {{ columns.each(columns.shown_tokens, 'sum({0}) as {0}') }},
        sum(list_cost_picodollars / 1000000) as list_cost_microdollars,
        sum(list_cost_picodollars % 1000000) as list_cost_rest,
        sum(cost_picodollars / 1000000) as cost_microdollars,
        sum(cost_picodollars % 1000000) as cost_rest,
        sum(calls_without_tokens) as calls_without_tokens,
        sum(iif(is_estimated, calls_without_tokens, 0)) as estimated_calls,
        sum(unpriced_calls) as unpriced_calls,
        sum(unpriced_tokens) as unpriced_tokens,
        sum(list_unpriced_tokens) as list_unpriced_tokens,
        {{ money.data_source() }} as data_source
    from known
    inner join ranked on ranked.value = known.value
    group by 1, 2
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
        sum(calls_without_tokens) as calls_without_tokens,
        0 as estimated_calls,
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
    + ['list_cost_microdollars', 'list_cost_rest', 'cost_microdollars', 'cost_rest',
    'calls_without_tokens', 'estimated_calls', 'unpriced_calls', 'unpriced_tokens',
    'list_unpriced_tokens'] %}
of_values as (
    select
        {{ columns.each(sums, 'coalesce(sum({0}), 0) as {0}') }}
    from by_value
),

parts as (
    select * from by_value
    union all
    select
        'none' as value_kind,
        null as value,
        0 as distinct_values,
        {{ columns.each(sums, 'everything.{0} - of_values.{0}\n            as {0}') }},
        everything.data_source
    from everything
    cross join of_values
    where everything.calls is not null
),

final as (
    select
        value_kind,
        value,
        distinct_values,
        calls,
        failed_calls,
        {{ columns.each(columns.shown_tokens) }},
        list_cost_microdollars + list_cost_rest / 1e6 as list_cost_microdollars,
        cost_microdollars + cost_rest / 1e6 as cost_microdollars,
        -- In the rest, less than none: they have no tokens under their value.
        calls_without_tokens - min(estimated_calls, 0) as calls_without_tokens,
        unpriced_calls,
        unpriced_tokens,
        list_unpriced_tokens,
        data_source
    from parts
)

select
    value,
    value_kind,
    distinct_values,
    calls,
    failed_calls,
    {{ columns.each(columns.shown_tokens) }},
    round(list_cost_microdollars / 1e6, 9) as list_cost_usd,
    round(cost_microdollars / 1e6, 9) as cost_usd,
    calls - calls_without_tokens as calls_with_tokens,
    calls_without_tokens,
    unpriced_calls,
    unpriced_tokens,
    list_unpriced_tokens,
    unpriced_calls + unpriced_tokens + calls_without_tokens > 0 as is_lower_bound,
    data_source,
    {{ money.per_unit('cost_microdollars / 1e6', '{0}') }}
from final
where
    value_kind <> 'none'
    or {{ columns.each(['calls', 'failed_calls'] + columns.shown_tokens
        + ['list_cost_microdollars', 'cost_microdollars', 'unpriced_tokens'],
        'coalesce({}, 0) <> 0', '\n    or ') }}
order by
    value_kind = 'none',
    value_kind = 'others',
    cost_microdollars desc,
    calls desc,
    value
