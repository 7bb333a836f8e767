-- Which limits of tokens and requests does Service Quotas have?
-- Grain: account x region x quota, as last listed. limit_value: tokens or requests, by
-- quota_kind, in a minute or a day, by period.
select
    quotas.account_id,
    quotas.region,
    quotas.quota_code,
    quotas.quota_name,
    quotas.quota_kind,
    quotas.period,
    quotas.route,
    quotas.model_id,
    quotas.is_long_context,
    quotas.limit_value,
    quotas.is_default,
    quotas.is_adjustable,
    quotas.seen_at
from quotas
inner join
    (
        select
            account_id,
            region,
            max(seen_at) as seen_at
        from quotas
        group by account_id, region
    ) as latest
    on
        latest.account_id = quotas.account_id
        and latest.region = quotas.region
        and latest.seen_at = quotas.seen_at
