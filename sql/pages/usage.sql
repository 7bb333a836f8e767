-- What was used and what did it cost, by user, application, team, region, model or day?
-- Grain: one row for each combination of the requested dimensions (:by_..., 1 or 0).
-- :since and :until are UTC days, both included; :regions, :models, :users,
-- :applications and :teams are exact names, in a JSON array or separated by commas.
-- NULL or blank is no filter. :top, with one dimension besides the day: keep this many
-- names, those that cost most in total, and sum the rest as (others); NULL or blank
-- keeps all.

-- is_lower_bound: the cost leaves out calls or tokens without a price, or calls without
-- tokens. The columns next to it count them. cost_low_usd, cost_high_usd: the ends of
-- what it may be; the high end is NULL where it is not known. usd_per_call and
-- usd_per_ktok are cost_usd by all calls and by all tokens.

-- :_visitor_applications, :_visitor_teams: what the visitor may see, NULL for all.

-- Only the smallest table of priced days that can answer is read: the parameters leave
-- one of the four parts of usage. Rows are summed by key first and named afterwards,
-- because joining names to every row would take longer than everything else.
with chosen_rates as materialized (
    select rate_keys.rate_key
    from rate_keys
    inner join regions on regions.region_key = rate_keys.region_key
    inner join int_models on int_models.model_key = rate_keys.model_key
    where
        {{ filters.chosen('regions', 'regions.region') }}
        and {{ filters.chosen('models', 'int_models.canonical_model_id') }}
),

-- A name may also come from the model's inference profile, so it is looked up for each
-- rate key.
chosen_applications as materialized (
    select
        rate_key,
        application_key
    from int_names
    where
        {{ filters.chosen('applications', 'application') }}
        and {{ filters.chosen('teams', 'team') }}
        and {{ filters.visible() }}
),

usage as not materialized (
{% for by_user, by_application, priced_days in (
    (false, false, 'priced_daily_by_model'),
    (true, false, 'priced_daily_by_user'),
    (false, true, 'priced_daily_by_application'),
    (true, true, 'priced_daily'),
) %}
    select
        day,
        rate_key,
        {{ 'user_key' if by_user else 'null as user_key' }},
        {{ 'application_key' if by_application else 'null as application_key' }},
        calls,
        failed_calls,
        calls_with_tokens,
        calls_without_tokens,
        {{ columns.each(columns.shown_tokens) }},
        cost_picodollars,
        actual_cost_picodollars,
        estimated_cost_picodollars,
        list_cost_picodollars,
        unpriced_calls,
        unpriced_tokens,
        list_unpriced_tokens,
{% if by_user or by_application %}
        -- Nano-dollars do for these; SQLite can sum nine billion dollars of them.
        (cost_picodollars - cost_low_picodollars) / 1000 as cost_below,
        (cost_high_picodollars - cost_picodollars) / 1000 as cost_above,
        unbounded_estimates,
{% else %}
        -- Over all callers, the total is CloudWatch's.
        0 as cost_below,
        0 as cost_above,
        0 as unbounded_estimates,
{% endif %}
        data_source
    from {{ priced_days }}
    where
        {{ filters.days() }}
        and (
            (
                {{ filters.is_blank('regions') }}
                and {{ filters.is_blank('models') }}
            )
            or rate_key in (select rate_key from chosen_rates)
        )
        and {% if not by_user %}not {% endif %}(
            :by_user
            or not {{ filters.is_blank('users') }}
        )
        and {% if not by_application %}not {% endif %}(
            :by_application
            or :by_team
            or not {{ filters.is_blank('applications') }}
            or not {{ filters.is_blank('teams') }}
            or not ({{ filters.sees_all() }})
        )
{% if by_user %}
        and {{ filters.of_users() }}
{% endif %}
{% if by_application %}
        and {{ filters.of_applications('rate_key') }}
{% endif %}
{% if not loop.last %}
    union all
{% endif %}
{% endfor %}
),

-- Rate keys that decide a name in the answer; the others are summed.
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
        {{ columns.each(columns.shown_tokens, 'sum({0}) as {0}') }},
        sum(unpriced_calls) as unpriced_calls,
        sum(unpriced_tokens) as unpriced_tokens,
        sum(cost_picodollars / 1000000) as cost_microdollars,
        sum(cost_picodollars % 1000000) as cost_rest,
        sum(actual_cost_picodollars / 1000000) as actual_cost_microdollars,
        sum(actual_cost_picodollars % 1000000) as actual_cost_rest,
        sum(estimated_cost_picodollars / 1000000) as estimated_cost_microdollars,
        sum(estimated_cost_picodollars % 1000000) as estimated_cost_rest,
        sum(cost_below) as cost_below,
        sum(cost_above) as cost_above,
        sum(unbounded_estimates) as unbounded_estimates,
        sum(list_cost_picodollars / 1000000) filter (where {{ rates.may_differ() }})
            as list_cost_microdollars,
        sum(list_cost_picodollars % 1000000) filter (where {{ rates.may_differ() }})
            as list_cost_rest,
        sum(list_unpriced_tokens) filter (where {{ rates.may_differ() }})
            as list_unpriced_tokens,
        {{ money.data_source() }} as data_source
    from usage
    group by 1, 2, 3, 4
),

named as (
    select
        summed.*,
        calls > 0 or cost_microdollars + cost_rest > 0 or unpriced_tokens > 0 as tells,
        regions.region,
        int_models.canonical_model_id as model_id,
        users.user_name,
        {{ names.application('int_models', 'applications') }} as application,
        teams.team
    from summed
    left join rate_keys on rate_keys.rate_key = summed.named_rate_key
    left join regions on regions.region_key = rate_keys.region_key
    left join int_models on int_models.model_key = rate_keys.model_key
    left join stg_users as users on users.user_key = summed.user_key
    left join applications on applications.application_key = summed.application_key
    left join teams on teams.team_key = applications.team_key
),

chosen as materialized (
    select
        *,
        {{ filters.name_asked_for() }}
    from named
    where
        {{ filters.chosen('users', 'user_name') }}
        and {{ filters.chosen('applications', 'application') }}
        and {{ filters.chosen('teams', 'team') }}
        and {{ filters.visible() }}
),

{{ filters.placed('chosen', 'cost_microdollars') }}

{% set usd = '(sum(cost_microdollars) + sum(cost_rest) / 1e6) / 1e6' %}
select
    day,
    {{ filters.asked_for() }},
    sum(calls) as calls,
    sum(failed_calls) as failed_calls,
    {{ columns.each(columns.shown_tokens, 'sum({0}) as {0}') }},
    iif(
        {{ rates.may_differ() }},
        round((sum(list_cost_microdollars) + sum(list_cost_rest) / 1e6) / 1e6, 9),
        round({{ usd }}, 9)
    ) as list_cost_usd,
    round({{ usd }}, 9) as cost_usd,
    round((sum(actual_cost_microdollars) + sum(actual_cost_rest) / 1e6) / 1e6, 9)
        as actual_cost_usd,
    round((sum(estimated_cost_microdollars) + sum(estimated_cost_rest) / 1e6) / 1e6, 9)
        as estimated_cost_usd,
    sum(calls_with_tokens) as calls_with_tokens,
    sum(calls_without_tokens) as calls_without_tokens,
    sum(unpriced_calls) as unpriced_calls,
    sum(unpriced_tokens) as unpriced_tokens,
    iif(
        {{ rates.may_differ() }},
        sum(list_unpriced_tokens),
        sum(unpriced_tokens)
    ) as list_unpriced_tokens,
    sum(unpriced_calls) + sum(unpriced_tokens) + sum(calls_without_tokens) > 0
        as is_lower_bound,
    {{ money.data_source('tells') }} as data_source,
    round(
        {{ usd }}
        - sum(cost_below) / 1e9,
        9
    ) as cost_low_usd,
    iif(
        sum(unpriced_calls) + sum(unpriced_tokens) + sum(calls_without_tokens)
        + sum(unbounded_estimates) = 0,
        round(
            {{ usd }}
            + sum(cost_above) / 1e9,
            9
        ),
        null
    ) as cost_high_usd,
    {{ money.per_unit(usd) }}
from placed
group by 1, 2, 3, 4, 5, 6
order by
    day,
    sum(cost_microdollars) desc,
    sum(calls) desc,
    user_name,
    application,
    team,
    region,
    model_id
