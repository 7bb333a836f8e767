"""The tools: what an agent may ask, each with the function that answers.

Each returns what a report, a page or a command shows, by the same functions. A tool that is not
``for_restricted`` shows what concerns all usage, or may do so; whoever may see a part only does not
have it. To add a tool, add it to ``TOOLS``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sqlite_utils import Database

from etl.agents import arguments
from etl.agents.answers import Answer
from etl.agents.arguments import DAYS, FILTERS, MAX_SQL, PLACES, TOP, Argument
from etl.errors import DataError
from etl.inspect.explain import stored_only
from etl.show import numbers
from etl.show.budgets import for_programs
from etl.show.movers import notes as notes_on_movers
from etl.show.movers import summary as moved
from etl.show.numbers import MOVED, Row, count, dollars
from etl.show.reconcile import as_dict as comparison_as_dict
from etl.show.reconcile import place_rows
from etl.show.report import KINDS, Report, build_metadata_report, build_report, notes, why_nothing
from etl.show.report import as_dict as report_as_dict
from etl.show.status import WarehouseStatus
from etl.show.status import as_dict as status_as_dict
from etl.times import utc_text
from etl.warehouse.read.bills import compare_bill
from etl.warehouse.read.budgets import budget_states
from etl.warehouse.read.inspect import locate_call
from etl.warehouse.read.prices import price_gaps
from etl.warehouse.read.reports import (
    Filters,
    coverage,
    freshness,
    guardrails,
    movers,
    page,
    usage,
)
from etl.warehouse.read.status import read_status

_COVERAGE = "coverage"
_COSTS = [kind for kind in KINDS if kind != _COVERAGE]

# Views whose columns a table of usage has.
_USAGE = tuple(f"{name}_costs" for name in ("user", "application", "team", "model", "region"))

_MAX_HOURS = 24 * 366


@dataclass(frozen=True)
class Ask:
    """What was asked: the arguments, the filters in them, and when (UTC)."""

    arguments: Mapping[str, Any]
    filters: Filters
    now: datetime


@dataclass(frozen=True)
class Tool:
    """One tool. ``tables``: the views that describe the columns of each table of its answer.

    ``answer`` None: its statement is an agent's own, and does not run in this process.
    """

    name: str
    title: str
    description: str
    arguments: Sequence[Argument]
    answer: Callable[[Database, Ask], Answer] | None
    tables: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    for_restricted: bool = True


def filters_of(sight: Filters, values: Mapping[str, Any]) -> Filters:
    """Return the filters among the arguments; ``sight``: what the reader may see."""
    known = ("since", "until", "regions", "models", "users", "applications", "teams")
    return replace(sight, **{name: values[name] for name in known if name in values})


def _costs_by(db: Database, ask: Ask) -> Answer:
    by, billed = ask.arguments["by"], ask.arguments["billed"]
    return _of_report(build_report(db, by, ask.filters, with_billed=billed))


def _costs_by_metadata(db: Database, ask: Ask) -> Answer:
    return _of_report(build_metadata_report(db, ask.arguments["key"], ask.filters))


def _coverage(db: Database, ask: Ask) -> Answer:
    report = build_report(db, _COVERAGE, ask.filters)
    known = report.coverage or {"calls_with_tokens": 0, "calls": 0}
    return _of_report(report, numbers.coverage(known["calls_with_tokens"], known["calls"]))


def _of_report(report: Report, words: str = "") -> Answer:
    """Return a report as an answer, with days from the newest on: those are asked for most."""
    found = report_as_dict(report)
    rows = found.pop("rows")
    # They are what was asked.
    del found["filters"]
    if "day" in report.dimensions:
        rows = sorted(rows, key=lambda row: row["day"], reverse=True)
    said = [text.plain for text in notes(report)] if rows else []
    if report.left_out:
        said += why_nothing(report.range, report.left_out, report.names)
    summary = f"{report.title}, {report.range}: {words or _cost_in_words(report.total)};"
    return Answer(f"{summary} {count(len(rows), 'row')}.", found | {"notes": said}, {"rows": rows})


def _cost_in_words(total: Row | None) -> str:
    if total is None or total["calls"] is None:
        return "no usage"
    decimals = 2 if (total["cost_usd"] or 0) >= 1 else 6
    return f"{numbers.cost(total, decimals)} for {count(total['calls'], 'call')}"


def _movers(db: Database, ask: Ask) -> Answer:
    by = None if ask.arguments["by"] == "all" else ask.arguments["by"]
    rows = movers(db, ask.filters, by=by, against=ask.arguments["against"])
    words = moved(rows)
    if not rows and not ask.filters.sees_all and not ask.filters.until:
        words = f"{words} Set until: the last day to compare."
    return Answer(words, {"notes": notes_on_movers(rows) if rows else []}, {"rows": rows})


def _explain_cost(db: Database, ask: Ask) -> Answer:
    filters = ask.filters
    found = usage(db, filters)
    total = found[0] if found and found[0]["calls"] is not None else None
    parts = coverage(db, filters)
    lines = page(db, "cost_lines", filters)
    facts = {
        "total": total,
        "tokens": parts,
        "not_included": numbers.missing(total) if total else "",
        "guardrails": numbers.guardrails(guardrails(db, filters)),
    }
    tables = {
        "lines": lines,
        "weights": page(db, "weights", filters) if parts["calibrated_tokens"] else [],
        "latest_calls": page(db, "latest_calls", filters),
    }
    words = f"{_cost_in_words(total)}, the sum of {count(len(lines), 'line')}: tokens x price."
    told = numbers.token_parts(parts)
    return Answer(f"{words}{f' {told}.' if told else ''}", facts, tables)


def _explain_call(db: Database, ask: Ask) -> Answer:
    located = locate_call(db, ask.arguments["event_id"])
    if located is None:
        raise DataError("no call has this event id or request id; explain_cost lists the latest")
    found = stored_only(located.event_id, located.event_time, db)
    rows = [line._asdict() for line in found.warehouse]
    return Answer(f"A call at {located.event_time}, as the warehouse holds it.", {}, {"rows": rows})


def _list_names(db: Database, ask: Ask) -> Answer:
    kind = ask.arguments["kind"]
    rows = [row for row in page(db, "choices", ask.filters) if kind in ("all", row["kind"])]
    return Answer(f"{count(len(rows), 'name')} with usage.", {}, {"rows": rows})


def _freshness(db: Database, ask: Ask) -> Answer:
    found = freshness(db, ask.filters)
    if found["last_day"] is None:
        return Answer("Nothing is loaded.", found)
    last = found["last_event_time"]
    age = f" {numbers.span(ask.now - datetime.fromisoformat(last))} ago" if last else " not known"
    days = f"{found['first_day']} to {found['last_day']} UTC"
    return Answer(f"Loaded: {days}; the latest call:{age}.", found | _checked(ask))


def _status(db: Database, ask: Ask) -> Answer:
    hours = ask.arguments["max_age_hours"]
    max_age = None if hours is None else timedelta(hours=hours)
    status = WarehouseStatus(checked_at=ask.now, max_age=max_age, **read_status(db, ask.now))
    found = status_as_dict(status)
    tables = {name: rows for name, rows in found.items() if isinstance(rows, list)}
    facts = {name: value for name, value in found.items() if name not in tables}
    failing = sum(1 for stream in status.streams if stream["error"])
    words = [
        count(len(status.streams), "stream"),
        f"{failing:,} with an error",
        count(len(status.gaps), "gap"),
        f"{count(len(status.unpriced), 'kind')} of usage without a price",
    ]
    if max_age is not None:
        words.append(f"{len(status.stale):,} older than {numbers.span(max_age)}")
    return Answer(f"{', '.join(words)}.", facts, tables)


def _checked(ask: Ask) -> dict[str, str]:
    return {"checked_at": utc_text(ask.now)}


def _price_gaps(db: Database, ask: Ask) -> Answer:
    rows = price_gaps(db, ask.filters)
    facts = {"guardrails": numbers.guardrails(guardrails(db, ask.filters))}
    words = "Everything has a price" if not rows else f"{count(len(rows), 'gap')}"
    return Answer(f"{words}. {numbers.HOW_TO_PRICE}.", facts, {"rows": rows})


def _budgets(db: Database, ask: Ask) -> Answer:
    states = budget_states(db, ask.now, ask.filters)
    current = Counter(one["state"] for one in states if one["is_current"])
    words = ", ".join(f"{number:,} {state}" for state, number in current.items())
    summary = f"{count(sum(current.values()), 'current budget')}{words and f': {words}'}."
    return Answer(summary, _checked(ask), {"rows": for_programs(states)})


def _bill(db: Database, ask: Ask) -> Answer:
    found = compare_bill(db, ask.arguments["months"], in_full=False)
    months = comparison_as_dict(found)["months"]
    difference = sum(month["difference_usd"] or 0 for month in months)
    words = f"{count(len(months), 'month')}; billed less ours: {dollars(difference, 2)} in all."
    return Answer(words, {}, {"months": months, "places": place_rows(found)})


_MONEY = (
    "Units: USD, tokens. A cost is a lower bound where is_lower_bound is 1, and NULL if unknown."
)

TOOLS = (
    Tool(
        "costs_by",
        "Cost and usage by user, application, team, model, region or day",
        "Who and what spent how much on Amazon Bedrock. Grain: one row for each name of the kind"
        " (for breakdown: application x user x region x model), most expensive first; days from"
        f" the newest on. {_MONEY}"
        " Same figures as `bedrock-usage report`.",
        (
            arguments.choice("by", "What the rows are.", _COSTS),
            *FILTERS,
            arguments.flag(
                "billed", "Also what AWS's bill charges, in billed_cost_usd. It comes days later."
            ),
            TOP,
        ),
        _costs_by,
        {"rows": _USAGE},
    ),
    Tool(
        "costs_by_metadata",
        "Cost and usage by a key of the request metadata",
        "Usage by the values of a key that callers send as request metadata, such as a tenant; the"
        f" configuration names the keys. Grain: one row for each value. {_MONEY}",
        (
            arguments.text("key", "The key, such as tenant."),
            *FILTERS,
            TOP,
        ),
        _costs_by_metadata,
        {"rows": _USAGE},
    ),
    Tool(
        "movers",
        "What changed between two periods, and why",
        "Whose cost changed most against the period before. Grain: dimension x name, the largest"
        " differences first; each dimension has all of the change. volume (calls) + size (tokens a"
        " call) + mix (models, regions, tiers, kinds of token) + price = difference. Units: USD,"
        " after less before. Left out, since and until are the last seven days that are over.",
        (
            arguments.choice("by", "Rows of this dimension only.", ("all", *MOVED), "all"),
            *FILTERS,
            arguments.day("against", "First day of the period to compare with, as long."),
            TOP,
        ),
        _movers,
        {"rows": ("movers",)},
    ),
    Tool(
        "explain_cost",
        "How a cost is calculated",
        "The tokens of each kind, the price of each with its source, and how the tokens are known,"
        " for everything that the filters leave. Grain of lines: model x region x tier x context"
        " size x data source x token kind; cost_usd = tokens x usd_per_mtok / 1e6. weights: tokens"
        " per call that made an estimate. latest_calls: calls of the last day, the latest first.",
        (*FILTERS, TOP),
        _explain_cost,
        {"lines": (), "weights": (), "latest_calls": ("calls",)},
    ),
    Tool(
        "explain_call",
        "One call: its fields, tokens, prices and cost",
        "What the warehouse has of one call, how its estimate was made and which price rows it"
        " used, as `bedrock-usage inspect` prints it. Grain: field. Prompts are never stored.",
        (arguments.text("event_id", "The event id or request id of the call.", 100),),
        _explain_call,
        for_restricted=False,
    ),
    Tool(
        _COVERAGE,
        "How much of the tokens is measured or estimated",
        "How many calls have token data, and how the tokens are known: measured, single caller,"
        " calibrated, shared by calls, unattributed. Grain: day x region x model, the newest day"
        " first. Units: calls, tokens, percent.",
        (*FILTERS, TOP),
        _coverage,
        {"rows": ("token_coverage",)},
    ),
    Tool(
        "list_names",
        "Names to filter by",
        "The exact regions, models, users, applications and teams that have usage on some days."
        " Grain: kind x name.",
        (
            arguments.choice(
                "kind",
                "Names of this kind only.",
                ("all", "region", "model", "user", "application", "team"),
                "all",
            ),
            *DAYS,
            TOP,
        ),
        _list_names,
        {"rows": ()},
    ),
    Tool(
        "freshness",
        "How fresh the data is",
        "The first and last day loaded and the latest call, in UTC. Ask this first for a question"
        " about today or this month: what is not loaded yet is in no figure.",
        (),
        _freshness,
    ),
    Tool(
        "status",
        "How far AWS was read, and what is missing",
        "Each stream (source x account x region) with how far it was read and its last error; gaps,"
        " late events, rejected input, usage without a price, as `bedrock-usage status` prints"
        " them. Times in UTC, durations in seconds.",
        (
            arguments.number(
                "max_age_hours", "Streams that were last read earlier are stale.", _MAX_HOURS
            ),
            TOP,
        ),
        _status,
        {"streams": ("sync_status",), "unpriced": ("unpriced_usage",)},
        for_restricted=False,
    ),
    Tool(
        "price_gaps",
        "Usage without a price",
        "Tokens that are in no cost because no price applies, with the price that they nearly match"
        " and what would price them. Grain: model x region x scope x tier x context size x token"
        " kind, most tokens first. Units: calls, tokens.",
        (*DAYS, *PLACES, TOP),
        _price_gaps,
        {"rows": ("price_gaps",)},
        for_restricted=False,
    ),
    Tool(
        "budgets",
        "What of each budget is spent",
        "Each configured budget with its period, what is spent and expected, and its state:"
        " exceeded, warning, ok, or cannot be judged (reason says why). Grain: budget x name x"
        " period, the current ones first. Units: USD, percent of the amount; days are UTC.",
        (TOP,),
        _budgets,
        {"rows": ("budget_status",)},
    ),
    Tool(
        "bill",
        "Whether AWS's bill agrees",
        "What AWS billed beside these figures, and why they differ: reasons add up to the"
        " difference. months: month x payer; places: where it is, the largest first within a month."
        " Units: USD, billed less ours. A month is open while its days may change.",
        (arguments.months("months", "Only these months, YYYY-MM. Left out: all billed."), TOP),
        _bill,
        {"months": ("bill_reconciliation",), "places": ("bill_differences",)},
        for_restricted=False,
    ),
    Tool(
        "query",
        "SQL, read only",
        "One SQLite select over the views; the resources describe them and their columns. It is"
        " stopped after 10 seconds, and returns 500 rows at most. Prefer the other tools: they have"
        " the filters and the caveats.",
        (arguments.text("sql", "One select statement.", MAX_SQL), TOP),
        None,
        {"rows": ()},
        for_restricted=False,
    ),
)  # fmt: skip


def tools_for(sight: Filters) -> list[Tool]:
    """Return the tools of a reader."""
    return [tool for tool in TOOLS if sight.sees_all or tool.for_restricted]
