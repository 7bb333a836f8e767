"""Live metrics: the warehouse's figures in CloudWatch, for dashboards and alarms there.

Metrics are in the namespace ``Custom/BedrockUsage`` with exactly two dimensions, Application (or
Team, with ``[monitor] by = "team"``) and ModelId, and one value per five minutes. CloudWatch adds
up values with the same time, so **Sum is the only statistic with a meaning**: a period that changes
later is corrected by publishing the difference, which may be negative.

``plan`` works out what to publish and what it costs, without asking AWS; ``publish`` sends it and
keeps the ledger (``etl.warehouse.published_metrics``); ``cloudwatch_dashboard``, ``alarms`` and
``removal`` create and delete what uses the metrics. Everything they create carries a mark, and
nothing without the mark is touched.
"""
