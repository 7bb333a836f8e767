-- By how many tokens per call were CloudWatch's totals shared among callers?
-- Grain: model x region x user x application x token kind x window of days, of what is
-- estimated on the selected days, most tokens first. Filters as in usage: :since,
-- :until, :regions, :models, :users, :applications, :teams.
-- Units: tokens, all that are estimated of the caller, also while it was the only one.
-- tokens_per_call is the mean that the fit found, relative_error one standard error of
-- it; held_out_gain is the part of the error of equal sizes that it saves in hours that
-- it was not taken from. callers: those who always call together, itself included,
-- and share by calls.

-- :_visitor_applications, :_visitor_teams: what the visitor may see, NULL for all.
with {{ coverage.chosen() }},

windows as materialized (
    select distinct window_start from calibrations
    where is_used
),

-- Windows begin with a day; hour is the first of the window.
estimated as materialized (
    select
        account_key,
        rate_key,
        user_key,
        application_key,
        (
            select max(windows.window_start) from windows
            where windows.window_start <= usage_daily.day || 'T00:00:00Z'
        ) as hour,
        {{ columns.each(columns.estimates, 'sum({0}) as {0}') }}
    from usage_daily
    where
        (
            {{ columns.each(columns.estimates, '{} > 0', '\nor ') }}
        )
        and {{ filters.of_chosen() }}
        and exists (select 1 from windows)
    group by account_key, rate_key, user_key, application_key, hour
),

kinds (token_kind) as (
    values
{% for kind in columns.kinds %}
    ('{{ kind.name }}'){{ ',' if not loop.last }}
{% endfor %}
),

weighted as (
    select
        usage.rate_key,
        usage.user_key,
        usage.application_key,
        kinds.token_kind,
        {{ usage.estimate_of('kinds.token_kind') }} as tokens,
        call_weights.calibration_key,
        call_weights.weight,
        call_weights.relative_error,
        call_weights.group_number
    from estimated as usage
    cross join kinds
    inner join int_rate_series as series
        on
            series.account_key = usage.account_key
            and series.rate_key = usage.rate_key
    {{ estimates.weights('series', 'kinds.token_kind', hour='usage.hour') }}
    where
        call_weights.weight is not null
        and {{ usage.estimate_of('kinds.token_kind') }} > 0
),

final as (
    select
        chosen.model_id,
        chosen.region,
        users.user_name,
        chosen.application,
        weighted.token_kind,
        sum(weighted.tokens) as tokens,
        weighted.weight / 1000.0 as tokens_per_call,
        weighted.relative_error,
        calibrations.unit,
        calibrations.window_start,
        calibrations.bucket_seconds,
        calibrations.held_out_gain,
        (
            select count(*) from call_weights as others
            where
                others.calibration_key = weighted.calibration_key
                and others.group_number = weighted.group_number
        ) as callers
    from weighted
    inner join calibrations
        on calibrations.calibration_key = weighted.calibration_key
    inner join chosen
        on
            chosen.rate_key = weighted.rate_key
            and chosen.application_key = weighted.application_key
    inner join stg_users as users on users.user_key = weighted.user_key
    group by
        weighted.calibration_key,
        weighted.user_key,
        weighted.application_key,
        chosen.model_id,
        chosen.application
)

select * from final
order by
    tokens desc,
    model_id,
    region,
    user_name,
    application,
    token_kind,
    window_start
