"""Reports for a terminal, a program or a spreadsheet: rows of the warehouse in, text out.

``table`` is for people: rounded, aligned, with caveats. ``json`` and ``csv`` have the exact
figures. Names come from logs that callers can write to, and are shown as in ``etl.show.terminal``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import click
from rich.console import Console, Group
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text
from sqlite_utils import Database

from etl.errors import DataError
from etl.normalise.model_names import short_name
from etl.normalise.token_kinds import TOKENS_ALONE
from etl.show import numbers
from etl.show.escaping import harmless, json_text, show_csv
from etl.show.numbers import (
    HOW_TO_PRICE,
    TOKEN_PARTS,
    Row,
    cost,
    count,
    dollars,
    list_cost,
    missing,
    number,
    off,
    percent,
    saved,
    some_of,
    source,
    token_parts,
    tokens,
    width,
    without_price,
)
from etl.show.spreadsheet import csv_text
from etl.show.tables import bare_table
from etl.show.terminal import open_console, plain
from etl.warehouse.read.reports import (
    Filters,
    LeftOut,
    billed,
    capacity,
    coverage,
    coverage_by_day,
    guardrails,
    left_out,
    loaded_range,
    page,
    shared_applications,
    usage,
    usage_by_metadata,
    usage_by_team,
)

# Each kind of report: its title and the dimensions of a row.
KINDS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "users": ("Cost by user", ("user_name",)),
    "applications": ("Cost by application", ("application",)),
    "teams": ("Cost by team", ("team",)),
    "models": ("Cost by model", ("model_id",)),
    "regions": ("Cost by region", ("region",)),
    "days": ("Cost by day", ("day",)),
    "coverage": ("Calls with token data", ("day", "region", "model_id")),
    "breakdown": (
        "Cost by application, user, region and model",
        ("application", "user_name", "region", "model_id"),
    ),
}

HEADINGS = {
    "day": "Day (UTC)",
    "user_name": "User",
    "application": "Application",
    "team": "Team",
    "region": "Region",
    "model_id": "Model",
}

BILLED = "billed_cost_usd"

# The heading of how far off a cost may be.
_WIDTH = "±"

# Shown even if unknown.
_ALWAYS = ("input_tokens", "output_tokens")

# What a narrow terminal leaves out, step by step; a number is never cut. Models have short names
# then, and if that does not do, the names of a row share a column.
_MODEL_IDS, _COLUMNS = "ids of models", "a column for each name"
_STEPS = (
    *((_MODEL_IDS,), ("Cache read", "Cache write"), ("Failed",), ("Share",)),
    *((_WIDTH,), ("Input", "Output")),
)


def _left_out_by(steps: int) -> frozenset[str]:
    return frozenset(what for step in _STEPS[:steps] for what in step)


_LAYOUTS = (
    *(_left_out_by(steps) for steps in range(len(_STEPS) - 1)),
    *(_left_out_by(steps) | {_COLUMNS} for steps in range(1, len(_STEPS) + 1)),
)

# The same for the report on coverage.
_PARTS = "how tokens are known"
_COVERAGE_STEPS = (frozenset[str](), {_MODEL_IDS}, {_PARTS}, {_COLUMNS})

# As many models without a price are named, and operations.
_NAMES = 5

_EMPTY = "nothing is loaded"


@dataclass
class Report:
    """One report. ``details`` are rows by region and model for the rows' single dimension.

    ``coverage``: how the tokens are known, None where nothing tells; the rows of the kind coverage
    have the same columns. ``with_list``: the table also has the list cost, and what is saved;
    ``with_billed``: rows and total also have what AWS billed.
    ``without_price`` names the models that lack a price, and where; ``capacity`` and
    ``guardrails``: what to say of the hours, and of the charges, that no cost includes;
    ``left_out``: what was refused or skipped, where there are no rows; ``metadata_key``: where the
    rows are its values; ``shared``: what to say of shared applications, where the rows are teams;
    ``names``: the filters, by their kind.
    """

    kind: str
    range: str
    rows: Sequence[Row]
    total: Row | None
    coverage: Row | None = None
    capacity: str = ""
    guardrails: str = ""
    details: Sequence[Row] = field(default_factory=list)
    with_list: bool = False
    with_billed: bool = False
    without_price: Sequence[str] = ()
    left_out: LeftOut | None = None
    metadata_key: str | None = None
    shared: str = ""
    names: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def title(self) -> str:
        return f"Cost by {self.metadata_key}" if self.metadata_key else KINDS[self.kind][0]

    @property
    def dimensions(self) -> tuple[str, ...]:
        return ("value",) if self.metadata_key else KINDS[self.kind][1]

    @property
    def has_widths(self) -> bool:
        """Return whether it is known of any row how far off its cost may be, if it may be off."""
        return any(width(row) for row in (*self.rows, *self.details))

    def details_of(self, row: Row) -> list[Row]:
        """Return the detail rows shown below a row."""
        name = self.dimensions[0]
        return [detail for detail in self.details if detail[name] == row[name]]


def build_report(
    db: Database,
    kind: str,
    filters: Filters,
    *,
    breakdown: bool = False,
    with_list: bool = False,
    with_billed: bool = False,
) -> Report:
    """Read one report from the warehouse.

    A reader who may see some usage only gets the report of that usage: nothing in it tells of the
    rest. Raises DataError for ``with_billed`` then: the bill is of whole accounts.
    """
    if with_billed and not filters.sees_all:
        raise DataError("what AWS billed is of whole accounts, of which you may see a part only")
    dimensions = KINDS[kind][1]
    # The shares name all teams of an application.
    shared = shared_applications(db) if kind == "teams" and filters.sees_all else []
    # A share is of all usage of an application, not of what some users have of it.
    read = usage_by_team if shared and not filters.users else usage
    is_coverage = kind == "coverage"
    rows = coverage_by_day(db, filters) if is_coverage else read(db, filters, by=dimensions)
    report = _report(db, kind, filters, rows, with_list=with_list, read=read)
    report.shared = _words_on_shares(shared, is_split=read is usage_by_team)
    if kind == "applications":
        _add_users(db, filters, report)
    if breakdown:
        report.details = read(db, filters, by=(*dimensions, "region", "model_id"))
    if with_billed:
        _add_billed(db, filters, report, is_split=read is usage_by_team)
    return report


def _add_users(db: Database, filters: Filters, report: Report) -> None:
    """Add how many users called with success, and the part of the cost of one of them."""
    found = {(row["dimension"], row["name"]): row for row in page(db, "callers", filters)}

    def added(row: Row, dimension: str, name: str) -> Row:
        own = found.get((dimension, name), {})
        return {**row, "users": own.get("users", 0), "usd_per_user": own.get("usd_per_user")}

    report.rows = [added(row, "application", row["application"]) for row in report.rows]
    if report.total:
        report.total = added(report.total, "all", "(all)")


def _add_billed(db: Database, filters: Filters, report: Report, *, is_split: bool) -> None:
    """Add what the bill charges to the rows and the total; None where it charges nothing."""

    def added(rows: Iterable[Row], by: tuple[str, ...]) -> list[Row]:
        found = billed(db, filters, by=by, is_split=is_split)
        return [{**row, BILLED: found.get(tuple(row[name] for name in by))} for row in rows]

    report.with_billed = True
    report.rows = added(report.rows, report.dimensions)
    if report.details:
        report.details = added(report.details, (*report.dimensions, "region", "model_id"))
    if report.total:
        (report.total,) = added([report.total], ())


def _words_on_shares(applications: Sequence[str], *, is_split: bool) -> str:
    if not applications:
        return ""
    names = some_of(applications, _NAMES)
    if is_split:
        return f"Split by fixed shares: {names}."
    return f"Not split by the shares of {names}: only some users' calls are counted."


def build_metadata_report(
    db: Database, key: str, filters: Filters, *, with_list: bool = False
) -> Report:
    """Read the report by the values of a key of the request metadata. Raises DataError."""
    rows = usage_by_metadata(db, key, filters)
    for row in rows:
        if row["value_kind"] == "none":
            row["value"] = f"(no {key})"
    report = _report(db, f"metadata:{key}", filters, rows, with_list=with_list, read=usage)
    report.metadata_key = key
    return report


def _report(
    db: Database,
    kind: str,
    filters: Filters,
    rows: Sequence[Row],
    *,
    with_list: bool,
    read: Callable[..., Sequence[Row]],
) -> Report:
    """Return a report of these rows, with their total and what to say of it.

    ``read``: ``usage``, or what reads the same columns.
    """
    totals = read(db, filters)
    total = totals[0] if totals else None
    # A team's part of a shared application has no coverage of its own.
    has_coverage = read is usage or not filters.teams
    lacks = total and (total["unpriced_calls"] or total["unpriced_tokens"])
    return Report(
        kind=kind,
        range=_range(db, filters),
        rows=rows,
        total=total,
        coverage=coverage(db, filters) if has_coverage else None,
        capacity=numbers.capacity(capacity(db, filters)),
        guardrails=numbers.guardrails(guardrails(db, filters)),
        with_list=with_list,
        without_price=without_price(read(db, filters, by=("region", "model_id"))) if lacks else (),
        left_out=None if rows or not filters.sees_all else left_out(db),
        names=filters.names,
    )


def _range(db: Database, filters: Filters) -> str:
    first, last = loaded_range(db, filters)
    if first is None or last is None:
        return _EMPTY
    start, end = filters.since or first, filters.until or last
    if start > end:
        # None of it is loaded: show only what was requested.
        start, end = filters.since or end, filters.until or start
    is_all = filters.since is None and filters.until is None and not filters.names
    return f"{start} to {end} UTC" + (", everything loaded" if is_all else "")


def print_report(report: Report, format_: str = "table") -> None:
    """Print to stdout; explain on stderr if there is nothing to print."""
    if format_ == "table":
        print_table(report, open_console())
    elif format_ == "json":
        click.echo(to_json(report))
    else:
        show_csv(to_csv(report))
    if report.left_out:
        why = why_nothing(report.range, report.left_out, report.names)
        click.echo(harmless(" ".join(why)), err=True)


def why_nothing(range_: str, found: LeftOut, names: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield why there are no calls, as far as it is known, as sentences."""
    if range_ != _EMPTY and names:
        kinds = " and ".join(f"`bedrock-usage report {kind}s`" for kind in names)
        yield f"No calls match. See how names are written with {kinds}."
        return
    if range_ != _EMPTY:
        yield "No calls match. See what is loaded with `bedrock-usage report days`."
    elif found.files:
        yield f"No calls are loaded: {count(found.files, 'file')} read, without any."
    else:
        yield "No calls are loaded."
    if found.rejects:
        first = found.rejects[0]
        number = sum(row["reject_count"] for row in found.rejects)
        yield f"Rejected: {number:,}, such as {first['file']}: {first['reason']}."
    if found.operations:
        named = (f"{row['event_count']:,} {row['event_name']}" for row in found.operations[:_NAMES])
        yield f"Skipped, because they are no calls: {', '.join(named)}."
    if found.rejects or found.operations:
        yield "`bedrock-usage status` lists all."
    elif range_ != _EMPTY or not found.files:
        yield "CloudTrail delivers events about 15 minutes late."


def to_json(report: Report) -> str:
    """Return the report as one JSON object."""
    return json_text(as_dict(report))


def as_dict(report: Report) -> dict[str, Any]:
    """Return the report for programs: kind, range, filters, rows with breakdown, total."""
    name = report.dimensions[0]
    rows = [dict(row) for row in report.rows]
    if report.details:
        for row in rows:
            row["breakdown"] = [
                {k: v for k, v in detail.items() if k != name} for detail in report.details_of(row)
            ]
    return {
        "report": report.kind,
        "range": report.range,
        "filters": report.names,
        "rows": rows,
        "total": report.total,
        "coverage": report.coverage,
    }


def to_csv(report: Report) -> str:
    """Return the rows as CSV with a header; with a breakdown, the detail rows instead."""
    return csv_text(report.details or report.rows)


def print_table(report: Report, console: Console) -> None:
    """Print the report for people, within the width of the console."""
    of = [report.title, report.range, *(f"only {words}" for words in _filters(report))]
    console.print(Text(f"\n{harmless(', '.join(of))}", style="bold"))
    if not report.rows:
        return
    if report.kind == "coverage":
        table, left_out = _coverage_table(report, console)
    else:
        table, left_out = _fitting_table(report, console)
    # If still too narrow, the terminal wraps long lines: better than cutting numbers off.
    needed = _width(table, console).minimum
    console.print(table, width=max(console.width, needed), crop=False, no_wrap=True)
    console.print(Group(*notes(report, has_widths=_WIDTH not in left_out)))
    if left_out:
        console.print(f"Left out to fit {console.width} columns: {', '.join(left_out)}.")


def _filters(report: Report) -> Iterator[str]:
    """Yield the filters in words: users alice, bob."""
    for kind, names in report.names.items():
        yield f"{kind}{'s' * (len(names) > 1)} {some_of(names, _NAMES)}"


def _fitting_table(report: Report, console: Console) -> tuple[Table, list[str]]:
    columns = _cost_columns(report)
    for without in _LAYOUTS:
        table = _cost_table(report, columns, without)
        if _width(table, console).maximum <= console.width:
            break
    left_out = [heading for heading in columns if heading in without]
    if _MODEL_IDS in without and "model_id" in report.dimensions:
        left_out.append(_MODEL_IDS)
    return table, left_out


def _table(report: Report, without: frozenset[str]) -> Table:
    table = bare_table(show_footer=report.total is not None)
    headings = [HEADINGS.get(name) or report.metadata_key or name for name in report.dimensions]
    if _COLUMNS in without:
        headings = [", ".join([headings[0], *map(str.lower, headings[1:])])]
    for index, heading in enumerate(headings):
        footer = "Total" if index == 0 else ""
        table.add_column(plain(heading), footer=footer, overflow="fold", min_width=12)
    return table


def _names(report: Report, row: Row, without: frozenset[str]) -> list[Text]:
    """Return the cells with a row's names."""
    names = [_name(row, name, without) for name in report.dimensions]
    if _COLUMNS not in without:
        return [plain(name) for name in names]
    if report.dimensions[-2:] == ("region", "model_id"):
        names[-2:] = [" ".join(names[-2:])]
    return [Text("\n  ").join(plain(name) for name in names)]


def _coverage_table(report: Report, console: Console) -> tuple[Table, list[str]]:
    """Return the table, and the headings that it leaves out to fit the console."""
    calls: dict[str, Callable[[Row], str]] = {
        "Calls": lambda row: number(row["calls"]),
        "With token data": lambda row: number(row["calls_with_tokens"]),
        "Coverage": lambda row: percent(row["calls_with_tokens"], row["calls"]),
    }
    parts = {
        words.capitalize(): partial(_tokens_in, column)
        for column, words in (TOKEN_PARTS | {"unpriced_tokens": "no price"}).items()
        if report.coverage and report.coverage[column]
    }
    for steps in range(len(_COVERAGE_STEPS)):
        without = frozenset[str]().union(*_COVERAGE_STEPS[: steps + 1])
        columns = calls if _PARTS in without else calls | parts
        table = _table_of_calls(report, columns, without)
        if _width(table, console).maximum <= console.width:
            break
    return table, [heading for heading in parts if heading not in columns]


def _table_of_calls(
    report: Report, columns: Mapping[str, Callable[[Row], str]], without: frozenset[str]
) -> Table:
    table = _table(report, without)
    for heading, cell in columns.items():
        footer = cell(report.coverage) if report.coverage else ""
        table.add_column(heading, footer=footer, justify="right", no_wrap=True)
    for row in report.rows:
        cells = (cell(row) for cell in columns.values())
        table.add_row(*_names(report, row, without), *cells)
    return table


def _width(table: Table, console: Console) -> Measurement:
    return table.__rich_measure__(console, console.options.update(width=1000))


def _cost_table(
    report: Report, columns: Mapping[str, Callable[[Row], str]], without: frozenset[str]
) -> Table:
    table, total = _table(report, without), report.total
    totals = [total] if total else []
    cells = {heading: cell for heading, cell in columns.items() if heading not in without}
    for heading, cell in cells.items():
        width = max(len(cell(row)) for row in (*report.rows, *report.details, *totals))
        footer = cell(total) if total else ""
        table.add_column(
            heading,
            footer=footer,
            justify="right",
            no_wrap=True,
            min_width=max(width, len(heading)),
        )
    table.add_column("Token data", no_wrap=True, min_width=10)

    def add(name: Sequence[Text], row: Row, style: str | None = None) -> None:
        table.add_row(*name, *(cell(row) for cell in cells.values()), source(row), style=style)

    for row in report.rows:
        add(_names(report, row, without), row)
        for detail in report.details_of(row) if report.details else ():
            model = _name(detail, "model_id", without)
            add([plain(f"  {detail['region']} {model}")], detail, "dim")
    return table


def _name(row: Row, dimension: str, without: frozenset[str]) -> str:
    """Return a name as a table shows it; a value that looks like (others) is in quotes."""
    name: str = row[dimension]
    if dimension == "model_id" and _MODEL_IDS in without:
        return short_name(name)
    is_sent = row.get("value_kind") == "named"
    return f'"{name}"' if is_sent and name.startswith("(") and name.endswith(")") else name


def _cost_columns(report: Report) -> dict[str, Callable[[Row], str]]:
    """Return each number's heading and cell; rarer ones only if any is known."""
    total = report.total or {}
    decimals = 2 if (total.get("cost_usd") or 0) >= 1 else 6
    columns: dict[str, Callable[[Row], str]] = {
        "Calls": lambda row: number(row["calls"]),
        "Failed": lambda row: number(row["failed_calls"]),
    }
    for kind in TOKENS_ALONE:
        if kind.shown in _ALWAYS or total.get(kind.shown) is not None:
            columns[kind.heading] = partial(_tokens_in, kind.shown)
    if report.with_list:
        columns["List cost"] = lambda row: list_cost(row, decimals)
        columns["Saved"] = lambda row: saved(row, decimals)
    columns["Cost"] = lambda row: cost(row, decimals)
    if report.with_billed:
        columns["Billed"] = lambda row: _billed(row, decimals)
    if report.has_widths:
        columns[_WIDTH] = lambda row: off(row, decimals)
    columns["Share"] = lambda row: percent(row["cost_usd"], total.get("cost_usd"))
    return columns


def _billed(row: Row, decimals: int) -> str:
    return numbers.UNKNOWN if row[BILLED] is None else dollars(row[BILLED], decimals)


def _note_on_billed(report: Report) -> str:
    total = report.total or {}
    if total.get(BILLED) is None:
        return "No bill in USD has these days."
    others = total[BILLED] - sum(row[BILLED] or 0 for row in report.rows)
    where = f"; {dollars(others, 2)} of it is in none of the rows" if abs(others) >= 0.005 else ""
    return (
        "Billed is all that AWS charges, a day or two late"
        f"{where}. `bedrock-usage reconcile` explains the difference."
    )


def _notes_on_values(key: str, rows: Sequence[Row]) -> Iterator[Text]:
    others = sum(row["distinct_values"] for row in rows if row["value_kind"] == "others")
    if others:
        named = sum(row["distinct_values"] for row in rows) - others
        yield plain(
            f"{key} has {named + others:,} values here, more than the {named:,} that cost most and"
            " are named: max_values under [metadata] allows more. A key with a value for each"
            " request is no dimension."
        )


def _tokens_in(column: str, row: Row) -> str:
    return tokens(row[column])


def notes(report: Report, *, has_widths: bool = True) -> Iterable[Text]:
    """Yield the sentences below the table: how much is known, and what the costs leave out.

    ``has_widths``: the table shows how far off a cost may be, where that is known.
    """
    total = report.total
    if total is None:
        return
    yield Text(numbers.coverage(total["calls_with_tokens"], total["calls"]))
    parts = token_parts(report.coverage)
    if report.kind == "coverage":
        if parts:
            yield Text(f"{parts}.")
        return
    if report.metadata_key:
        yield from _notes_on_values(report.metadata_key, report.rows)
    if report.shared:
        yield plain(report.shared)
    if report.with_billed:
        yield plain(_note_on_billed(report))
    if total["estimated_cost_usd"]:
        where = f" All of it is in (no {report.metadata_key})." if report.metadata_key else ""
        yield plain(
            f"{dollars(total['estimated_cost_usd'], 2)} of the cost is estimated: CloudWatch's"
            f" totals shared out among the calls without token data.{where}"
        )
    if parts:
        yield Text(f"{parts}.")
    if has_widths and report.has_widths:
        yield plain(
            f"{_WIDTH} is how far off a cost is at most in 9 of 10 cases, over a week or more;"
            " –: unknown."
        )
    if report.with_list and (unlisted := total["list_unpriced_tokens"] - total["unpriced_tokens"]):
        yield Text(
            f"{tokens(unlisted)} token{'' if unlisted == 1 else 's'} with a negotiated rate"
            " have no list price: the list cost leaves them out."
        )
    if left_out := missing(total):
        where = " (view unpriced_usage)" if report.without_price else ""
        yield Text(f"≥ marks a lower bound: {left_out}{where}.")
    if names := report.without_price:
        yield plain(f"No price for {some_of(names, _NAMES, '; ')}. {HOW_TO_PRICE}.")
    if report.capacity:
        yield Text(f"{report.capacity} (view capacity_hours).")
    if report.guardrails:
        yield Text(f"{report.guardrails} (view guardrail_usage).")
