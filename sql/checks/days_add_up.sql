-- Is every day the sum of its hours?
-- Each row is a day, account and data source where usage_cost_daily and usage_cost
-- differ.
{% set compared = ['calls', 'failed_calls'] + columns.shown_tokens
    + ['cost_picodollars'] + columns.at_list_price + columns.left_out %}
with both_sides as (
    select
        day,
        account_id,
        data_source,
        {{ columns.each(compared, 'coalesce({0}, 0) as {0}') }}
    from usage_cost_daily
    union all
    select
        day,
        account_id,
        data_source,
        {{ columns.each(compared, '-coalesce({}, 0)') }}
    from usage_cost
)

select
    day,
    account_id,
    data_source,
    {{ columns.each(compared, 'sum({0}) as {0}') }}
from both_sides
group by day, account_id, data_source
having
    {{ columns.each(compared, 'sum({}) <> 0', '\nor ') }}
