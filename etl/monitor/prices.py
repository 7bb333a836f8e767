"""What CloudWatch charges for what this package makes, in dollars.

List prices of us-east-1; most regions have the same. A custom metric is a name with one set of
dimensions: it is paid by the month for as long as values come, prorated by the hour ("metered only
when you send metrics"), however many values those are. Each further value costs nothing but its
share of a request. The free tier (10 metrics, 10 alarms, 3 dashboards, a million requests) is an
account's, and others may have used it up: it is not counted.

Source: https://aws.amazon.com/cloudwatch/pricing/ and https://aws.amazon.com/sns/pricing/ (the
rates are those that public copies of the pages gave, checked 2026-11-26).
"""

from __future__ import annotations

from decimal import Decimal

SOURCE = "https://aws.amazon.com/cloudwatch/pricing/"

# From how many metrics on, and what each of those costs a month.
_METRIC_TIERS = (
    (0, Decimal("0.30")),
    (10_000, Decimal("0.10")),
    (250_000, Decimal("0.05")),
    (1_000_000, Decimal("0.02")),
)
REQUEST = Decimal("0.01") / 1000
DASHBOARD = Decimal("3.00")
ALARM = Decimal("0.10")


def metrics_a_month(count: int) -> Decimal:
    """Return what so many custom metrics cost in a month of values in every hour."""
    ends = [start for start, _ in _METRIC_TIERS[1:]] + [count]
    return sum(
        (
            rate * max(0, min(count, end) - start)
            for (start, rate), end in zip(_METRIC_TIERS, ends, strict=True)
        ),
        start=Decimal(0),
    )


def requests(count: int) -> Decimal:
    """Return what so many requests cost."""
    return REQUEST * count


def dollars(amount: Decimal) -> str:
    """Write an amount: $7.20; less than a cent with what it takes."""
    if amount == 0 or amount >= Decimal("0.01"):
        return f"${amount:,.2f}"
    return f"${amount.normalize():f}"
