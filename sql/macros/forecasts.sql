-- What is forecast: the cost in all, of each team and of each application.

{% import 'macros/money' as money %}

-- Costs of the days of a condition, also by some columns.
{% macro costs(days, by=[]) %}
{% for dimension, name, costs_of in (
    ('all', "'(all)'", 'daily_costs_by_model'),
    ('team', 'team', 'daily_costs_by_team'),
    ('application', 'application', 'daily_costs_by_application'),
) %}
select
    '{{ dimension }}' as dimension,
    {{ name }} as name,
{% for column in by %}
    {{ column }},
{% endfor %}
    coalesce({{ money.dollars('cost_picodollars') }}, 0) as cost_usd,
    max(is_lower_bound) as is_lower_bound
from {{ costs_of }}
where
    {{ days | join('\n    and ') }}
group by {{ (['2'] + by) | join(', ') }}
{% if not loop.last %}
union all
{% endif %}
{% endfor %}
{% endmacro %}
