"""Names, prices, requests and periods: everything that a plan works out without AWS."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.config import METRICS, Monitor
from etl.monitor import prices
from etl.monitor.encoding import LONGEST, to_dimension
from etl.monitor.plan import KINDS, batches, choose_range, price_a_month, to_datum
from etl.monitor.publish import decide
from etl.warehouse.published_metrics import CustomMetric, InFlight, Put, Target
from tests.aws.cloudwatch import _DIMENSION
from tests.cases import cases
from tests.rounds import long

NOW = datetime(2026, 11, 20, 12, 3, 20, tzinfo=UTC)
NEW = Target(1, "111122223333", "us-east-1", None, None, 0)
LATER = Target(1, "111122223333", "us-east-1", "2026-11-01T00:00:00Z", "2026-11-20T11:00:00Z", 0)


# A character becomes 12 at most, so none of these is too long.
@given(st.text(max_size=LONGEST // 12))
def test_any_name_becomes_a_value_that_cloudwatch_takes_and_back(name: str) -> None:
    value = to_dimension(name)
    assert _DIMENSION.fullmatch(value)
    assert value.strip()
    back = "" if value == "%" else unquote(value, errors="replace")
    assert back == name.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


@cases(
    ("name", "value"),
    [
        ("Search", "Search"),
        ("(unattributed)", "(unattributed)"),
        ("arn:aws:bedrock:x/y", "arn:aws:bedrock:x/y"),
        ("Süche 2", "S%C3%BCche 2"),
        (":x", "%3Ax"),
        ("50%", "50%25"),
        ("", "%"),
        ("  ", "%20%20"),
        ("a\nb", "a%0Ab"),
    ],
)
def test_names_are_left_as_they_are_where_they_can_be(name: str, value: str) -> None:
    assert to_dimension(name) == value


def test_long_names_stay_apart() -> None:
    one, other = "x" * 3000, "x" * 2999 + "y"
    assert len(to_dimension(one)) == LONGEST
    assert to_dimension(one) != to_dimension(other)
    assert to_dimension(one) != to_dimension(to_dimension(one))
    assert to_dimension("x" * LONGEST) == "x" * LONGEST


@cases(
    ("metrics", "dollars"),
    [
        (0, "0"),
        (1, "0.30"),
        (24, "7.20"),
        (10_000, "3000"),
        (10_001, "3000.10"),
        (250_000, "27000"),
        (1_000_000, "64500"),
        (1_000_001, "64500.02"),
    ],
)
def test_metrics_cost_by_the_tier(metrics: int, dollars: str) -> None:
    # 10,000 x 0.30 = 3,000; 240,000 x 0.10 = 24,000; 750,000 x 0.05 = 37,500; then 0.02.
    assert prices.metrics_a_month(metrics) == Decimal(dollars)


def test_a_month_has_a_request_for_each_thousand_metrics_and_five_minutes() -> None:
    # 730 h x 12 = 8,760 requests at $0.01 a thousand.
    assert price_a_month(100) == Decimal("30.00") + Decimal("0.0876")
    assert price_a_month(1001) == Decimal("300.30") + 2 * Decimal("0.0876")
    assert price_a_month(0) == 0


@pytest.mark.parametrize(
    ("amount", "text"), [("0", "$0.00"), ("7.2", "$7.20"), ("1234.5", "$1,234.50"), ("0.00001", "$0.00001")]
)  # fmt: skip
def test_no_price_is_rounded_to_nothing(amount: str, text: str) -> None:
    assert prices.dollars(Decimal(amount)) == text


@long
def test_a_request_has_at_most_a_thousand_values_and_a_megabyte() -> None:
    start = "2026-11-20T10:00:00Z"
    short = [Put(CustomMetric(f"a{n}", "m", "Calls"), start, 1) for n in range(2500)]
    assert [len(batch) for batch in batches(short)] == [1000, 1000, 500]
    long = [
        Put(CustomMetric(f"{n:04}" + "ä" * 500, "m" * 1024, "Calls"), start, 1) for n in range(1000)
    ]
    found = list(batches(long))
    assert [put for batch in found for put in batch] == long
    assert len(found) > 1
    for batch in found:
        data = [to_datum(put.series, NOW, put.amount) for put in batch]
        assert len(json.dumps(data, default=str)) < 1_000_000


def test_every_metric_that_can_be_configured_is_known() -> None:
    assert set(METRICS) < set(KINDS)
    assert set(Monitor().metrics) <= set(METRICS)


def test_dollars_are_picodollars_over_10_to_the_12() -> None:
    datum = to_datum(CustomMetric("A", "m", "CostUSD"), NOW, 1_234_567_890_123)
    assert (datum["Value"], datum["Unit"]) == (1.234567890123, "None")


def hours(chosen: object) -> tuple[str, ...]:
    return tuple(
        getattr(chosen, name).strftime("%d %H:%M") for name in ("since", "until", "estimates_until")
    )


def test_the_first_run_goes_back_a_day_from_whole_hours_to_what_is_settled() -> None:
    assert hours(choose_range(NEW, Monitor(), NOW)) == ("19 12:00", "20 11:45", "20 11:00")
    later = Monitor(settle="3m")
    assert hours(choose_range(NEW, later, NOW)) == ("19 12:00", "20 12:00", "20 12:00")


def test_later_runs_look_at_the_last_days_again() -> None:
    assert hours(choose_range(LATER, Monitor(), NOW))[0] == "18 11:00"
    assert hours(choose_range(LATER, Monitor(correct="6h"), NOW))[0] == "20 05:00"
    paused = Target(1, "1", "r", "2026-11-01T00:00:00Z", "2026-11-10T10:20:00Z", 0)
    assert hours(choose_range(paused, Monitor(), NOW))[0] == "10 10:00"
    young = Target(1, "1", "r", "2026-11-20T10:00:00Z", "2026-11-20T11:00:00Z", 0)
    assert hours(choose_range(young, Monitor(), NOW))[0] == "20 10:00"


def test_what_is_too_old_is_left_out_and_said() -> None:
    wanted = NOW - timedelta(days=30)
    chosen = choose_range(LATER, Monitor(), NOW, since=wanted)
    assert (hours(chosen)[0], chosen.missed_from) == ("06 14:00", wanted)
    assert NOW - chosen.since < timedelta(days=14)
    chosen = choose_range(LATER, Monitor(), NOW, dropped_before="2026-11-19T10:30:00Z")
    assert hours(chosen)[0] == "19 11:00"
    chosen = choose_range(LATER, Monitor(), NOW, dropped_before="2026-11-19T11:00:00Z")
    assert hours(chosen)[0] == "19 11:00"


def flying(age: timedelta, published: int = 100, amount: int = 40) -> InFlight:
    sent = datetime(2026, 11, 20, 12, tzinfo=UTC)
    start = (sent - age).strftime("%Y-%m-%dT%H:%M:%SZ")
    return InFlight(
        CustomMetric("A", "m", "Calls"), start, published, amount, "2026-11-20T12:00:00Z"
    )


@pytest.mark.parametrize(
    ("age", "wait"),
    [
        (timedelta(hours=1), timedelta(minutes=15)),
        (timedelta(hours=5), timedelta(hours=3)),
        (timedelta(hours=30), timedelta(hours=72)),
    ],
)
def test_that_it_was_not_put_is_believed_once_it_would_have_to_show(
    age: timedelta, wait: timedelta
) -> None:
    sent = datetime(2026, 11, 20, 12, tzinfo=UTC)
    assert decide(flying(age), 100, sent + wait - timedelta(seconds=1)) is None
    assert decide(flying(age), 100, sent + wait) == 100
    assert decide(flying(age, published=0), None, sent + wait) == 0


def test_that_it_was_put_is_believed_at_once() -> None:
    sent = datetime(2026, 11, 20, 12, tzinfo=UTC)
    assert decide(flying(timedelta(hours=30)), 140, sent) == 140
    nearly = 10**15 + 300_000  # of floating-point numbers
    assert decide(flying(timedelta(hours=30), 0, 10**15), nearly, sent) == 10**15


def test_an_unexpected_sum_is_accepted_when_nothing_can_follow() -> None:
    sent = datetime(2026, 11, 20, 12, tzinfo=UTC)
    assert decide(flying(timedelta(hours=1)), 123, sent) is None
    assert decide(flying(timedelta(hours=1)), 123, sent + timedelta(minutes=15)) == 123
