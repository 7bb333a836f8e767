-- Which names of budgets has nothing that was ever loaded?
-- Grain: budget x kind of name x name, sorted.
{% set known = {
    'users': 'select user_name from stg_users',
    'applications': 'select application from int_applications',
    'teams': 'select team from int_applications union select team from team_shares',
    'models': 'select canonical_model_id from int_models',
    'regions': 'select region from regions',
    'accounts': 'select account_id from accounts',
} %}
{% for column, name, word in budgets.conditions %}
select
    budgets.budget,
    '{{ word }}' as kind,
    named.value as name
from budgets
cross join json_each(budgets.{{ column }}) as named
where
    named.value not in (
        {{ known[column] }}
    )
{% if not loop.last %}
union all
{% endif %}
{% endfor %}
order by budget, kind, name
