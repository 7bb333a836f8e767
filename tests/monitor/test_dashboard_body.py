"""The dashboard's body: what it searches for, and that its projection is correct."""

from __future__ import annotations

import ast
import calendar
import json
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from etl.monitor.cloudwatch_dashboard import dashboard_body, projection, search
from etl.monitor.encoding import to_dimension
from tests.cases import cases

METRICS = ("InputTokens", "OutputTokens", "CostUSD")
Values = list[float | None]


def body(**options: Any) -> dict[str, Any]:
    arguments = {"metrics": METRICS, "names": ["Search"], "limits": {}} | options
    return dashboard_body("us-east-1", **arguments)


def titles(found: dict[str, Any]) -> list[str]:
    return [one["properties"]["title"] for one in found["widgets"] if one["type"] == "metric"]


def test_it_has_tokens_cost_and_the_month_s_end() -> None:
    assert titles(body()) == [
        "This month, with projection",
        "Cost by application (USD)",
        "Cost by application and model (USD)",
        "Input tokens by application",
        "Output tokens by application",
    ]


def test_only_metrics_that_are_published_are_drawn() -> None:
    assert titles(body(metrics=("InputTokens",))) == ["Input tokens by application"]
    found = json.dumps(body(metrics=("InputTokens",), limits={"Search": "5"}))
    assert "CostUSD" in found  # the daily cost of the limit
    assert "Limit of Search" in found


def test_no_two_widgets_lie_on_one_another() -> None:
    cells = [
        (x, y)
        for widget in body(limits={"Search": "5"})["widgets"]
        for x in range(widget["x"], widget["x"] + widget["width"])
        for y in range(widget["y"], widget["y"] + widget["height"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) == 23


def test_ids_are_cloudwatch_s_and_unique_in_their_widget() -> None:
    for widget in body(names=["a", "b"])["widgets"]:
        lines = widget["properties"].get("metrics", [])
        ids = [line[0]["id"] for line in lines]
        assert len(ids) == len(set(ids))
        assert all(re.fullmatch(r"[a-z][A-Za-z0-9_]*", one) for one in ids)


@cases("name", ["Search", "it's", 'say "hi"', "a\\b", "Süche", "x" * 5000])
def test_no_name_breaks_out_of_a_search(name: str) -> None:
    found = search("CostUSD", 300, name)
    start = """SEARCH('{"Custom/BedrockUsage",Application,ModelId} MetricName="CostUSD" Application=\""""
    assert found.startswith(start)
    assert found.endswith("\"', 'Sum', 300)")
    inside = found.removeprefix(start).removesuffix("\"', 'Sum', 300)")
    assert not set("'\"\\") & set(inside)
    assert inside == to_dimension(name)


def test_parentheses_are_escaped_as_an_exact_search_wants() -> None:
    found = search("CostUSD", 300, "(unattributed)")
    assert found.endswith(r"""Application="\(unattributed\)"', 'Sum', 300)""")


def test_expressions_are_not_longer_than_cloudwatch_takes() -> None:
    found = body(names=["x" * 5000, *map(str, range(100))])
    for widget in found["widgets"]:
        lines = widget["properties"].get("metrics", [])
        assert len(lines) <= 20
        assert all(len(line[0]["expression"]) <= 1024 + len("SUM()") for line in lines)


class MetricMath(ast.NodeVisitor):
    """Evaluates the expressions that the dashboard uses over the hours of ``times``."""

    def __init__(self, times: list[datetime], cost: Values) -> None:
        self.times = times
        self.known: dict[str, Any] = {"cost": cost}

    def work_out(self, name: str, expression: str) -> None:
        text = expression.replace(" OR ", " or ").replace(" AND ", " and ")
        self.known[name] = self.visit(ast.parse(text, mode="eval").body)

    def each(self, function: Callable[..., Any], *values: Any) -> Any:
        if not any(isinstance(value, list) for value in values):
            return function(*values)
        rows = [value if isinstance(value, list) else [value] * len(self.times) for value in values]
        return [function(*row) for row in zip(*rows, strict=True)]

    def visit_Constant(self, node: ast.Constant) -> Any:
        return node.value

    def visit_Name(self, node: ast.Name) -> Any:
        return self.known[node.id]

    def visit_BinOp(self, node: ast.BinOp) -> Any:
        signs: dict[type, Callable[[Any, Any], Any]] = {
            ast.Add: lambda a, b: a + b,
            ast.Sub: lambda a, b: a - b,
            ast.Mult: lambda a, b: a * b,
            ast.Div: lambda a, b: a / b,
        }
        return self.each(signs[type(node.op)], self.visit(node.left), self.visit(node.right))

    def visit_Compare(self, node: ast.Compare) -> Any:
        assert isinstance(node.ops[0], ast.Eq)
        return self.each(
            lambda a, b: a == b, self.visit(node.left), self.visit(node.comparators[0])
        )

    def visit_BoolOp(self, node: ast.BoolOp) -> Any:
        assert isinstance(node.op, ast.Or)
        return self.each(lambda *values: any(values), *map(self.visit, node.values))

    def visit_Call(self, node: ast.Call) -> Any:
        name = getattr(node.func, "id", "")
        values = [self.visit(argument) for argument in node.args]
        parts = {"YEAR": "year", "MONTH": "month", "DATE": "day", "HOUR": "hour"}
        if name in parts:
            return [getattr(time, parts[name]) for time in self.times]
        functions: dict[str, Callable[..., Any]] = {
            "IF": lambda *three: self.each(lambda test, yes, no: yes if test else no, *three),
            "FLOOR": lambda value: self.each(math.floor, value),
            "FILL": lambda value, by: [by if one is None else one for one in value],
            "MAX": max,
            "RUNNING_SUM": lambda value: [sum(value[: i + 1]) for i in range(len(value))],
        }
        return functions[name](*values)


def projected(now: datetime, cost_of: Callable[[datetime], float | None]) -> float:
    """Return the last value of the projection, over the 31 days that the widget shows."""
    last = now.replace(minute=0)
    times = [last - timedelta(hours=n) for n in reversed(range(31 * 24 + 1))]
    math_reader = MetricMath(times, [cost_of(time) for time in times])
    for step in projection()[1:]:
        math_reader.work_out(step["id"], step["expression"])
    assert projection()[-1]["id"] == "projected"
    return float(math_reader.known["projected"][-1])


@cases(
    "now",
    [
        datetime(2026, 11, 20, 12, 30, tzinfo=UTC),
        datetime(2026, 12, 31, 23, 59, tzinfo=UTC),
        datetime(2027, 1, 1, 0, 1, tzinfo=UTC),
        datetime(2027, 2, 14, 5, 0, tzinfo=UTC),
        datetime(2028, 2, 29, 5, 0, tzinfo=UTC),
        datetime(2028, 3, 1, 5, 0, tzinfo=UTC),
    ],
)
def test_even_spending_is_projected_to_all_hours_of_the_month(now: datetime) -> None:
    hours = calendar.monthrange(now.year, now.month)[1] * 24
    assert projected(now, lambda time: 0.25) == pytest.approx(0.25 * hours)


def test_hours_without_use_count_and_last_month_does_not() -> None:
    now = datetime(2026, 11, 10, 23, 30, tzinfo=UTC)

    def cost(time: datetime) -> float | None:
        if time.month != 11:
            return 1000.0
        return 12.0 if time.hour == 9 else None

    # 10 of 30 days with $12 each.
    assert projected(now, cost) == pytest.approx(12.0 * 30)
