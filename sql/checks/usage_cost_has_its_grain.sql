-- Does usage_cost have one row per hour, account, region, model, user, application,
-- team, data source and allocation method? Each row is a key that occurs more than
-- once.
select
    hour,
    account_id,
    region,
    model_id,
    user_name,
    application,
    team,
    data_source,
    allocation_method,
    count(*) as row_count
from usage_cost
group by
    hour,
    account_id,
    region,
    model_id,
    user_name,
    application,
    team,
    data_source,
    allocation_method
having count(*) > 1
