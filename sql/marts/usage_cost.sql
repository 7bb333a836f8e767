-- Who used what each hour, and what did it cost?
-- Grain: hour x account x region x model x user x application x team x data source x
-- allocation method.
-- Units: tokens; USD. Tokens are NULL where unknown; a cost is NULL where
-- no tokens are known or none has a price, and a lower bound where is_lower_bound is 1.
-- usage_cost_daily has the same sums by the day, in far fewer rows.

-- *_picodollars are whole numbers, 10^12 = 1 USD, for exact sums. data_source separates
-- measured from estimated rows. A row may count no call: the estimated part of calls
-- counted elsewhere, or (unattributed) usage. cost_usd is list_cost_usd less discounts,
-- or at negotiated rates; list_cost_usd leaves out list_unpriced_tokens.

-- Each hour is summed separately: a page, an hour or a day of this view reads no other
-- hours. json_each is SQLite's only way to join rows that depend on the row before. It
-- gets each sum in 20 characters, blank for NULL, because before 3.41 SQLite lets views
-- of an untrusted database call json_each, but no other JSON function.
{% set names_of = ['user_key', 'account_key', 'rate_key', 'application_key'] %}
{% set sums_of = ['estimated_by', 'calls', 'failed_calls'] + columns.shown
    + ['cost_picodollars'] + columns.left_out %}
with names as not materialized (
    select
        accounts.account_key,
        users.user_key,
        int_names.rate_key,
        int_names.application_key,
        accounts.account_id,
        int_names.region,
        int_names.model_id,
        users.user_name,
        int_names.application,
        int_names.team
    from int_names
    cross join accounts
    cross join stg_users as users
),

named as not materialized (
    select
        usage.*,
        names.account_id,
        names.region,
        names.model_id,
        names.user_name,
        names.application,
        names.team
    from int_usage_hourly_priced as usage
    inner join names
        on
            names.account_key = usage.account_key
            and names.user_key = usage.user_key
            and names.rate_key = usage.rate_key
            and names.application_key = usage.application_key
),

summed as (
    select
        usage_hours.hour,
        usage_hours.day,
        json_each.value as sums
    from usage_hours
    cross join json_each((
        select '["' || group_concat(sums, '","') || '"]'
        from (
            -- The names come from a row with the group's lowest user_key: next to a
            -- single min(), SQLite takes other columns from such a row.
            select
                printf(
{% for some in (names_of + sums_of + columns.at_list_price) | batch(5) %}
                    '{{ '%20s' * (some | length) }}' ||
{% endfor %}
                    '%s',
                    min(user_key),
                    {{ columns.each(names_of[1:]) }},
                    estimated_by,
                    {{ columns.each(sums_of[1:], 'sum({})') }},
{% for column in columns.at_list_price %}
                    sum({{ column }}) filter (where {{ rates.may_differ() }}),
{% endfor %}
                    data_source
                ) as sums
            from named
            where named.hour = usage_hours.hour
            group by
                account_id, region, model_id, user_name, application, team, data_source,
                estimated_by
        )
    ))
),

read_back as (
    select
        hour,
        day,
{% for column in names_of %}
        substr(sums, {{ loop.index0 * 20 + 1 }}, 20) + 0 as {{ column }},
{% endfor %}
{% for column in sums_of + columns.at_list_price %}
        nullif(substr(sums, {{ (loop.index0 + 4) * 20 + 1 }}, 20), blank) + 0
            as {{ column }},
{% endfor %}
        substr(sums, {{ ((names_of + sums_of + columns.at_list_price) | length) * 20 + 1 }}) as data_source
    from (select *, printf('%20s', '') as blank from summed)
)

select
    read_back.hour,
    read_back.day,
    names.account_id,
    names.region,
    names.model_id,
    names.user_name,
    names.application,
    names.team,
    read_back.data_source,
    {{ estimates.method_name('read_back.estimated_by') }}
        as allocation_method,
    read_back.calls,
    read_back.failed_calls,
    {{ columns.each(columns.shown, 'read_back.{}') }},
    iif(
        {{ rates.may_differ() }},
        read_back.list_cost_picodollars,
        read_back.cost_picodollars
    ) / 1e12 as list_cost_usd,
    read_back.cost_picodollars / 1e12 as cost_usd,
    iif(
        {{ rates.may_differ() }},
        read_back.list_cost_picodollars,
        read_back.cost_picodollars
    ) as list_cost_picodollars,
    read_back.cost_picodollars,
    read_back.unpriced_calls,
    read_back.unpriced_tokens,
    iif(
        {{ rates.may_differ() }},
        read_back.list_unpriced_tokens,
        read_back.unpriced_tokens
    ) as list_unpriced_tokens,
    read_back.calls_without_tokens,
    read_back.unpriced_calls
    + read_back.unpriced_tokens
    + read_back.calls_without_tokens > 0 as is_lower_bound
from read_back
cross join names
    on
        names.account_key = read_back.account_key
        and names.user_key = read_back.user_key
        and names.rate_key = read_back.rate_key
        and names.application_key = read_back.application_key
