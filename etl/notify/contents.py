"""What messages say, by their topic.

A message is written when it is sent, from what is recorded of it: the crossings of budgets, or the
day or week of a digest. So names that were forgotten meanwhile are in none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

from sqlite_utils import Database

from etl.normalise.identity import UNATTRIBUTED
from etl.notify.document import Document, Link, Listing, Paragraph
from etl.show import numbers
from etl.show.budgets import (
    cost,
    is_exceeded,
    microdollars,
    most_of_each,
    what_happened,
    whose,
)
from etl.show.numbers import Row, count, dollars
from etl.show.unusual import UNUSUAL
from etl.warehouse.alerts import ANOMALIES, alerts_of
from etl.warehouse.forecasts import covered_days
from etl.warehouse.messages import Delivery
from etl.warehouse.read.budgets import (
    BUDGETS,
    CANNOT_BE_JUDGED,
    EXCEEDED,
    FORECAST,
    OK,
    WARNING,
    budget_states,
    crossings_of,
)
from etl.warehouse.read.reports import Filters, movers, usage

DIGEST, TEST = "digest", "test"

_MOST_ROWS = 20
_MOST_CHANGES = 10
_MOST_NAMES = 5

# The parts of a difference, as the view movers cuts it.
_CAUSES = {"volume": "calls", "size": "tokens a call", "mix": "mix", "price": "prices"}


class Period(NamedTuple):
    """The day or week of a digest; both days are included."""

    word: str
    first: date
    last: date

    @property
    def subject(self) -> str:
        """How the warehouse names it: no two digests have the same."""
        return f"{self.word} {self.first}"

    @property
    def latest_send(self) -> datetime:
        """When its digest is sent even if not all of it is read: half a day after its end."""
        return datetime.combine(self.last, time(), UTC) + timedelta(days=1, hours=12)

    @property
    def before(self) -> Period:
        """The period before."""
        length = self.last - self.first + timedelta(days=1)
        return Period(self.word, self.first - length, self.last - length)

    def __str__(self) -> str:
        """Return it in words."""
        return str(self.first) if self.word == "day" else f"{self.first} to {self.last}"


def last_period(word: str, today: date) -> Period:
    """Return the last day, or week from Monday to Sunday, that is over."""
    if word == "day":
        day = today - timedelta(days=1)
        return Period(word, day, day)
    monday = today - timedelta(days=today.weekday() + 7)
    return Period(word, monday, monday + timedelta(days=6))


def period_of(subject: str) -> Period:
    """Return the period that a digest's subject names."""
    word, day = subject.split(" ")
    first = date.fromisoformat(day)
    return Period(word, first, first + timedelta(days=6 if word == "week" else 0))


def document_of(db: Database, one: Delivery, url: str | None, now: datetime) -> Document:
    """Return what a message says; ``url``: the address of the pages, None if there is none."""
    return _WRITERS[one.topic](db, one, url, now)


def _link(url: str | None, path: str, text: str) -> list[Link]:
    return [Link(text, f"{url.rstrip('/')}{path}")] if url else []


def _of_budgets(db: Database, one: Delivery, url: str | None, now: datetime) -> Document:
    rows = most_of_each(crossings_of(db, one.message_key))
    title = _budget_title(rows)
    listing = Listing(
        "Budgets",
        ("Budget", "State", "Cost", "Amount", "Period"),
        [_crossing_cells(row) for row in rows[:_MOST_ROWS]],
        max(0, len(rows) - _MOST_ROWS),
    )
    blocks: list[Paragraph | Listing | Link] = [listing]
    blocks.append(Paragraph(f"Seen at {one.created_at}. `bedrock-usage budgets` shows all."))
    return Document(title, [*blocks, *_link(url, "/budgets", "Budgets")], is_warning=True)


def _budget_title(rows: Sequence[Row]) -> str:
    if not rows:
        return "Budgets: nothing is left to tell"
    if len(rows) == 1:
        return f"Budget {whose(rows[0])}: {what_happened(rows[0])}"
    exceeded = sum(map(is_exceeded, rows))
    which = f"{exceeded:,} exceeded" if exceeded else what_happened(rows[0])
    return f"Budgets: {count(len(rows), 'state')} changed, {which}"


def _crossing_cells(row: Row) -> tuple[str, ...]:
    period = numbers.period(row["period_start"], row["period_end"])
    cost = microdollars(row["cost_microdollars"])
    shown = f"{cost} expected" if row["kind"] == FORECAST else cost
    return (whose(row), what_happened(row), shown, microdollars(row["amount_microdollars"]), period)


def _of_anomalies(db: Database, one: Delivery, url: str | None, now: datetime) -> Document:
    blocks: list[Paragraph | Listing | Link] = []
    found = alerts_of(db, one.message_key)
    for view, rows in found.items():
        title, headings, cells = UNUSUAL[view]
        shown = [cells(row) for row in rows[:_MOST_ROWS]]
        blocks.append(Listing(title, headings, shown, max(0, len(rows) - _MOST_ROWS)))
    total = sum(map(len, found.values()))
    is_grave = bool(found.get("suspicious_errors"))
    title = f"Unusual use of Amazon Bedrock: {count(total, 'finding')}"
    if is_grave:
        title += ", some like those with stolen keys"
    blocks.append(Paragraph(f"Seen at {one.created_at}. docs/watch.md says how each is found."))
    return Document(title, [*blocks, *_link(url, "/", "Dashboard")], is_warning=True)


def _of_digest(db: Database, one: Delivery, url: str | None, now: datetime) -> Document:
    return digest(db, period_of(one.subject), url, now)


def digest(db: Database, period: Period, url: str | None, now: datetime) -> Document:
    """Return the digest of a period: what was spent, what changed, what is not certain."""
    total, before = (_total(db, each) for each in (period, period.before))
    spent = _spent(total)
    blocks: list[Paragraph | Listing | Link] = [Paragraph(_total_in_words(period, total, before))]
    changes = [
        listing
        for heading, by in (("Applications", "application"), ("Teams", "team"), ("Users", "user"))
        for listing in _changes(db, period, heading, by)
    ]
    if not is_read(db, period):
        blocks.append(Paragraph(f"Not all of {period} is read: there may be more."))
    blocks += _budgets(db, now)
    blocks += changes
    blocks += [Paragraph(line) for line in _uncertain(db, period, total)]
    link = f"/?from={period.first}&to={period.last}"
    title = f"Amazon Bedrock, {period}: {spent}"
    return Document(title, [*blocks, *_link(url, link, "Dashboard")])


def is_read(db: Database, period: Period) -> bool:
    """Return whether all days of a period are over and their usage is loaded, as far as any is."""
    days = covered_days(db)
    if not days or period.last > days[-1]:
        return False
    first = max(period.first, days[0])
    return all(
        first + timedelta(days=number) in days for number in range((period.last - first).days + 1)
    )


def _filters(period: Period) -> Filters:
    return Filters(since=period.first.isoformat(), until=period.last.isoformat())


def _total(db: Database, period: Period) -> Row | None:
    rows = usage(db, _filters(period))
    return rows[0] if rows and rows[0]["calls"] is not None else None


def _spent(total: Row | None) -> str:
    return numbers.cost(total, 2) if total else "no usage"


def _total_in_words(period: Period, total: Row | None, before: Row | None) -> str:
    text = f"Spent on Amazon Bedrock, {period} (UTC): {_spent(total)}"
    if total:
        text += f", {count(total['calls'], 'call')}"
    the_before = f"the {period.word} before"
    if before is None:
        return f"{text}. There is no usage in {the_before}."
    return f"{text}. In {the_before} it was {_spent(before)}{_share(total, before)}."


def _share(total: Row | None, before: Row) -> str:
    now, then = (total or {}).get("cost_usd"), before["cost_usd"]
    return f" ({(now - then) / then:+.1%})" if now is not None and then else ""


def _changes(db: Database, period: Period, heading: str, by: str) -> list[Listing]:
    """Return the names that changed most, and why; nothing where the days are not over."""
    rows = movers(db, _filters(period), by=by, against=period.before.first.isoformat())
    if not rows:
        return []
    cells = [
        (
            row["name"] + ("" if row["change"] == "changed" else f" ({row['change']})"),
            ("≥ " if row["is_lower_bound"] else "") + dollars(row["cost_after_usd"], 2),
            numbers.change(row["difference_usd"], 2),
            _causes(row),
        )
        for row in rows[:_MOST_CHANGES]
    ]
    columns = (heading[:-1], "Cost", "Change", "By")
    return [Listing(heading, columns, cells, max(0, len(rows) - _MOST_CHANGES))]


def _causes(row: Row) -> str:
    """Return what the difference consists of, the largest part first."""
    parts = [(row[f"{cause}_usd"], words) for cause, words in _CAUSES.items()]
    return ", ".join(
        f"{words} {numbers.change(amount, 2)}"
        for amount, words in sorted(parts, key=lambda part: -abs(part[0]))
        if abs(amount) >= 0.005
    )


def _budgets(db: Database, now: datetime) -> list[Paragraph | Listing]:
    states = [state for state in budget_states(db, now) if state["is_current"]]
    if not states:
        return []
    order = (EXCEEDED, CANNOT_BE_JUDGED, WARNING)
    told = sorted(
        (state for state in states if state["state"] != OK),
        key=lambda state: (order.index(state["state"]), -(state["used_percent"] or 0)),
    )
    if not told:
        return [Paragraph(f"Budgets: all {len(states):,} are ok.")]
    rows = [
        (
            whose(state),
            state["state"] + (f": {state['reason']}" if state["reason"] else ""),
            cost(state),
            dollars(state["amount_usd"], 2),
        )
        for state in told[:_MOST_ROWS]
    ]
    fine = len(states) - len(told)
    listing = Listing(
        "Budgets", ("Budget", "State", "Cost", "Amount"), rows, max(0, len(told) - _MOST_ROWS)
    )
    return [listing, Paragraph(f"{count(fine, 'other budget')} ok.")] if fine else [listing]


def _uncertain(db: Database, period: Period, total: Row | None) -> list[str]:
    """Say what the figures leave out, and what nobody is charged for."""
    if total is None:
        return []
    lines = []
    if lacks := numbers.missing(total):
        lines.append(f"The cost is a lower bound: {lacks}.")
    if total["unpriced_calls"] or total["unpriced_tokens"]:
        names = numbers.without_price(usage(db, _filters(period), by=["model_id", "region"]))
        lines.append(f"No price for {numbers.some_of(names, _MOST_NAMES, '; ')}.")
    lines += [
        f"{_unattributed(row)} unattributed: no known call accounts for the usage."
        for row in usage(db, _filters(period), by=["application"])
        if row["application"] == UNATTRIBUTED and (row["cost_usd"] or row["unpriced_tokens"])
    ]
    if total["estimated_cost_usd"]:
        lines.append(f"{dollars(total['estimated_cost_usd'], 2)} of the cost is estimated.")
    return lines


def _unattributed(row: Row) -> str:
    if row["cost_usd"] is not None:
        return f"{numbers.cost(row, 2)} is"
    return f"{numbers.tokens(row['unpriced_tokens'])} tokens without a price are"


def _of_test(db: Database, one: Delivery, url: str | None, now: datetime) -> Document:
    text = (
        "This is a test: messages of bedrock-usage arrive here. It tells of budgets whose"
        " thresholds are reached, and sends digests."
    )
    return Document("bedrock-usage: test message", [Paragraph(text), *_link(url, "/", "Dashboard")])


_Writer = Callable[[Database, Delivery, str | None, datetime], Document]

_WRITERS: Mapping[str, _Writer] = {
    ANOMALIES: _of_anomalies,
    BUDGETS: _of_budgets,
    DIGEST: _of_digest,
    TEST: _of_test,
}
