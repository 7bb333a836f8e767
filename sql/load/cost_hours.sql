-- What did each user, and each application, cost in each hour of a day?
-- Grain: hour x user, and hour x application; the other key is 0. :day is a UTC day.
-- rate_key is 0, but where an inference profile names the application.
with named_rates as materialized (
    select rate_keys.rate_key
    from rate_keys
    inner join int_models on int_models.model_key = rate_keys.model_key
    where int_models.profile_application is not null
),

priced as materialized (
    select
        usage.hour,
        usage.user_key,
        usage.application_key,
        iif(
            usage.rate_key in (select rate_key from named_rates), usage.rate_key, 0
        ) as rate_key,
        sum(usage.calls) as calls,
        sum(
{% for count, price in columns.priced_counts %}
            coalesce(
                (
                    {{ movers.tokens_of(count, columns.estimate_of[count]) }}
                ) * rates.{{ price }}_rate,
                0
            ){{ ' +' if not loop.last }}
{% endfor %}
        ) as cost_picodollars
    from usage_hours
    cross join usage_hourly as usage on usage.hour = usage_hours.hour
    left join account_discounts
        on account_discounts.account_key = usage.account_key
    left join priced_rates as rates
        on
            rates.rate_key = usage.rate_key
            and rates.discount_group = coalesce(account_discounts.discount_group, 0)
            and usage_hours.day >= rates.valid_from
            and usage_hours.day < rates.valid_to
    where usage_hours.day = :day
    group by 1, 2, 3, 4
)

select
    hour,
    user_key,
    0 as application_key,
    0 as rate_key,
    sum(calls) as calls,
    sum(cost_picodollars) as cost_picodollars
from priced
group by 1, 2
union all
select
    hour,
    0 as user_key,
    application_key,
    rate_key,
    sum(calls) as calls,
    sum(cost_picodollars) as cost_picodollars
from priced
group by 1, 3, 4
