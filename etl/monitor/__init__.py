"""Live metrics: the warehouse's figures in CloudWatch, for dashboards and alarms there.

Metrics stand in the namespace ``Custom/BedrockUsage`` under exactly two dimensions, Application and
ModelId, one value for each five minutes. CloudWatch adds up what is put at one time, so **Sum is
the only statistic that means anything**: a period that turns out otherwise is corrected by putting
the difference, which may be negative.

``plan`` says what is to be put and what it costs, without asking anybody; ``publish`` puts it and
keeps the ledger (``etl.warehouse.published_metrics``); ``dashboard``, ``alarms`` and ``removal``
make and take away what looks at the metrics. Whatever they make carries a mark, and nothing without
it is touched.
"""
