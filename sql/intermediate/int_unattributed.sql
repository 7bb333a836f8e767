-- Which part of CloudWatch's residual does no call account for?
-- Grain: hour x account x rate key x token kind. The rate key is the model's for the
-- standard tier and normal context size.
select
    residuals.hour,
    residuals.account_key,
    rate_keys.rate_key,
    residuals.token_kind,
    residuals.residual_tokens
from int_metric_residuals as residuals
inner join rate_keys
    on
        rate_keys.model_key = residuals.model_key
        and rate_keys.region_key = residuals.region_key
        and rate_keys.service_tier = 'standard'
        and rate_keys.min_input_tokens = 0
        and rate_keys.variant = ''
where
    residuals.unknown_calls = 0
    and residuals.residual_tokens > 0
    and not {{ estimates.is_late() }}
