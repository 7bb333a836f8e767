-- Which part of CloudWatch's residual does no call account for?
-- Grain: hour x account x rate key x token kind. The rate key is the model's for the
-- standard tier and normal context size.
{{ estimates.unattributed('int_metric_residuals') }}
