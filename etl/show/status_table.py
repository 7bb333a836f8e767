"""The status of a warehouse for people: its streams by account, then facts, a heading each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from etl.show.numbers import (
    HOW_TO_PRICE,
    UNKNOWN,
    Row,
    count,
    coverage,
    guardrails,
    number,
    span,
    token_parts,
)
from etl.show.status import NEVER_SYNCED, WarehouseStatus
from etl.show.tables import bare_table
from etl.show.terminal import plain

# With more streams than this, equal ones are grouped; and the most lines of a list.
_STREAMS_SHOWN = 12
_LINES_SHOWN = 5

_UNREAD = ("unread_from", "unread_to")


def print_table(status: WarehouseStatus, console: Console) -> None:
    """Print the status for people, within the width of the console."""
    console.print(Text(f"\nStatus at {_minute(status.checked_at)} UTC", style="bold"))
    if not status.streams:
        console.print(Text(f"\n{NEVER_SYNCED}\n"))
    for account in _accounts(status):
        console.print(plain(f"Account {account}"))
        console.print(_fitting_table(status, account, console))
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, style="bold")
    grid.add_column(overflow="fold")
    for heading, text in _facts(status):
        grid.add_row(heading, text)
    console.print(grid)


def _accounts(status: WarehouseStatus) -> list[str]:
    return list(dict.fromkeys(stream["account_id"] for stream in status.streams))


@dataclass(frozen=True)
class _Line:
    """A line of an account's table: streams of one source with equal values."""

    streams: list[Row]
    cells: tuple[str, ...]
    is_stale: bool

    @property
    def region(self) -> Text:
        first, *others = (stream["region"] for stream in self.streams)
        return plain(f"{first} + {len(others)} more" if others else first)


def _fitting_table(status: WarehouseStatus, account: str, console: Console) -> Table:
    table = _streams_table(status, account, has_moment=True)
    unlimited = console.options.update(width=1000)
    if table.__rich_measure__(console, unlimited).maximum <= console.width:
        return table
    # The lag says the same, and matters more.
    return _streams_table(status, account, has_moment=False)


def _streams_table(status: WarehouseStatus, account: str, *, has_moment: bool) -> Table:
    table = bare_table()
    table.add_column("Source", no_wrap=True)
    # The same width in every account's table, so that the columns align.
    longest = max(len(stream["region"]) for stream in status.streams)
    table.add_column("Region", overflow="fold", min_width=min(longest, 14))
    for heading in (*(["Complete to"] if has_moment else []), "Lag", "Read", "History"):
        table.add_column(heading, justify="right", no_wrap=True, min_width=9)
    for heading in ("Late", "Gaps"):
        table.add_column(heading, justify="right", no_wrap=True)
    for line in _lines(status, account):
        cells = line.cells if has_moment else line.cells[1:]
        style = "red" if line.is_stale else None
        table.add_row(plain(line.streams[0]["source"]), line.region, *cells, style=style)
    return table


def _lines(status: WarehouseStatus, account: str) -> list[_Line]:
    lines: dict[Any, _Line] = {}
    are_many = len(status.streams) > _STREAMS_SHOWN
    for stream in (one for one in status.streams if one["account_id"] == account):
        cells, is_stale = _cells(status, stream), status.is_stale(stream)
        # A stream with an error gets its own line.
        is_alike = are_many and not stream["error"]
        key = (stream["source"], cells, is_stale) if is_alike else stream["stream"]
        lines.setdefault(key, _Line([], cells, is_stale)).streams.append(stream)
    return list(lines.values())


def _cells(status: WarehouseStatus, stream: Row) -> tuple[str, ...]:
    read, lag = status.since(stream["read_at"]), status.since(stream["watermark"])
    watermark = stream["watermark"]
    return (
        _minute(datetime.fromisoformat(watermark)) if watermark else UNKNOWN,
        UNKNOWN if lag is None else span(lag),
        "never" if read is None else f"{span(read)} ago",
        _history(stream),
        number(stream["late_events"]),
        number(stream["gap_count"]),
    )


def _history(stream: Row) -> str:
    if stream["is_history_complete"] is None:
        return UNKNOWN
    left = timedelta(days=stream["history_left_days"])
    return "complete" if stream["is_history_complete"] else f"{span(left)} left"


def _facts(status: WarehouseStatus) -> Iterator[tuple[str, Text]]:
    """Yield the lines below the table: a heading and a text."""
    errors = [_error(status, stream) for stream in status.streams if stream["error"]]
    yield from _list("Errors", errors)
    if status.last_run:
        yield "Last run", _run(status, status.last_run)
    yield from _list("Gaps", [_gap(gap) for gap in status.gaps])
    yield from _list("Late", list(_late(status.rereads)))
    yield from _list("Not read again", [_unread(row) for row in status.rereads if row["unread_to"]])
    if status.provisional["hour_count"]:
        yield "Provisional", _provisional(status.provisional)
    refused = [row for row in status.rejects if row["is_refused"]]
    yield from _list("Refused", [_refused(row) for row in refused], _until(refused))
    rejects = [row for row in status.rejects if not row["is_refused"]]
    yield from _list("Rejected", [_reject(row) for row in rejects], _total(rejects))
    yield from _list("Accepted", [_accepted(row) for row in status.accepted])
    yield from _list("Unpriced", _unpriced(status.unpriced))
    if status.unpriced:
        yield "", Text(HOW_TO_PRICE)
    if words := guardrails(status.guardrails, "any cost"):
        yield "Guardrails", Text(f"{words} (view guardrail_usage)")
    yield from _list("Not known yet", [_operation(row) for row in status.operations])
    if status.other_operations:
        yield "No calls", _other_operations(status.other_operations)
    yield from _list("Input", list(_input_forms(status.input_forms)))
    recent, everything = status.coverage["last_30_days"], status.coverage["all"]
    yield from _list("Loaded", _loaded(everything))
    if recent != everything:
        yield from _list("Last 30 days", _covered(recent))


def _list(
    heading: str, lines: Sequence[Text], first: Text | None = None
) -> Iterator[tuple[str, Text]]:
    """Yield the lines, the first with the heading; nothing without lines."""
    shown = [*([first] if first and lines else []), *lines[:_LINES_SHOWN]]
    if len(lines) > _LINES_SHOWN:
        shown.append(Text(f"and {len(lines) - _LINES_SHOWN:,} more: see --format json"))
    for index, line in enumerate(shown):
        yield ("" if index else heading), line


def _error(status: WarehouseStatus, stream: Row) -> Text:
    age = status.since(stream["error_at"])
    ago = f" {span(age)} ago" if age is not None else ""
    return plain(f"{stream['stream']}{ago}: {stream['error']}")


def _run(status: WarehouseStatus, run: Row) -> Text:
    started = status.since(run["started_at"])
    began = f"began {span(started)} ago" if started is not None else ""
    if run["outcome"] is None:
        return plain(
            f"{began} and has not ended: it is running (process {run['pid']} on {run['host']}) or"
            " was killed; the next run continues from there"
        )
    took = span(timedelta(seconds=run["duration_seconds"]))
    text = f"{began}, took {took}, {run['outcome']}: {count(run['calls_new'], 'new call')}"
    # What it could not read is listed under Errors, stream by stream.
    return plain(f"{text}, {count(run['metric_values'], 'CloudWatch value')}")


def _gap(gap: Row) -> Text:
    start, end = (_minute(datetime.fromisoformat(gap[name])) for name in ("gap_start", "gap_end"))
    return plain(f"{gap['stream']} {start} to {end} UTC: {gap['reason']}")


def _late(rereads: Sequence[Row]) -> Iterator[Text]:
    """Yield what was found by reading the last days again."""
    for row in rereads:
        if row["late_events"]:
            times = count(row["rereads"], "time")
            yield plain(
                f"{row['stream']}: {count(row['late_events'], 'event')}, up to"
                f" {row['most_late_hours']:,} hours late; the last days were read again {times}"
            )


def _unread(row: Row) -> Text:
    start, end = (_minute(datetime.fromisoformat(row[name])) for name in _UNREAD)
    return plain(
        f"{row['stream']} {start} to {end} UTC: not reached in {count(row['requests'], 'request')},"
        " or too old for AWS by now; late events in it are missing"
    )


def _provisional(row: Row) -> Text:
    first = _minute(datetime.fromisoformat(row["first_hour"]))
    hours = count(row["hour_count"], "hour")
    return Text(f"{hours} from {first} UTC on: CloudWatch may still change its totals")


def _total(rejects: Sequence[Row]) -> Text:
    total = sum(row["reject_count"] for row in rejects)
    return Text(f"{count(total, 'record')} (table rejects)")


def _reject(row: Row) -> Text:
    return plain(f"{row['reject_count']:,} x {row['file']}: {row['reason']}")


def _until(refused: Sequence[Row]) -> Text:
    files = len({row["file"] for row in refused})
    return Text(
        f"{count(files, 'file')}: every load says so until they change, or `bedrock-usage load"
        " --accept PATH`"
    )


def _refused(row: Row) -> Text:
    return plain(f"{row['file']}: {row['reason']}")


def _accepted(row: Row) -> Text:
    rejects = count(row["reject_count"], "reject")
    return plain(f"{row['file']} on {row['accepted_on']}, with {rejects}")


def _unpriced(rows: Sequence[Row]) -> list[Text]:
    models: dict[str, list[Row]] = {}
    for row in rows:
        models.setdefault(row["model_id"], []).append(row)
    return [
        plain(
            f"{model}{_reason(one)}: {count(sum(row['unpriced_calls'] for row in one), 'call')},"
            f" {count(sum(row['unpriced_tokens'] for row in one), 'token')}"
            f" in {', '.join(sorted({row['region'] for row in one}))}"
        )
        for model, one in models.items()
    ]


def _reason(rows: Sequence[Row]) -> str:
    reasons = {row["reason"] for row in rows} - {"no price"}
    return f" ({', '.join(reasons)}, billed by the hour)" if reasons else ""


def _input_forms(rows: Sequence[Row]) -> Iterator[Text]:
    """Yield where cached tokens may be charged twice, and where reports contradict themselves."""
    for row in rows:
        whose = f"{row['model_id']}, by {row['token_source']}"
        if row["cached_tokens"]:
            calls = row["calls"]
            which = f"of {count(calls, 'call')}" if calls else "that fits no loaded call"
            yield plain(
                f"{whose}: the input {which} may contain {'their' if calls else 'its'} cached"
                f" tokens, so up to {number(row['cached_tokens'])} may be charged twice"
            )
        if row["input_contradictions"]:
            calls = count(row["input_contradictions"], "call")
            yield plain(f"{whose}: {calls} with more cached tokens than input, which has them")


def _operation(row: Row) -> Text:
    events = count(row["event_count"], "event")
    return plain(
        f"{row['event_name']} ({row['event_source']}): {events}, not counted as calls; a newer"
        " version may know it"
    )


def _other_operations(rows: Sequence[Row]) -> Text:
    shown = ", ".join(f"{row['event_count']:,} {row['event_name']}" for row in rows[:_LINES_SHOWN])
    more = len(rows) - _LINES_SHOWN
    rest = f" and {count(more, 'other operation')}" if more > 0 else ""
    return plain(f"{shown}{rest} (view other_operations)")


def _loaded(row: Row) -> list[Text]:
    if row["first_day"] is None:
        return [Text("nothing")]
    days = f"{row['first_day']} to {row['last_day']} UTC"
    return [Text(days), *_covered(row)]


def _covered(row: Row) -> list[Text]:
    calls, parts = coverage(row["calls_with_tokens"], row["calls"]), token_parts(row)
    return [Text(calls), *([Text(parts)] if parts else [])]


def _minute(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M")
