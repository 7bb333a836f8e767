"""CloudWatch totals: a saved GetMetricData response, a plain CSV, or a metric stream.

A GetMetricData response names neither account, region nor metric. So each result is identified by
its label, which CloudWatch fills in when the query requests ``LABEL``, or else by the
``MetricDataQueries`` saved in the same file. Where these are there, they also say what is no total
of Bedrock's: another statistic, a namespace of somebody else's.

A metric stream names everything, and delivers every series: those with more dimensions than the
model repeat the tokens of one that is there as well. Source: CloudWatch user guide, "JSON format"
of metric streams (checked 2026-11-30).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from etl.errors import RejectError, reason_of
from etl.normalise.boundary import attempt
from etl.normalise.fields import count, listing, mapping, text, utc_time
from etl.normalise.plain_forms import map_of, time_text
from etl.normalise.rows import MetricValue
from etl.normalise.token_kinds import KINDS
from etl.totals_csv import CSV_COLUMNS

_RUNTIME = {
    "Invocations": "calls",
    "InvocationClientErrors": "client errors",
    "InvocationServerErrors": "server errors",
    "InvocationThrottles": "throttles",
    **{metric: kind.name for kind in KINDS for metric in kind.metrics},
}
_MANTLE = {
    "Inferences": "calls",
    "InferenceClientErrors": "client errors",
    **{metric: kind.name for kind in KINDS for metric in kind.mantle_metrics},
}

# The usage metrics, and what each counts.
METRICS = {**_RUNTIME, **_MANTLE}

# These exist only in the namespace AWS/BedrockMantle, so a metric's name identifies its endpoint.
MANTLE_METRICS = frozenset(_MANTLE)

# The usage metrics of each namespace.
METRICS_OF = {
    "AWS/Bedrock": frozenset(_RUNTIME),
    "AWS/BedrockMantle": MANTLE_METRICS,
}

# A metric stream's records are of a minute each.
_STREAM_SECONDS = "60"

# Dynamic labels: CloudWatch user guide, "Use dynamic labels" (checked 2026-11-24).
LABEL = (
    "account_id=${PROP('AccountId')} region=${PROP('Region')} metric=${PROP('MetricName')}"
    " period_seconds=${PROP('Period')} model_id=${PROP('Dim.ModelId')}"
)


def parse_csv_row(row: Mapping[str | None, object]) -> MetricValue | None:
    """Read one row of the CSV; None for a metric that is not a usage total.

    Raises RejectError with the first problem in it.
    """
    texts = {name: text(row.get(name)) for name in CSV_COLUMNS}
    missing = [name for name, value in texts.items() if value is None]
    if missing:
        raise RejectError(f"no {missing[0]}")
    return _metric_value({k: v or "" for k, v in texts.items()}, row["period_start"], row["value"])


def parse_stream_record(record: Mapping[str, Any]) -> MetricValue | None:
    """Read one record of a metric stream, a minute's; None for what is not a usage total.

    Raises RejectError with the first problem in it.
    """
    model = _model_of(list(mapping(map_of(record.get("dimensions"))).items()))
    if model is None or not _is_usage(record.get("namespace"), record.get("metric_name")):
        return None
    names = {
        "account_id": text(record.get("account_id")),
        "region": text(record.get("region")),
        "model_id": model,
        "metric": text(record.get("metric_name")),
        "period_seconds": _STREAM_SECONDS,
    }
    missing = [name for name, value in names.items() if value is None]
    if missing:
        raise RejectError(f"no {missing[0]}")
    start = time_text(record.get("timestamp"))
    value = mapping(record.get("value")).get("sum")
    return _metric_value({k: v or "" for k, v in names.items()}, start, value)


def parse_results(
    answer: Mapping[str, Any], *, provisional_from: str | None = None
) -> Iterator[MetricValue | RejectError | None]:
    """Read a GetMetricData response, one item per data point.

    Periods from ``provisional_from`` (UTC) on are marked as provisional: CloudWatch may still
    change them.

    A result that cannot be read yields a RejectError instead of raising it, so that the others
    still count. A metric that is not a usage total yields None.
    """
    queries = {
        query["Id"]: query
        for query in listing(answer.get("MetricDataQueries"))
        if isinstance(query, dict) and isinstance(query.get("Id"), str)
    }
    results = answer["MetricDataResults"]
    for index, result in enumerate(results if isinstance(results, list) else [results]):
        try:
            for value in _parse_result(mapping(result), queries, provisional_from):
                is_wrong = isinstance(value, RejectError)
                yield RejectError(f"MetricDataResults[{index}]: {value}") if is_wrong else value
        except Exception as error:
            yield RejectError(f"MetricDataResults[{index}]: {reason_of(error)}")


def _parse_result(
    result: Mapping[str, Any], queries: Mapping[str, Any], provisional_from: str | None
) -> Iterator[MetricValue | RejectError | None]:
    query = mapping(queries.get(text(result.get("Id")) or ""))
    if not _is_total(query):
        yield None
        return
    names = _from_label(text(result.get("Label")) or "") or _from_query(query)
    times, values = result.get("Timestamps") or [], result.get("Values") or []
    if not names:
        yield RejectError(
            "account, region, metric, period and model are missing: give each query the Label"
            " in docs/files.md#load-saved-data, or save its MetricDataQueries in the same file"
        )
    elif not isinstance(times, list) or not isinstance(values, list):
        yield RejectError("Timestamps and Values are not both lists")
    elif len(times) != len(values):
        yield RejectError(f"{len(times)} Timestamps but {len(values)} Values")
    else:
        for time, value in zip(times, values, strict=True):
            yield _parse_value(names, time, value, provisional_from)


def _parse_value(
    names: Mapping[str, str], time: object, value: object, provisional_from: str | None
) -> MetricValue | RejectError | None:
    try:
        total = attempt(_metric_value, names, time, value)
    except RejectError as error:
        return error
    if total and provisional_from and total.period_start >= provisional_from:
        return total._replace(is_provisional=True)
    return total


def _from_label(label: str) -> dict[str, str] | None:
    names = dict(part.split("=", 1) for part in label.split() if "=" in part)
    return names if set(names) >= set(CSV_COLUMNS) - {"period_start", "value"} else None


def _is_total(query: Mapping[str, Any]) -> bool:
    """Return whether a query is for a usage total, as far as it says.

    Raises RejectError if it is for another statistic, or another series, of one.
    """
    stat = mapping(query.get("MetricStat"))
    metric = mapping(stat.get("Metric"))
    if "Namespace" in metric and not _is_usage(metric["Namespace"], metric.get("MetricName")):
        return False
    if (statistic := text(stat.get("Stat"))) not in (None, "Sum"):
        raise RejectError(f"its statistic is {statistic}: fetch the statistic Sum")
    if metric and _model_of(_dimensions(metric)) is None:
        raise RejectError(
            "its dimensions are not the model alone: such a series repeats tokens, or has those of"
            " all models; fetch the series by ModelId, or by Model of AWS/BedrockMantle"
        )
    return True


def _is_usage(namespace: object, metric: object) -> bool:
    return text(metric) in METRICS_OF.get(text(namespace) or "", ())


def _dimensions(metric: Mapping[str, Any]) -> list[tuple[object, object]]:
    pairs = map(mapping, listing(metric.get("Dimensions")))
    return [(pair.get("Name"), pair.get("Value")) for pair in pairs]


def _model_of(dimensions: Sequence[tuple[object, object]]) -> str | None:
    """Return the model of a series that is totalled by model alone; None for any other."""
    if len(dimensions) != 1 or dimensions[0][0] not in ("ModelId", "Model"):
        return None
    return text(dimensions[0][1])


def _from_query(query: Mapping[str, Any]) -> dict[str, str] | None:
    stat = mapping(query.get("MetricStat"))
    metric = mapping(stat.get("Metric"))
    period = stat.get("Period")
    names = {
        "account_id": text(query.get("AccountId")),
        "region": text(query.get("Region")),
        "model_id": _model_of(_dimensions(metric)),
        "metric": text(metric.get("MetricName")),
        "period_seconds": text(str(period) if isinstance(period, int) else period),
    }
    return {name: value or "" for name, value in names.items()} if all(names.values()) else None


def _metric_value(names: Mapping[str, str], start: object, value: object) -> MetricValue | None:
    if names["metric"] not in METRICS:
        return None
    period_start = utc_time(start, "period_start")
    try:
        seconds = count(names["period_seconds"]) or 0
    except ValueError:
        seconds = 0
    if not _within_one_hour(period_start, seconds):
        raise RejectError(
            "the period is not within one hour: fetch periods of 60, 300 or 3600 seconds"
        )
    return MetricValue(
        names["account_id"], names["region"], names["model_id"], names["metric"],
        period_start, seconds, _total(names["metric"], value),
    )  # fmt: skip


def _total(metric: str, value: object) -> int:
    try:
        total = count(float(value) if isinstance(value, str) else value)
    except (ValueError, OverflowError):
        total = None
    if total is None:
        raise RejectError(f"the value of {metric} is not a whole number: fetch the statistic Sum")
    return total


def _within_one_hour(period_start: str, seconds: int) -> bool:
    if not 1 <= seconds <= 3600:
        return False
    start = datetime.fromisoformat(period_start)
    return start.replace(minute=0, second=0) == (start + timedelta(seconds=seconds - 1)).replace(
        minute=0, second=0
    )
