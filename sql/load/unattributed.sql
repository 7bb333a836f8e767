-- Which part of the residuals in new_residuals does no call account for?
-- Grain: as int_unattributed.
{{ estimates.unattributed('new_residuals') }}
