-- Does usage_cost have one row per hour, account, region, model, user, application,
-- team and data source? Each row is a key that occurs more than once.
select
    hour,
    account_id,
    region,
    model_id,
    user_name,
    application,
    team,
    data_source,
    count(*) as row_count
from usage_cost
group by
    hour, account_id, region, model_id, user_name, application, team, data_source
having count(*) > 1
