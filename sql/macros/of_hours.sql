-- Calls by the hour of the selected usage, from the sums of hours.

{% import 'macros/filters' as filters %}

-- CTEs. The last, chosen, has the keys of the selected usage.
{% macro chosen() %}
occurring as (
    -- It is looked up by its key in each hour: hours have millions of rows.
    select distinct
        account_key,
        rate_key,
        user_key,
        application_key
    from priced_daily
    where
        not ({{ is_all() }})
        and {{ filters.days() }}
),

named as (
    select
        occurring.*,
        names.region,
        names.model_id,
        users.user_name,
        names.application,
        names.team
    from occurring
    inner join int_names as names
        on
            names.rate_key = occurring.rate_key
            and names.application_key = occurring.application_key
    inner join stg_users as users on users.user_key = occurring.user_key
),

chosen as materialized (
    select * from named
    where
        {{ filters.chosen('regions', 'region') }}
        and {{ filters.chosen('models', 'model_id') }}
        and {{ filters.chosen('users', 'user_name') }}
        and {{ filters.chosen('applications', 'application') }}
        and {{ filters.chosen('teams', 'team') }}
        and {{ filters.visible() }}
)
{% endmacro %}

-- The sums of each hour of the range, after FROM. Without filters, hours are read from
-- end to end, several times as fast.
{% macro sums() %}
(
    select
        usage_hours.day,
        usage_hours.hour,
        sum(usage_hourly.calls) as calls,
        sum(usage_hourly.failed_calls) as failed_calls
    from usage_hours
    cross join usage_hourly on usage_hourly.hour = usage_hours.hour
    where
        {{ is_all() }}
        and {{ filters.days('usage_hours.day') }}
    group by usage_hours.hour
    union all
    select
        usage_hours.day,
        usage_hours.hour,
        sum(usage_hourly.calls) as calls,
        sum(usage_hourly.failed_calls) as failed_calls
    from usage_hours
    cross join chosen
    cross join usage_hourly
        on
            usage_hourly.hour = usage_hours.hour
            and usage_hourly.account_key = chosen.account_key
            and usage_hourly.rate_key = chosen.rate_key
            and usage_hourly.user_key = chosen.user_key
            and usage_hourly.application_key = chosen.application_key
    where
        not ({{ is_all() }})
        and {{ filters.days('usage_hours.day') }}
    group by usage_hours.hour
)
{%- endmacro %}

{% macro is_all() %}
{{ filters.is_blank('regions') }}
and {{ filters.is_blank('models') }}
and {{ filters.is_blank('users') }}
and {{ filters.is_blank('applications') }}
and {{ filters.is_blank('teams') }}
and {{ filters.sees_all() }}
{%- endmacro %}
