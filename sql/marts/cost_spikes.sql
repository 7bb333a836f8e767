-- Which user or application cost far more on a day, or in an hour, than usual?
-- Grain: dimension (user, application) x name x period (day, hour) x period_start, of
-- the last thirty days with usage; hours of the last seven. Units: USD. Compared with
-- up to eight of the same weekday (and hour) before it: usual_cost_usd is their median,
-- deviation_usd their median absolute deviation. A spike is 20 USD and 6 scaled
-- deviations above the median, more than five times the median, and more than three
-- times (an hour: four times) what any day (hour) of the four weeks before cost.

-- A day that is not over, or not covered, is judged by what is loaded of it.
-- SQLite 3.40 finds wrong maxima in a range that ends before the current row.
with {{ watch.bounds() }},

days as (
    select
        bounds.first_day,
        bounds.last_day,
        max(bounds.shown_from, date(bounds.last_day, '-6 days')) as hours_from,
        bounds.shown_from,
        date(bounds.shown_from, '-{{ 7 * watch.compared_weeks }} days') as compared_from
    from bounds
),

-- Names are joined to sums, not to every row. rate_key is 0 where it names nothing.
named_rates as materialized (
    select rate_keys.rate_key
    from rate_keys
    inner join int_models on int_models.model_key = rate_keys.model_key
    where int_models.profile_application is not null
),

keys as materialized (
    select
        cost_hours.user_key,
        cost_hours.application_key,
        cost_hours.rate_key,
        iif(cost_hours.application_key = 0, 'user', 'application') as dimension,
        coalesce(
            users.user_name,
            {{ names.application('int_models', 'applications') }}
        ) as name
    from (
        select distinct
            user_key,
            application_key,
            rate_key
        from cost_hours
    ) as cost_hours
    left join stg_users as users
        on cost_hours.application_key = 0 and users.user_key = cost_hours.user_key
    left join applications on applications.application_key = cost_hours.application_key
    left join rate_keys on rate_keys.rate_key = cost_hours.rate_key
    left join int_models on int_models.model_key = rate_keys.model_key
),

-- Names with an hour that is dear enough, and nothing of all others.
dear_names as materialized (
    select distinct
        dimension,
        name
    from (
        select
            keys.dimension,
            keys.name
        from days
        cross join cost_hours on cost_hours.hour >= days.hours_from
        inner join keys
            on
                keys.user_key = cost_hours.user_key
                and keys.application_key = cost_hours.application_key
                and keys.rate_key = cost_hours.rate_key
        group by keys.dimension, keys.name, cost_hours.hour
        having
            sum(cost_hours.cost_picodollars / 1000000)
            >= {{ watch.periods['hour'].floor_usd }}e6
    )
),

hour_costs as materialized (
    select
        keys.dimension,
        keys.name,
        cost_hours.hour as period_start,
        sum(cost_hours.calls) as calls,
        sum(cost_hours.cost_picodollars / 1000000) / 1e6 as cost_usd
    from dear_names
    cross join keys
        on
            keys.dimension = dear_names.dimension
            and keys.name = dear_names.name
    cross join days
    inner join cost_hours
        on
            cost_hours.user_key = keys.user_key
            and cost_hours.application_key = keys.application_key
            and cost_hours.rate_key = keys.rate_key
            and cost_hours.hour
            >= date(days.hours_from, '-{{ 7 * watch.compared_weeks }} days')
    group by keys.dimension, keys.name, cost_hours.hour
),

day_costs as materialized (
    select
        'user' as dimension,
        users.user_name as name,
        costs.day as period_start,
        sum(costs.calls) as calls,
        sum(costs.cost_usd) as cost_usd
    from (
        select
            costs.day,
            costs.user_key,
            sum(costs.calls) as calls,
            sum(costs.cost_picodollars / 1000000) / 1e6 as cost_usd
        from days
        cross join priced_daily_by_user as costs on costs.day >= days.compared_from
        group by costs.day, costs.user_key
    ) as costs
    inner join stg_users as users on users.user_key = costs.user_key
    group by users.user_name, costs.day
    union all
    select
        'application' as dimension,
        {{ names.application('int_models', 'applications') }} as name,
        costs.day as period_start,
        sum(costs.calls) as calls,
        sum(costs.cost_usd) as cost_usd
    from (
        select
            costs.day,
            costs.application_key,
            iif(
                costs.rate_key in (select rate_key from named_rates), costs.rate_key, 0
            ) as rate_key,
            sum(costs.calls) as calls,
            sum(costs.cost_picodollars / 1000000) / 1e6 as cost_usd
        from days
        cross join priced_daily_by_application as costs
            on costs.day >= days.compared_from
        group by 1, 2, 3
    ) as costs
    inner join applications on applications.application_key = costs.application_key
    left join rate_keys on rate_keys.rate_key = costs.rate_key
    left join int_models on int_models.model_key = rate_keys.model_key
    group by 2, 3
),

{% for period in ('day', 'hour') %}
{% set limits = watch.periods[period] %}
{{ period }}_candidates as materialized (
    select *
    from (
        select
            *,
            min(period_start) over (partition by dimension, name) as first_use,
            max(cost_usd) over (
                partition by dimension, name
                order by julianday(period_start)
                range between {{ watch.record_days }} preceding and current row
                exclude current row
            ) as record_usd
        from {{ period }}_costs
    )
    where
        cost_usd >= {{ limits.floor_usd }}
        and cost_usd > {{ limits.record }} * coalesce(record_usd, 0)
        and period_start
        >= (select {{ 'shown_from' if period == 'day' else 'hours_from' }} from days)
),

{{ period }}_compared as (
    select
        candidates.dimension,
        candidates.name,
        candidates.period_start,
        coalesce(costs.cost_usd, 0) as cost_usd
    from {{ period }}_candidates as candidates
    cross join (
{% for week in range(1, watch.compared_weeks + 1) %}
        select {{ 7 * week }} as earlier{{ '\n        union all' if not loop.last }}
{% endfor %}
    ) as weeks
    inner join int_covered_days as covered
        on
            covered.day = date(candidates.period_start, -weeks.earlier || ' days')
            and covered.is_covered
            and covered.day >= date(candidates.first_use)
    left join {{ period }}_costs as costs
        on
            costs.dimension = candidates.dimension
            and costs.name = candidates.name
            and costs.period_start
            = covered.day || substr(candidates.period_start, 11)
),

{{ period }}_medians as (
    {{ watch.medians(period ~ '_compared', 'cost_usd') }}
),

{{ period }}_deviations as (
    select
        compared.dimension,
        compared.name,
        compared.period_start,
        abs(compared.cost_usd - medians.middle) as deviation
    from {{ period }}_compared as compared
    inner join {{ period }}_medians as medians
        on
            medians.dimension = compared.dimension
            and medians.name = compared.name
            and medians.period_start = compared.period_start
),

{{ period }}_spikes as (
    select
        candidates.dimension,
        candidates.name,
        '{{ period }}' as period,
        candidates.period_start,
        candidates.calls,
        candidates.cost_usd,
        medians.middle as usual_cost_usd,
        deviations.middle as deviation_usd,
        candidates.record_usd,
        medians.number as compared_periods
    from {{ period }}_candidates as candidates
    inner join {{ period }}_medians as medians
        on
            medians.dimension = candidates.dimension
            and medians.name = candidates.name
            and medians.period_start = candidates.period_start
    inner join (
        {{ watch.medians(period ~ '_deviations', 'deviation') }}
    ) as deviations
        on
            deviations.dimension = candidates.dimension
            and deviations.name = candidates.name
            and deviations.period_start = candidates.period_start
    where
        medians.number >= {{ watch.least_compared }}
        and candidates.cost_usd - medians.middle >= {{ limits.floor_usd }}
        and candidates.cost_usd - medians.middle
        > {{ limits.deviations }} * 1.4826 * deviations.middle
        and candidates.cost_usd > {{ limits.times }} * medians.middle
),

{% endfor %}
final as (
    select * from day_spikes
    union all
    select * from hour_spikes
)

select
    period_start,
    period,
    dimension,
    name,
    calls,
    round(cost_usd, 6) as cost_usd,
    round(usual_cost_usd, 6) as usual_cost_usd,
    round(deviation_usd, 6) as deviation_usd,
    round(record_usd, 6) as record_usd,
    compared_periods,
    'bedrock-usage report breakdown --' || dimension || ' '
    || {{ watch.quoted('name') }}
    || ' --since ' || date(period_start) || ' --until ' || date(period_start)
        as next_step
from final
