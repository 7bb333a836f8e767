-- Which share of CloudWatch's residual does each user and application get?
-- Grain: usage_hourly row x token kind, where calls lack that kind and CloudWatch has
-- it. The residual is shared in proportion to what a calibration found for the hour, or
-- to the calls that lack the count, times the tokens per call of their caller where the
-- series is calibrated. method: as usage_hourly.estimated_by. Shares are
-- whole tokens and add up to the residual exactly. The kind cached_input is what the
-- shares of cached tokens take from the row's known input.
{{ estimates.shares('int_metric_residuals') }},

{{ estimates.of_rows('int_cached_input') }}

select * from final
