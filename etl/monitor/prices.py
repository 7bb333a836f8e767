"""What CloudWatch charges for the resources of this package, in dollars.

List prices of us-east-1; most regions have the same. A custom metric is a name with one set of
dimensions. It is billed by the month while values arrive, prorated by the hour ("metered only when
you send metrics"), regardless of their number. Each further value costs only its share of a
request. The free tier (10 metrics, 10 alarms, 3 dashboards, a million requests) is per account, and
other uses may have exhausted it: it is not counted.

Source: https://aws.amazon.com/cloudwatch/pricing/ and https://aws.amazon.com/sns/pricing/ (the
rates are from public copies of the pages, checked 2026-11-26).
"""

from __future__ import annotations

from decimal import Decimal

SOURCE = "https://aws.amazon.com/cloudwatch/pricing/"

# The first metric of each tier, and the price of each metric in it per month.
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
    """Return the price of ``count`` custom metrics for a month with values in every hour."""
    ends = [start for start, _ in _METRIC_TIERS[1:]] + [count]
    return sum(
        (
            rate * max(0, min(count, end) - start)
            for (start, rate), end in zip(_METRIC_TIERS, ends, strict=True)
        ),
        start=Decimal(0),
    )


def requests(count: int) -> Decimal:
    """Return the price of ``count`` requests."""
    return REQUEST * count


def dollars(amount: Decimal) -> str:
    """Format an amount: $7.20; less than a cent with all its digits."""
    if amount == 0 or amount >= Decimal("0.01"):
        return f"${amount:,.2f}"
    return f"${amount.normalize():f}"
