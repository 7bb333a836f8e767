-- Does usage_cost have one row per hour, account, region, model, user, application,
-- team, data source and allocation method? Each row is a key that occurs more than
-- once.
{% set key = [
    'hour',
    'account_id',
    'region',
    'model_id',
    'user_name',
    'application',
    'team',
    'data_source',
    'allocation_method',
] %}
select
    {{ columns.each(key) }},
    count(*) as row_count
from usage_cost
group by
    {{ columns.each(key) }}
having count(*) > 1
