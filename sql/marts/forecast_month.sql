-- What will the running month cost, in all, for each team and for each application?
-- Grain: dimension (all, team, application) x name, in the UTC month of the day after
-- the last covered day that is over (through_day). Units: USD. spent_usd is what is
-- loaded of the month so far. forecast_low_usd and forecast_high_usd are the ends of a
-- band that the month's cost is in nine times out of ten; neither they nor forecast_usd
-- are ever below what is spent. All three are NULL where reason says why. Days of the
-- month that are not covered count as days to come. Usage without a price is in none.
with spent as (
    {{ forecasts.costs([
        "day >= (select min(month) || '-01' from forecasts)",
        "day <= (select max(month) || '-31' from forecasts)",
    ]) }}
)

select
    forecasts.month,
    forecasts.dimension,
    forecasts.name,
    forecasts.through_day,
    coalesce(spent.cost_usd, 0) as spent_usd,
{% for end in ('', '_low', '_high') %}
    max(
        coalesce(spent.cost_usd, 0),
        round(forecasts.finished_usd + forecasts.rest{{ end }}_usd, 6)
    ) as forecast{{ end }}_usd,
{% endfor %}
    forecasts.reason,
    forecasts.history_days,
    forecasts.rest_days,
    coalesce(spent.is_lower_bound, 0) as is_lower_bound
from forecasts
left join spent
    on
        spent.dimension = forecasts.dimension
        and spent.name = forecasts.name
