"""The dashboard in CloudWatch: tokens, cost, the month's projection, daily limits.

The widgets use search expressions, so models and applications that appear later are included by
application and model without being named. Sums by application need the names (a search cannot add
up by a dimension). These come from the ledger: creating the dashboard again includes new ones. With
``[monitor] by = "team"`` all of this is by team; daily limits are always of applications.

**The projection** is the cost so far this month, divided by the hours that have passed, times the
hours of the month. It looks 31 days back, so it always includes the beginning of the month. If
publishing began during the month, earlier costs are missing; so are metrics without a value for two
weeks, because a search does not find them. The dashboard's text says so.

Dashboard names are unique per account, across regions. A dashboard with our name but not our mark
belongs to someone else and is left alone.

Sources: Dashboard Body Structure and Syntax; Metric math syntax and functions; search expression
syntax, of the CloudWatch User Guide (checked 2026-11-26).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from etl.errors import BedrockUsageError
from etl.monitor.encoding import to_dimension
from etl.monitor.plan import NAMESPACE, dimension_name, dimensions, level_series
from etl.sources.aws import NotFoundError, Place

NAME = "BedrockUsage"
MARK = "made by `bedrock-usage monitor dashboard`"

# How many applications or teams get a separate line; the longest search expression (1,024
# characters).
MOST_NAMES = 20
_LONGEST_SEARCH = 1024
_PARENTHESIS, _ESCAPED = re.compile(r"[()]"), r"\\\g<0>"

_TEXT = f"""# Amazon Bedrock by {{by}} and model
This dashboard was {MARK}, which overwrites it. To keep your own changes, save it under another
name. Figures are sums over five minutes from `{NAMESPACE}`, a few minutes to an hour behind; only
the statistic Sum is meaningful. If publishing began this month, the projection lacks earlier costs.
It also lacks metrics without a value for two weeks: searches no longer find them.
"""


@dataclass(frozen=True)
class DashboardPlan:
    """What to do: ``create``, ``update`` or ``keep``."""

    action: str
    body: Mapping[str, Any]


def plan_dashboard(place: Place, body: Mapping[str, Any]) -> DashboardPlan:
    """Compare the existing dashboard with the wanted one.

    Raises BedrockUsageError if it is not ours.
    """
    present = read_dashboard(place)
    if present is None:
        return DashboardPlan("create", body)
    if MARK not in present:
        raise BedrockUsageError(
            f"the account has a dashboard {NAME} that bedrock-usage did not make, so it was not"
            " changed: save it under another name and delete it, then run this again"
        )
    return DashboardPlan("keep" if _is_same(present, body) else "update", body)


def put_dashboard(place: Place, plan: DashboardPlan) -> list[str]:
    """Create or update the dashboard; return CloudWatch's complaints about its body."""
    answer = place.call(
        "cloudwatch",
        "PutDashboard",
        {"DashboardName": NAME, "DashboardBody": json.dumps(plan.body)},
        requires="ResponseMetadata",
    )
    return [
        f"{message.get('DataPath')}: {message.get('Message')}"
        for message in answer.get("DashboardValidationMessages", ())
    ]


def read_dashboard(place: Place) -> str | None:
    """Return the body of the dashboard that has our name, None if there is none."""
    query = {"DashboardName": NAME}
    try:
        answer = place.call("cloudwatch", "GetDashboard", query, requires="DashboardBody")
    except NotFoundError:
        return None
    return str(answer["DashboardBody"])


def _is_same(present: str, body: Mapping[str, Any]) -> bool:
    try:
        return bool(json.loads(present) == body)
    except ValueError:
        return False


def dashboard_body(
    region: str,
    metrics: Sequence[str],
    names: Sequence[str],
    limits: Mapping[str, str],
    by: str = "application",
) -> dict[str, Any]:
    """Return the dashboard's body.

    ``names``: those of applications, or of teams if ``by`` is "team"; ``limits``: daily limits of
    applications, in dollars.
    """
    widgets = [_text(by)]
    if "CostUSD" in metrics:
        widgets += [
            _projection(region, by),
            _by_name(region, "CostUSD", f"Cost by {by} (USD)", names, by),
            _by_model(region, "CostUSD", f"Cost by {by} and model (USD)", by),
        ]
    for metric, title in (("InputTokens", "Input tokens"), ("OutputTokens", "Output tokens")):
        if metric in metrics:
            widgets.append(_by_name(region, metric, f"{title} by {by}", names, by))
    if limits:
        widgets.append(_daily(region, limits))
    return {"start": "-P1D", "periodOverride": "inherit", "widgets": _placed(widgets)}


def search(metric: str, period: int, name: str | None = None, by: str = "application") -> str:
    """Return the search expression of a metric, over all models.

    ``name``: of one application, or of one team if ``by`` is "team".
    """
    only, dimension = "", dimension_name(by)
    if name is not None:
        # Names have no quotes or backslashes, see ``encoding``; parentheses are escaped here.
        only = f' {dimension}="{_PARENTHESIS.sub(_ESCAPED, to_dimension(name))}"'
    return (
        f'SEARCH(\'{{"{NAMESPACE}",{dimension},ModelId}} MetricName="{metric}"{only}\','
        f" 'Sum', {period})"
    )


def projection(by: str = "application") -> list[dict[str, Any]]:
    """Return the expressions that make up the projection, the visible ones included.

    ``filled``: the cost of each hour; hours count from 0, days from 1.
    """
    short = " OR ".join(f"MONTH(filled) == {month}" for month in (4, 6, 9, 11))
    leap = "IF(YEAR(filled) / 4 == FLOOR(YEAR(filled) / 4), 29, 28)"
    steps = {
        "cost": f"SUM({search('CostUSD', 3600, by=by)})",
        "filled": "FILL(cost, 0)",
        "month": "YEAR(filled) * 12 + MONTH(filled)",
        "spent": "RUNNING_SUM(IF(month == MAX(month), filled, 0))",
        "passed": "(DATE(filled) - 1) * 24 + HOUR(filled) + 1",
        "days": f"IF(MONTH(filled) == 2, {leap}, IF({short}, 30, 31))",
        "projected": "spent / passed * days * 24",
    }
    labels = {"spent": "This month so far (USD)", "projected": "Month-end projection (USD)"}
    return [
        {
            "id": name,
            "expression": expression,
            "label": labels.get(name, name),
            "visible": name in labels,
            "period": 3600,
        }
        for name, expression in steps.items()
    ]


def _text(by: str) -> dict[str, Any]:
    properties = {"markdown": _TEXT.format(by=by)}
    return {"type": "text", "width": 24, "height": 4, "properties": properties}


def _projection(region: str, by: str) -> dict[str, Any]:
    properties = {
        "view": "singleValue",
        "sparkline": True,
        "start": "-P31D",
        "metrics": [[step] for step in projection(by)],
    }
    return _metric(region, "This month, with projection", properties)


def _by_name(region: str, metric: str, title: str, names: Sequence[str], by: str) -> dict[str, Any]:
    lines = [
        {
            "id": f"a{index}",
            "expression": f"SUM({expression})",
            "label": to_dimension(name),
        }
        for index, name in enumerate(names[:MOST_NAMES])
        if len(expression := search(metric, 300, name, by)) <= _LONGEST_SEARCH
    ]
    if not lines:
        return _by_model(region, metric, title, by)
    return _metric(region, title, {"stacked": True, "metrics": [[line] for line in lines]})


def _by_model(region: str, metric: str, title: str, by: str) -> dict[str, Any]:
    line = {"id": "all", "expression": search(metric, 300, by=by), "label": ""}
    return _metric(region, title, {"stacked": True, "metrics": [[line]]})


def _daily(region: str, limits: Mapping[str, str]) -> dict[str, Any]:
    lines = []
    for application in limits:
        names = [pair for one in dimensions(level_series(application)) for pair in one.values()]
        label = {"label": to_dimension(application)}
        lines.append([NAMESPACE, level_series(application).metric, *names, label])
    marks = [
        {"label": f"Limit of {to_dimension(application)}", "value": float(limit)}
        for application, limit in limits.items()
    ]
    properties = {"stat": "Maximum", "metrics": lines, "annotations": {"horizontal": marks}}
    return _metric(region, "Cost of the day and daily limits (USD)", properties)


def _metric(region: str, title: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    usual = {
        "view": "timeSeries",
        "stacked": False,
        "stat": "Sum",
        "period": 300,
        "region": region,
        "title": title,
    }
    return {"type": "metric", "width": 12, "height": 7, "properties": usual | dict(properties)}


def _placed(widgets: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the widgets two in a row, below the full-width text."""
    text, *others = widgets
    placed = [{**text, "x": 0, "y": 0}]
    for index, widget in enumerate(others):
        row, column = divmod(index, 2)
        placed.append({**widget, "x": 12 * column, "y": text["height"] + 7 * row})
    return placed
