-- At which hours of the day are calls made?
-- Grain: hour of the day, 0 to 23, UTC; 24 rows. Filters as in usage: :since, :until,
-- :regions, :models, :users, :applications.
-- :_visitor_applications: those that the visitor may see, NULL for all.
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
    where day between coalesce(:since, '') and coalesce(nullif(:until, ''), '9999')
),

named as (
    select
        occurring.*,
        regions.region,
        int_models.canonical_model_id as model_id,
        coalesce(users.alias, users.user_name) as user_name,
        case
            -- Rank 3 is the inference profile's place among the evidence.
            when
                int_models.profile_application is not null
                and applications.source_rank > 3
                then int_models.profile_application
            else applications.application
        end as application
    from occurring
    inner join rate_keys on rate_keys.rate_key = occurring.rate_key
    inner join regions on regions.region_key = rate_keys.region_key
    inner join int_models on int_models.model_key = rate_keys.model_key
    inner join users on users.user_key = occurring.user_key
    inner join applications
        on applications.application_key = occurring.application_key
),

chosen as materialized (
    select * from named
    where
        (
            coalesce(:regions, '') = ''
            or region in (select value from json_each(nullif(:regions, '')))
        )
        and (
            coalesce(:models, '') = ''
            or model_id in (select value from json_each(nullif(:models, '')))
        )
        and (
            coalesce(:users, '') = ''
            or user_name in (select value from json_each(nullif(:users, '')))
        )
        and (
            coalesce(:applications, '') = ''
            or application in (select value from json_each(nullif(:applications, '')))
        )
        and (
            :_visitor_applications is null
            or application in (select value from json_each(:_visitor_applications))
        )
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
        usage_hours.day between coalesce(:since, '')
        and coalesce(nullif(:until, ''), '9999')
    group by 1
)

select
    hours.hour_of_day,
    coalesce(summed.calls, 0) as calls,
    coalesce(summed.failed_calls, 0) as failed_calls
from hours
left join summed on summed.hour_of_day = hours.hour_of_day
order by hours.hour_of_day
