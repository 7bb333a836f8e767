-- Which calls failed, and why?
-- Grain: the requested dimensions (:by_..., 1 or 0) x error_kind; the most failed calls
-- first. Filters as in usage: :since, :until, :regions, :models, :users, :applications,
-- :teams. all_calls: the calls of those dimensions, failed ones included. error_kind is
-- throttled, denied, not valid, not found, timed out, failed at AWS or other; not known
-- where only the number of failed calls is: their days came from a rollup, the calls
-- were dropped before kinds were kept, or are not counted by kind yet.

-- :_visitor_applications, :_visitor_teams: what the visitor may see, NULL for all.
{% set dimensions = ['day', 'user_name', 'application', 'team', 'region', 'model_id'] %}
{% set asked = ['day', 'user', 'application', 'team', 'region', 'model'] %}
with {{ filters.chosen_keys() }},

named_failures as (
    select
        failed.day,
        users.user_name,
        names.application,
        names.team,
        regions.region,
        names.model_id,
        {{ errors.kind('error_codes.error_code') }} as error_kind,
        error_codes.error_code,
        failed.failed_calls
    from failed_days as failed
    inner join regions on regions.region_key = failed.region_key
    inner join stg_users as users on users.user_key = failed.user_key
    inner join error_codes on error_codes.error_code_key = failed.error_code_key
    inner join int_applications as names
        on
            names.model_key = failed.model_key
            and names.application_key = failed.application_key
    where
        {{ filters.days('failed.day') }}
),

-- By key first: days have many rows. Without users there are far fewer.
tries as (
    select
        iif(:by_day, day, null) as day,
        null as user_key,
        rate_key,
        application_key,
        sum(calls) as calls,
        sum(failed_calls) as failed_calls
    from priced_daily_by_application
    where
        not (:by_user or not {{ filters.is_blank('users') }})
        and {{ filters.days() }}
        and {{ filters.of_chosen_names() }}
    group by 1, 3, 4
    union all
    select
        iif(:by_day, day, null) as day,
        iif(:by_user, user_key, null) as user_key,
        rate_key,
        application_key,
        sum(calls) as calls,
        sum(failed_calls) as failed_calls
    from priced_daily
    where
        (:by_user or not {{ filters.is_blank('users') }})
        and {{ filters.of_chosen() }}
    group by 1, 2, 3, 4
),

named_tries as (
    select
        tries.day,
        users.user_name,
        names.application,
        names.team,
        names.region,
        names.model_id,
        tries.calls,
        tries.failed_calls
    from tries
    inner join int_names as names
        on
            names.rate_key = tries.rate_key
            and names.application_key = tries.application_key
    left join stg_users as users on users.user_key = tries.user_key
),

-- A row for each kind, and one for all.
counted as (
    select
{% for dimension in dimensions %}
        iif(:by_{{ asked[loop.index0] }}, {{ dimension }}, null) as {{ dimension }},
{% endfor %}
        error_kind,
        sum(failed_calls) as failed_calls,
        0 as all_calls,
        group_concat(distinct error_code) as error_codes
    from named_failures
    where
        {{ filters.of_names() }}
        and {{ filters.chosen('users', 'user_name') }}
        and {{ filters.visible() }}
    group by 1, 2, 3, 4, 5, 6, 7
    union all
    select
{% for dimension in dimensions %}
        iif(:by_{{ asked[loop.index0] }}, {{ dimension }}, null) as {{ dimension }},
{% endfor %}
        'not known' as error_kind,
        sum(failed_calls) as failed_calls,
        sum(calls) + sum(failed_calls) as all_calls,
        null as error_codes
    from named_tries
    group by 1, 2, 3, 4, 5, 6
),

compared as (
    select
        *,
        sum(all_calls) over same as calls_of_all,
        sum(failed_calls) filter (where error_kind <> 'not known') over same as known
    from counted
    window same as (
        partition by
            {{ columns.each(dimensions) }}
    )
),

final as (
    select
        {{ columns.each(dimensions) }},
        error_kind,
        iif(
            error_kind = 'not known', failed_calls - coalesce(known, 0), failed_calls
        ) as failed_calls,
        calls_of_all as all_calls,
        error_codes
    from compared
)

select * from final
where failed_calls > 0
order by
    day,
    failed_calls desc,
    {{ columns.each(dimensions[1:]) }},
    error_kind
