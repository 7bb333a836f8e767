-- What has each day of the running month cost, and what will the others?
-- Grain: UTC day of the month. Of everything, or of one application or one team:
-- :applications and :teams are exact names, in a JSON array or separated by commas, of
-- which one may name one. Units: USD. expected_usd is NULL for days that are over, and
-- cost_usd for days without usage so far. The forecast_* columns are the month's, as in
-- forecast_month; if they are NULL, so is expected_usd, and reason says why. No rows:
-- no day is over, :regions, :models or :users are given, or :until is before the last
-- day that is over.

-- :_visitor_applications, :_visitor_teams: what the visitor may see, NULL for all. With
-- a list there are no rows: how far everything was read concerns all applications.
with chosen as (
{% for dimension in ('application', 'team') %}
    select
        '{{ dimension }}' as dimension,
        name
    from (
        select null as name where false
        union all
        {{ filters.names(dimension ~ 's') }}
    )
    where not {{ filters.is_blank(dimension ~ 's') }}
{% if not loop.last %}
    union all
{% endif %}
{% endfor %}
),

months as materialized (
    select
        forecast_month.*,
        forecasts.rest_by_day
    from forecast_month
    inner join forecasts
        on
            forecasts.dimension = forecast_month.dimension
            and forecasts.name = forecast_month.name
    where
        {{ filters.sees_all() }}
        and {{ filters.is_blank('regions') }}
        and {{ filters.is_blank('models') }}
        and {{ filters.is_blank('users') }}
        and forecast_month.through_day <= coalesce(nullif(:until, ''), '9999')
        and (
            (forecast_month.dimension = 'all' and not exists (select 1 from chosen))
            or (
                1 = (select count(*) from chosen)
                and (forecast_month.dimension, forecast_month.name) in (
                    select
                        dimension,
                        name
                    from chosen
                )
            )
        )
),

costs as (
    {{ forecasts.costs([
        "day >= (select month || '-01' from months)",
        "day <= (select month || '-31' from months)",
    ], ['day']) }}
),

days as (
    select month || '-01' as day
    from months
    union all
    select date(day, '+1 day') as day
    from days
    where day < date(day, 'start of month', '+1 month', '-1 day')
)

select
    days.day,
    costs.cost_usd,
    expected.value as expected_usd,
    months.month,
    months.through_day,
    months.spent_usd,
    months.forecast_usd,
    months.forecast_low_usd,
    months.forecast_high_usd,
    months.reason
from months
cross join days
left join costs
    on
        costs.dimension = months.dimension
        and costs.name = months.name
        and costs.day = days.day
left join json_each(months.rest_by_day) as expected on expected.key = days.day
order by days.day
