-- What was used and what does it cost, by any of user, application, region, model, day?
-- Grain: one row for each combination of the dimensions asked for (:by_...), 1 or 0.
-- Filters: :since, :until are UTC days, both inclusive; :regions, :models, :users and
-- :applications are JSON arrays of exact names; NULL or blank is no filter.
-- :top, with one dimension beside the day: so many names, those that cost most in all;
-- the others together are (others). NULL or blank names all.
-- is_lower_bound: a cost leaves out calls or tokens without a price, or calls without
-- tokens; the columns beside it count them.
-- :_visitor_applications: those that the visitor may see, NULL for all.
-- Only the priced days with the fewest rows that can answer are read: of the four parts
-- of usage, the parameters leave one. They are added up by key first and named then,
-- because joining names to every row would take longer than all the rest.
with chosen_rates as materialized (
    select rate_keys.rate_key
    from rate_keys
    inner join regions on regions.region_key = rate_keys.region_key
    inner join int_models on int_models.model_key = rate_keys.model_key
    where
        (
            coalesce(:regions, '') = ''
            or regions.region in (select value from json_each(nullif(:regions, '')))
        )
        and (
            coalesce(:models, '') = ''
            or int_models.canonical_model_id in (
                select value from json_each(nullif(:models, ''))
            )
        )
),

chosen_users as materialized (
    select user_key from users
    where
        coalesce(alias, user_name) in (
            select value from json_each(nullif(:users, ''))
        )
),

-- A name may come from the model's inference profile as well, so that it is looked for
-- under each rate key.
chosen_applications as materialized (
    select
        rate_keys.rate_key,
        applications.application_key
    from rate_keys
    inner join int_models on int_models.model_key = rate_keys.model_key
    cross join applications
    where
        (coalesce(:applications, '') <> '' or :_visitor_applications is not null)
        -- Rank 3 is the inference profile's place among the evidence.
        and iif(
            int_models.profile_application is not null and applications.source_rank > 3,
            int_models.profile_application,
            applications.application
        ) in (
            select value
            from json_each(coalesce(nullif(:applications, ''), :_visitor_applications))
        )
),

usage as not materialized (
    select
        day,
        rate_key,
        null as user_key,
        null as application_key,
        calls,
        failed_calls,
        calls_with_tokens,
        calls_without_tokens,
        input_tokens,
        output_tokens,
        cache_read_tokens,
        cache_write_tokens,
        cost_picodollars,
        actual_cost_picodollars,
        estimated_cost_picodollars,
        unpriced_calls,
        unpriced_tokens,
        data_source
    from priced_daily_by_model
    where
        day between coalesce(:since, '') and coalesce(nullif(:until, ''), '9999')
        and (
            (coalesce(:regions, '') = '' and coalesce(:models, '') = '')
            or rate_key in (select rate_key from chosen_rates)
        )
        and not (:by_user or coalesce(:users, '') <> '')
        and not (
            :by_application
            or coalesce(:applications, '') <> ''
            or :_visitor_applications is not null
        )
    union all
    select
        day,
        rate_key,
        user_key,
        null as application_key,
        calls,
        failed_calls,
        calls_with_tokens,
        calls_without_tokens,
        input_tokens,
        output_tokens,
        cache_read_tokens,
        cache_write_tokens,
        cost_picodollars,
        actual_cost_picodollars,
        estimated_cost_picodollars,
        unpriced_calls,
        unpriced_tokens,
        data_source
    from priced_daily_by_user
    where
        day between coalesce(:since, '') and coalesce(nullif(:until, ''), '9999')
        and (
            (coalesce(:regions, '') = '' and coalesce(:models, '') = '')
            or rate_key in (select rate_key from chosen_rates)
        )
        and (:by_user or coalesce(:users, '') <> '')
        and not (
            :by_application
            or coalesce(:applications, '') <> ''
            or :_visitor_applications is not null
        )
        and (
            coalesce(:users, '') = ''
            or user_key in (select user_key from chosen_users)
        )
    union all
    select
        day,
        rate_key,
        null as user_key,
        application_key,
        calls,
        failed_calls,
        calls_with_tokens,
        calls_without_tokens,
        input_tokens,
        output_tokens,
        cache_read_tokens,
        cache_write_tokens,
        cost_picodollars,
        actual_cost_picodollars,
        estimated_cost_picodollars,
        unpriced_calls,
        unpriced_tokens,
        data_source
    from priced_daily_by_application
    where
        day between coalesce(:since, '') and coalesce(nullif(:until, ''), '9999')
        and (
            (coalesce(:regions, '') = '' and coalesce(:models, '') = '')
            or rate_key in (select rate_key from chosen_rates)
        )
        and not (:by_user or coalesce(:users, '') <> '')
        and (
            :by_application
            or coalesce(:applications, '') <> ''
            or :_visitor_applications is not null
        )
        and (
            (coalesce(:applications, '') = '' and :_visitor_applications is null)
            or (rate_key, application_key) in (
                select
                    rate_key,
                    application_key
                from chosen_applications
            )
        )
    union all
    select
        day,
        rate_key,
        user_key,
        application_key,
        calls,
        failed_calls,
        calls_with_tokens,
        calls_without_tokens,
        input_tokens,
        output_tokens,
        cache_read_tokens,
        cache_write_tokens,
        cost_picodollars,
        actual_cost_picodollars,
        estimated_cost_picodollars,
        unpriced_calls,
        unpriced_tokens,
        data_source
    from priced_daily
    where
        day between coalesce(:since, '') and coalesce(nullif(:until, ''), '9999')
        and (
            (coalesce(:regions, '') = '' and coalesce(:models, '') = '')
            or rate_key in (select rate_key from chosen_rates)
        )
        and (:by_user or coalesce(:users, '') <> '')
        and (
            :by_application
            or coalesce(:applications, '') <> ''
            or :_visitor_applications is not null
        )
        and (
            coalesce(:users, '') = ''
            or user_key in (select user_key from chosen_users)
        )
        and (
            (coalesce(:applications, '') = '' and :_visitor_applications is null)
            or (rate_key, application_key) in (
                select
                    rate_key,
                    application_key
                from chosen_applications
            )
        )
),

-- Rate keys that the answer's names depend on; the others are added up.
named_rates as materialized (
    select rate_keys.rate_key
    from rate_keys
    inner join int_models on int_models.model_key = rate_keys.model_key
    where :by_region or :by_model or int_models.profile_application is not null
),

summed as (
    select
        iif(:by_day, day, null) as day,
        iif(
            rate_key in (select rate_key from named_rates), rate_key, null
        ) as named_rate_key,
        user_key,
        application_key,
        sum(calls) as calls,
        sum(failed_calls) as failed_calls,
        sum(calls_with_tokens) as calls_with_tokens,
        sum(calls_without_tokens) as calls_without_tokens,
        sum(input_tokens) as input_tokens,
        sum(output_tokens) as output_tokens,
        sum(cache_read_tokens) as cache_read_tokens,
        sum(cache_write_tokens) as cache_write_tokens,
        sum(unpriced_calls) as unpriced_calls,
        sum(unpriced_tokens) as unpriced_tokens,
        sum(cost_picodollars / 1000000) as cost_microdollars,
        sum(cost_picodollars % 1000000) as cost_rest,
        sum(actual_cost_picodollars / 1000000) as actual_cost_microdollars,
        sum(actual_cost_picodollars % 1000000) as actual_cost_rest,
        sum(estimated_cost_picodollars / 1000000) as estimated_cost_microdollars,
        sum(estimated_cost_picodollars % 1000000) as estimated_cost_rest,
        case
            when
                min(data_source)
                filter (where calls > 0 or cost_picodollars > 0 or unpriced_tokens > 0)
                < max(data_source)
                filter (where calls > 0 or cost_picodollars > 0 or unpriced_tokens > 0)
                then 'Mixed'
            else coalesce(
                max(data_source)
                filter (where calls > 0 or cost_picodollars > 0 or unpriced_tokens > 0),
                max(data_source)
            )
        end as data_source
    from usage
    group by 1, 2, 3, 4
),

named as (
    select
        summed.*,
        calls > 0 or cost_microdollars + cost_rest > 0 or unpriced_tokens > 0 as tells,
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
    from summed
    left join rate_keys on rate_keys.rate_key = summed.named_rate_key
    left join regions on regions.region_key = rate_keys.region_key
    left join int_models on int_models.model_key = rate_keys.model_key
    left join users on users.user_key = summed.user_key
    left join applications on applications.application_key = summed.application_key
),

chosen as materialized (
    select
        *,
        case
            when :by_user then user_name
            when :by_application then application
            when :by_region then region
            when :by_model then model_id
        end as name
    from named
    where
        (
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

placed as (
    select
        *,
        coalesce(:top, '') <> '' and name not in (
            select name from chosen
            group by name
            order by sum(cost_microdollars) desc, sum(calls) desc, name
            limit cast(coalesce(:top, 0) as integer)
        ) as is_other
    from chosen
)

select
    day,
    iif(:by_user, iif(is_other, '(others)', user_name), null) as user_name,
    iif(:by_application, iif(is_other, '(others)', application), null) as application,
    iif(:by_region, iif(is_other, '(others)', region), null) as region,
    iif(:by_model, iif(is_other, '(others)', model_id), null) as model_id,
    sum(calls) as calls,
    sum(failed_calls) as failed_calls,
    sum(input_tokens) as input_tokens,
    sum(output_tokens) as output_tokens,
    sum(cache_read_tokens) as cache_read_tokens,
    sum(cache_write_tokens) as cache_write_tokens,
    round((sum(cost_microdollars) + sum(cost_rest) / 1e6) / 1e6, 9) as cost_usd,
    round((sum(actual_cost_microdollars) + sum(actual_cost_rest) / 1e6) / 1e6, 9)
        as actual_cost_usd,
    round((sum(estimated_cost_microdollars) + sum(estimated_cost_rest) / 1e6) / 1e6, 9)
        as estimated_cost_usd,
    sum(calls_with_tokens) as calls_with_tokens,
    sum(calls_without_tokens) as calls_without_tokens,
    sum(unpriced_calls) as unpriced_calls,
    sum(unpriced_tokens) as unpriced_tokens,
    sum(unpriced_calls) + sum(unpriced_tokens) + sum(calls_without_tokens) > 0
        as is_lower_bound,
    case
        when
            min(data_source)
            filter (where tells)
            < max(data_source)
            filter (where tells)
            then 'Mixed'
        else coalesce(
            max(data_source)
            filter (where tells),
            max(data_source)
        )
    end as data_source
from placed
group by 1, 2, 3, 4, 5
order by
    day,
    sum(cost_microdollars) desc,
    sum(calls) desc,
    user_name,
    application,
    region,
    model_id
