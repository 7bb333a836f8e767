-- Do the bounds of users' and applications' costs follow from those of all callers?
-- Each row is one of priced_daily_by_user or priced_daily_by_application that is
-- missing, left over or different.
{% set tables = [
    ('user_key', 'priced_daily_by_user'),
    ('application_key', 'priced_daily_by_application'),
] %}
with bounds as (
{% for name, table in tables %}
    select
        false as is_stored,
        '{{ table }}' as priced_table,
        day,
        account_key,
        rate_key,
        {{ name }} as name_key,
        cost_picodollars,
        cost_low_picodollars,
        cost_high_picodollars
    from (
        {{ widths.of_names(name, 'true') }}
    )
    union all
    select
        true as is_stored,
        '{{ table }}' as priced_table,
        day,
        account_key,
        rate_key,
        {{ name }} as name_key,
        cost_picodollars,
        cost_low_picodollars,
        cost_high_picodollars
    from {{ table }}
{% if not loop.last %}
    union all
{% endif %}
{% endfor %}
),

apart as (
    select *
    from bounds
    where
        cost_low_picodollars < cost_picodollars
        or cost_high_picodollars > cost_picodollars
),

recomputed as (
    select
        priced_table,
        day,
        account_key,
        rate_key,
        name_key,
        cost_picodollars,
        cost_low_picodollars,
        cost_high_picodollars
    from apart
    where not is_stored
),

stored as (
    select
        priced_table,
        day,
        account_key,
        rate_key,
        name_key,
        cost_picodollars,
        cost_low_picodollars,
        cost_high_picodollars
    from apart
    where is_stored
),

{{ checks.differences('recomputed', 'stored') }}
