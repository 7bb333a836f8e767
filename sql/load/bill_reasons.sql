-- Why does the bill differ on the stale days from what was known of the same?
-- Grain: as bill_reasons.
{{ bill_differences.reasons(bill_differences.of_stale_days) }}
