-- Which share of the residuals in new_residuals does each user and application get?
-- Grain: as int_estimates, which computes residuals and cached input for each part.
{{ estimates.shares('new_residuals', ['residual_key'], ['residual_key']) }},

{{ estimates.of_rows('new_cached_input') }}

select * from final
