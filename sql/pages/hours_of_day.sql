-- At which hours of the day are calls made?
-- Grain: hour of the day, 0 to 23, UTC; 24 rows. Filters as in usage: :since, :until,
-- :regions, :models, :users, :applications, :teams.

-- :_visitor_applications, :_visitor_teams: what the visitor may see, NULL for all.
with recursive hours (hour_of_day) as (
    select 0
    union all
    select hour_of_day + 1 from hours
    where hour_of_day < 23
),

-- What occurs in the range is looked up by its key in each hour: hours have millions of
-- rows.
occurring as (
    select distinct
        account_key,
        rate_key,
        user_key,
        application_key
    from priced_daily
    where {{ filters.days() }}
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
),

summed as (
    select
        cast(substr(usage_hours.hour, 12, 2) as integer) as hour_of_day,
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
        {{ filters.days('usage_hours.day') }}
    group by 1
)

select
    hours.hour_of_day,
    coalesce(summed.calls, 0) as calls,
    coalesce(summed.failed_calls, 0) as failed_calls
from hours
left join summed on summed.hour_of_day = hours.hour_of_day
order by hours.hour_of_day
