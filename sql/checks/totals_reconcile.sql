-- Does what users got, plus (unattributed), come to what CloudWatch counted?
-- Each row is an hour x account x region x model x kind of token where it does not:
-- known and estimated and unattributed tokens against the larger of CloudWatch's total
-- and the known ones (CloudWatch may lag behind).
with estimated as (
    select
        estimates.hour,
        estimates.account_key,
        series.region_key,
        series.endpoint,
        series.cloudwatch_model_id,
        estimates.token_kind,
        sum(estimates.estimated_tokens) as estimated_tokens
    from int_estimates as estimates
    inner join int_rate_series as series
        on
            series.account_key = estimates.account_key
            and series.rate_key = estimates.rate_key
    group by
        estimates.hour,
        estimates.account_key,
        series.region_key,
        series.endpoint,
        series.cloudwatch_model_id,
        estimates.token_kind
),

final as (
    select
        residuals.hour,
        residuals.account_key,
        residuals.region_key,
        residuals.endpoint,
        residuals.cloudwatch_model_id,
        residuals.token_kind,
        max(residuals.total_tokens, residuals.known_tokens) as expected_tokens,
        residuals.known_tokens
        + coalesce(estimated.estimated_tokens, 0)
        + iif(residuals.unknown_calls = 0, residuals.residual_tokens, 0) as found_tokens
    from int_metric_residuals as residuals
    left join estimated
        on
            estimated.hour = residuals.hour
            and estimated.account_key = residuals.account_key
            and estimated.region_key = residuals.region_key
            and estimated.endpoint = residuals.endpoint
            and estimated.cloudwatch_model_id = residuals.cloudwatch_model_id
            and estimated.token_kind = residuals.token_kind
)

select * from final where found_tokens <> expected_tokens
