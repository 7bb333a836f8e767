-- How near is each model to the limits of Service Quotas?
-- Grain: account x region x quota on tokens or requests of models, as last listed.
-- Units: limit_value and highest are tokens or requests in one minute or one UTC day
-- (quota_kind, period), over the last 14 days of usage. highest_source says what is
-- known. CloudWatch's estimate counts as AWS does. Other tokens do not weigh output
-- tokens, which take up to five times as much of a quota or more, and a mean minute
-- hides what is above it: both are lower bounds (is_lower_bound). So are minutes of
-- calls until all are summed, which calibrate does. AWS also reserves max_tokens while
-- a request runs, which nothing here shows. Where model_id is NULL, the quota's name is
-- not understood; of quotas for long requests, usage is not known.
with recent as materialized (
    select date(max(day), '-13 days') as day from priced_daily_by_model
),

{{ quotas.used('(select day from recent)') }}

select
    limits.account_id,
    limits.region,
    limits.model_id,
    limits.route,
    limits.quota_kind,
    limits.period,
    limits.quota_name,
    limits.quota_code,
    limits.limit_value,
    limits.is_default,
    limits.is_adjustable,
    used.highest,
    used.highest_at,
    used.found_in as highest_source,
    case
        when used.turn = 3 then true
        when used.quota_kind = 'tokens' then used.turn = 2 or used.period = 'day'
        -- Of these hours the minutes are not summed yet.
        when used.turn = 2 then exists (
            select 1 from stale_minutes
            where stale_minutes.hour >= (select day from recent)
        )
        else used.turn > 1
    end as is_lower_bound,
    round(100.0 * used.highest / nullif(limits.limit_value, 0), 1) as share_pct,
    (
        select sum(refused.throttled_calls) from refused
        where
            refused.account_id = limits.account_id
            and refused.region = limits.region
            and refused.model_id = limits.model_id
            and (
                refused.route = limits.route
                or (limits.route = 'regional' and refused.route <> 'global')
            )
    ) as throttled_calls,
    limits.seen_at
from stg_quotas as limits
left join used
    on
        used.choice = 1
        and used.account_id = limits.account_id
        and used.region = limits.region
        and used.model_id = limits.model_id
        and used.route = limits.route
        and used.quota_kind = limits.quota_kind
        and used.period = limits.period
        and not limits.is_long_context
