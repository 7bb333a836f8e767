-- What is left of each CloudWatch total after the known tokens?
-- Grain: as int_metric_known. residual_tokens = max(total - known, 0).

-- Input is compared in the form in which CloudWatch counts it for that model. Net: with
-- the known input less what the estimated cached tokens take from it. Gross: with all
-- cached tokens in it, known and estimated, which are not estimated as input again.
-- Unknown: with what calls report, as they report it.
{{ estimates.residuals('int_cached_input') }}
