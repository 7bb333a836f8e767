"""CloudWatch totals from the CSV, from saved GetMetricData answers and from metric streams."""

from __future__ import annotations

from typing import Any

import pytest

from etl.errors import RejectError
from etl.normalise.cloudwatch import parse_csv_row, parse_results, parse_stream_record
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


def query(*dimensions: tuple[str, str], **changed: str) -> dict[str, Any]:
    return {
        "Id": "m1",
        "AccountId": ACCOUNT,
        "Region": "us-east-1",
        "MetricStat": {
            "Metric": {
                "Namespace": changed.get("namespace", "AWS/Bedrock"),
                "MetricName": changed.get("metric", "InputTokenCount"),
                "Dimensions": [{"Name": n, "Value": v} for n, v in dimensions],
            },
            "Period": 3600,
            "Stat": changed.get("stat", "Sum"),
        },
    }


def saved(asked: dict[str, Any], label: str = "x") -> list[Any]:
    answer = {"MetricDataQueries": [asked], "MetricDataResults": [result(Label=label)]}
    return list(parse_results(answer))


def test_an_answer_is_read_through_the_queries_saved_with_it() -> None:
    assert VALUE in saved(query(("ModelId", HAIKU)))


# Whatever the label says: it names neither statistic nor namespace, nor other dimensions.
@cases("label", ["x", LABEL])
@cases(
    ("asked", "reason"),
    [
        (query(("ModelId", HAIKU), ("ServiceTier", "default")), "not the model alone"),
        (query(("ModelId", HAIKU), ("ContextWindow", "200K")), "not the model alone"),
        (query(), "not the model alone"),
        (query(("ModelId", HAIKU), stat="Average"), "its statistic is Average"),
        (query(("ModelId", HAIKU), stat="SampleCount"), "its statistic is SampleCount"),
        (query(("ModelId", HAIKU), namespace="AWS/Bedrock/Agents"), None),
        (query(("ModelId", HAIKU), namespace="Shop", stat="Average"), None),
        (query(("ModelId", HAIKU), namespace="AWS/BedrockMantle"), None),
        (query(("ModelId", HAIKU), metric="InvocationLatency", stat="p99"), None),
    ],
)
def test_what_is_no_total_is_none_and_another_form_of_one_is_refused(
    asked: dict[str, Any], reason: str | None, label: str
) -> None:
    (found,) = saved(asked, label)
    assert found is None if reason is None else reason in str(found)


def streamed(**changed: Any) -> dict[str, Any]:
    return {
        "metric_stream_name": "all", "account_id": ACCOUNT, "region": "us-east-1",
        "namespace": "AWS/Bedrock", "metric_name": "InputTokenCount",
        "dimensions": {"ModelId": HAIKU}, "timestamp": 1793613600000,
        "value": {"max": 9000.0, "min": 1000.0, "sum": 10000.0, "count": 2.0}, "unit": "Count",
    } | changed  # fmt: skip


def test_a_record_of_a_metric_stream_is_a_minutes_total() -> None:
    for dimensions in ({"ModelId": HAIKU}, [["ModelId", HAIKU]], f'{{"ModelId": "{HAIKU}"}}'):
        found = parse_stream_record(streamed(dimensions=dimensions))
        assert found == VALUE._replace(period_seconds=60)


@cases(
    "changed",
    [
        {"dimensions": {"ModelId": HAIKU, "ServiceTier": "default"}},
        {"dimensions": {}},
        {"namespace": "AWS/EC2", "metric_name": "CPUUtilization", "dimensions": {"Id": "i-1"}},
        {"namespace": "AWS/BedrockMantle"},
        {"metric_name": "InvocationLatency"},
    ],
)
def test_other_records_of_a_metric_stream_are_no_totals(changed: dict[str, Any]) -> None:
    assert parse_stream_record(streamed(**changed)) is None


@cases(
    ("changed", "reason"),
    [
        ({"account_id": None}, "no account_id"),
        ({"timestamp": None}, "no period_start"),
        ({"value": {"max": 1.0}}, "fetch the statistic Sum"),
    ],
)
def test_a_record_of_a_metric_stream_that_cannot_be_read(
    changed: dict[str, Any], reason: str
) -> None:
    with pytest.raises(RejectError, match=reason):
        parse_stream_record(streamed(**changed))


def test_a_result_that_names_nothing_says_what_to_do_and_the_others_count() -> None:
    first, *rest = parse_results({"MetricDataResults": [result(Label="m1"), result()]})
    assert isinstance(first, RejectError)
    assert "give each query the Label" in str(first)
    assert len(rest) == 2


def test_timestamps_without_values_are_refused() -> None:
    (refused,) = parse_results({"MetricDataResults": [result(Values=[1.0])]})
    assert "2 Timestamps but 1 Values" in str(refused)
