"""The CSV format for CloudWatch totals; docs/files.md shows an example."""

CSV_COLUMNS = (
    "account_id", "region", "model_id", "period_start", "period_seconds", "metric", "value"
)  # fmt: skip
