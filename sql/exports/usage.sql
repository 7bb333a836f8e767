-- What did each user use on a day, and what did it cost?
-- Grain: day x account x region x model x user x application x team x data source, on
-- :day. Tokens are NULL where unknown, a cost where nothing has a price.
{% set keys = [
    'day',
    'account_id',
    'region',
    'model_id',
    'user_name',
    'application',
    'team',
    'data_source',
] %}
select
    {{ columns.each(keys) }},
    sum(calls) as calls,
    sum(failed_calls) as failed_calls,
    {{ columns.each(columns.shown, 'sum({0}) as {0}') }},
    {{ money.exact('list_cost_picodollars') }} as list_cost_usd,
    {{ money.exact('cost_picodollars') }} as cost_usd,
    sum(unpriced_calls) as unpriced_calls,
    sum(unpriced_tokens) as unpriced_tokens,
    sum(list_unpriced_tokens) as list_unpriced_tokens,
    sum(calls_without_tokens) as calls_without_tokens,
    max(is_lower_bound) as is_lower_bound
from usage_cost_daily
where day = :day
group by {{ keys | join(', ') }}
order by {{ keys | join(', ') }}
