"""The CSV that totals of CloudWatch may be saved as; docs/files.md shows one."""

CSV_COLUMNS = (
    "account_id", "region", "model_id", "period_start", "period_seconds", "metric", "value"
)  # fmt: skip
