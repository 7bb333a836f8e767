-- Do the bounds of users' and applications' costs follow from those of all callers?
-- Each row is one of priced_daily_by_user or priced_daily_by_application that is
-- missing, left over or different.
{% set tables = {
    'user_key': 'priced_daily_by_user',
    'application_key': 'priced_daily_by_application',
} %}
{% set figures = ['cost_picodollars', 'cost_low_picodollars', 'cost_high_picodollars'] %}
{% macro rows(source) %}
{% for name, table in tables.items() %}
select
    '{{ table }}' as priced_table,
    day,
    account_key,
    rate_key,
    {{ name }} as name_key,
    {{ columns.each(figures) }}
from {% if source == 'stored' %}{{ table }}{% else %}(
    {{ widths.of_names(name, 'true') }}
){% endif %}

where
    cost_low_picodollars < cost_picodollars
    or cost_high_picodollars > cost_picodollars
{% if not loop.last %}
union all
{% endif %}
{% endfor %}
{% endmacro %}
with recomputed as materialized (
    {{ rows('recomputed') }}
),

stored as materialized (
    {{ rows('stored') }}
),

{{ checks.differences('recomputed', 'stored') }}
