-- How near is each model to its limits?
-- Grain: as quota_usage, of models that were used, the largest share first; the other
-- quotas are in the view. Units and caveats as there. No row for visitors that may not
-- see all: a limit is an account's.

-- :_visitor_applications, :_visitor_teams: what the visitor may see, NULL for all.
select *
from quota_usage
where
    {{ filters.sees_all() }}
    and {{ filters.chosen('regions', 'region') }}
    and {{ filters.chosen('models', 'model_id') }}
    and (highest is not null or throttled_calls > 0)
order by
    share_pct desc,
    throttled_calls desc,
    account_id,
    region,
    model_id,
    quota_name
