-- What is left of each CloudWatch total from :first to :last, with new_cached_input?
-- Grain: as int_metric_residuals.
select * from (
    {{ estimates.residuals('new_cached_input') }}
)
where hour between :first and :last
