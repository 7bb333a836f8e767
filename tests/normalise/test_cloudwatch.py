"""CloudWatch totals from the CSV and from saved GetMetricData answers."""

from __future__ import annotations

from typing import Any

import pytest

from etl.errors import RejectError
from etl.normalise.cloudwatch import parse_csv_row, parse_results
from etl.normalise.rows import MetricValue
from tests.cases import cases
from tests.support import ACCOUNT, HAIKU

ROW = {
    "account_id": ACCOUNT, "region": "us-east-1", "model_id": HAIKU,
    "period_start": "2026-11-02T10:00:00Z", "period_seconds": "3600",
    "metric": "InputTokenCount", "value": "10000",
}  # fmt: skip
VALUE = MetricValue(
    ACCOUNT, "us-east-1", HAIKU, "InputTokenCount", "2026-11-02T10:00:00Z", 3600, 10000
)
LABEL = f"account_id={ACCOUNT} region=us-east-1 metric=InputTokenCount period_seconds=3600 model_id={HAIKU}"


def test_a_csv_row() -> None:
    assert parse_csv_row(ROW) == VALUE
    assert parse_csv_row(ROW | {"value": "10000.0"}) == VALUE
    assert parse_csv_row(ROW | {"metric": "InvocationLatency"}) is None


@cases(
    ("change", "reason"),
    [
        ({"region": ""}, "no region"),
        ({"value": None}, "no value"),
        ({"value": "12.5"}, "the statistic Sum"),
        ({"value": "-1"}, "the statistic Sum"),
        ({"value": "nan"}, "the statistic Sum"),
        ({"period_start": "yesterday"}, "period_start is not a time"),
        ({"period_seconds": "86400"}, "within one hour"),
        ({"period_seconds": "0"}, "within one hour"),
        ({"period_seconds": "hour"}, "within one hour"),
        ({"period_start": "2026-11-02T10:30:00Z"}, "within one hour"),
    ],
)
def test_a_csv_row_that_cannot_be_read(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(RejectError, match=reason):
        parse_csv_row(ROW | change)


def result(**fields: Any) -> dict[str, Any]:
    return {
        "Id": "m1",
        "Label": LABEL,
        "Timestamps": ["2026-11-02T11:00:00+00:00", "2026-11-02T10:00:00+00:00"],
        "Values": [7.0, 10000.0],
        "StatusCode": "Complete",
        **fields,
    }


def test_an_answer_is_read_through_its_labels() -> None:
    assert list(parse_results({"MetricDataResults": [result()]})) == [
        VALUE._replace(period_start="2026-11-02T11:00:00Z", value=7),
        VALUE,
    ]


def query(*dimensions: tuple[str, str]) -> dict[str, Any]:
    return {
        "Id": "m1",
        "AccountId": ACCOUNT,
        "Region": "us-east-1",
        "MetricStat": {
            "Metric": {
                "Namespace": "AWS/Bedrock",
                "MetricName": "InputTokenCount",
                "Dimensions": [{"Name": n, "Value": v} for n, v in dimensions],
            },
            "Period": 3600,
            "Stat": "Sum",
        },
    }


def test_an_answer_is_read_through_the_queries_saved_with_it() -> None:
    answer = {
        "MetricDataQueries": [query(("ModelId", HAIKU))],
        "MetricDataResults": [result(Label="x")],
    }
    assert VALUE in list(parse_results(answer))


def test_a_series_with_more_dimensions_repeats_tokens_and_is_refused() -> None:
    queries = [query(("ModelId", HAIKU), ("ServiceTier", "default"))]
    answer = {"MetricDataQueries": queries, "MetricDataResults": [result(Label="x")]}
    (refused,) = parse_results(answer)
    assert isinstance(refused, RejectError)


def test_a_result_that_names_nothing_says_what_to_do_and_the_others_count() -> None:
    first, *rest = parse_results({"MetricDataResults": [result(Label="m1"), result()]})
    assert isinstance(first, RejectError)
    assert "give each query the Label" in str(first)
    assert len(rest) == 2


def test_timestamps_without_values_are_refused() -> None:
    (refused,) = parse_results({"MetricDataResults": [result(Values=[1.0])]})
    assert "2 Timestamps but 1 Values" in str(refused)
