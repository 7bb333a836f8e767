"""A file of a user's own rates: every value is checked, and one wrong row refuses the file.

A mistake here costs money silently: a rate for a tier that no call uses, or for a misspelled model,
has no effect, and nothing reports it. So a row is refused, with its line number, if it would never
price a call, if it looks like a mistaken unit (a thousandth, or a hundred times the list price), or
if two rates would apply on one day. All problems of a file are reported, not only the first.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from difflib import get_close_matches
from itertools import groupby, pairwise
from pathlib import Path
from typing import NamedTuple

from etl.errors import DataError
from etl.normalise.model_ids import parse_model_id
from etl.normalise.token_kinds import PRICE_UNITS
from etl.warehouse.price_forms import read_csv, read_records

SCOPES = ("regional", "global")

# A list price is what AWS publishes, a negotiated rate what a contract says instead.
LIST, NEGOTIATED = CLASSES = ("list", "negotiated")

MAX_PROBLEMS = 20

# Up to this many known words are all listed.
_MAX_LISTED = 12

# A price list is a few hundred kB.
_MAX_BYTES = 20_000_000
_MAX_CHARACTERS = 1_000

# Two dollars an image, or a second of video, of which the list has some at $1.50; up to this rate,
# no sum of costs exceeds 64 bits.
MAX_RATE = 2 * 10**12

# The range of a rate that is not 0. In the list prices, tokens cost between $0.02 and $600 a
# million, an image $0.60 at most, and a second of video $1.50.
_TOKEN_RATES = (1_000, 10**10)
_OTHER_RATES = (10**6, MAX_RATE)

# A rate this many times above or below the list price is a wrong unit or missing zeros, not a
# discount (DECISIONS 106).
_MAX_TIMES = 100

# No context window is longer, and no long-context price begins lower.
_THRESHOLDS = (1_000, 100_000_000)

# The first day is before all Bedrock calls, as in the list prices; a price that begins more than
# this many years ahead is a mistake.
_FIRST_DAY, _MAX_YEARS = date(2023, 1, 1), 10

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_DECIMAL = re.compile(r"([0-9]{1,9})(?:\.([0-9]{1,6}))?", re.ASCII)


class PriceRow(NamedTuple):
    """A dated rate, in the order of the file's columns; ``usd_per_mtok`` in micro-dollars."""

    model_id: str
    region: str
    scope: str
    service_tier: str
    token_kind: str
    min_input_tokens: int
    usd_per_mtok: int
    effective_from: str
    effective_to: str | None
    source: str
    checked_on: str
    rate_class: str = LIST

    @property
    def use(self) -> tuple[object, ...]:
        """What can have only one rate on a day."""
        return (*self[:6], self.rate_class)


# The columns of our own price list, all of them list prices, and of a user's file.
COLUMNS = PriceRow._fields[:-1]
OWN_COLUMNS = (*COLUMNS, "rate_class")

# What a user's file may have instead of usd_per_mtok: dollars, as a decimal number.
_DOLLARS = "usd_per_million"
_OPTIONAL = ("effective_to", "rate_class")
_HEADING = tuple(column for column in COLUMNS if column != "usd_per_mtok")


@dataclass(frozen=True)
class KnownValues:
    """What a row may name, and the lowest and highest list price by (model, token kind)."""

    models: Collection[str]
    regions: Collection[str]
    tiers: Collection[str]
    list_rates: Mapping[tuple[str, str], tuple[int, int]]


class LineProblem(NamedTuple):
    """A problem of a line; line 0 is the file as a whole."""

    line: int
    text: str


def read_prices(
    file: Path,
    known: KnownValues,
    stored: Sequence[PriceRow],
    today: date,
    *,
    force_new: bool = False,
) -> list[PriceRow]:
    """Return the rows of a file. Raises DataError, with every problem, if any row is wrong.

    ``stored``: the user's rates so far. A new rate may replace one but not overlap it.
    ``force_new`` accepts unknown models.
    """
    rows: list[tuple[int, PriceRow]] = []
    problems: list[LineProblem] = []
    try:
        text = read_text(file)
        every = (*OWN_COLUMNS, _DOLLARS)
        for line, record in read_records(file, text, every, required=_HEADING):
            cells = _completed(record)
            wrong = list(_wrong(cells, known, today, force_new=force_new))
            problems += [LineProblem(line, text) for text in wrong]
            if not wrong:
                rows.append((line, parse_row(cells)))
    except DataError as error:
        problems.append(LineProblem(error.line, str(error)))
    if not rows and not problems:
        problems.append(LineProblem(0, "the file contains no rate"))
    problems += _overlaps(rows, stored)
    if problems:
        raise _refusal(file.name, sorted(problems))
    return [row for _, row in rows]


def read_text(file: Path) -> str:
    """Return the text of a whole file. Raises DataError."""
    if not file.is_file():
        raise DataError("not a regular file")
    try:
        with file.open("rb") as content:
            data = content.read(_MAX_BYTES + 1)
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}") from None
    if len(data) > _MAX_BYTES:
        raise DataError(f"larger than {_MAX_BYTES // 10**6} MB")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DataError("the encoding is UTF-16; save it in UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"not UTF-8 (line {line}); save it in UTF-8") from None


def parse_prices(text: str) -> Iterator[PriceRow]:
    """Yield the rows of our own price list."""
    for _, cells in read_csv(text, COLUMNS):
        yield parse_row(cells)


def parse_row(cells: Mapping[str, str]) -> PriceRow:
    """Return a row from checked cells by column. Raises ValueError if a number is malformed."""
    return PriceRow(
        **{
            **cells,
            "min_input_tokens": int(cells["min_input_tokens"]),
            "usd_per_mtok": int(cells["usd_per_mtok"]),
            "effective_to": cells["effective_to"] or None,
        }  # type: ignore[arg-type]
    )


def _completed(record: Mapping[str, str]) -> dict[str, str]:
    """Return all cells of a row; those that it lacks are empty."""
    cells = dict.fromkeys((*OWN_COLUMNS, _DOLLARS), "") | dict(record)
    cells["rate_class"] = cells["rate_class"] or NEGOTIATED
    return cells


def _wrong(
    cells: dict[str, str], known: KnownValues, today: date, *, force_new: bool
) -> Iterator[str]:
    """Yield every problem of a row."""
    for column, cell in cells.items():
        if not cell.isprintable() or len(cell) > _MAX_CHARACTERS:
            yield (
                f"{column} contains control characters, or is longer than {_MAX_CHARACTERS:,}"
                " characters"
            )
            return
    for problem in _wrong_form_of_rate(cells):
        yield problem
        return
    for column in COLUMNS:
        if not cells[column] and column not in _OPTIONAL:
            yield f"no {column}" + (f" or {_DOLLARS}" if column == "usd_per_mtok" else "")
            return
    yield from _wrong_model(cells["model_id"], known.models, force_new=force_new)
    if cells["region"] != "*":
        yield from _wrong_word("region", cells["region"], known.regions, "; * is any region")
    yield from _wrong_word("scope", cells["scope"], SCOPES)
    yield from _wrong_word("service_tier", cells["service_tier"], known.tiers)
    yield from _wrong_word("token_kind", cells["token_kind"], PRICE_UNITS)
    yield from _wrong_threshold(cells["min_input_tokens"])
    yield from _wrong_word("rate_class", cells["rate_class"], CLASSES)
    yield from _wrong_rate(cells, known)
    yield from _wrong_days(cells, today)


def _wrong_model(model: str, known: Collection[str], *, force_new: bool) -> Iterator[str]:
    names = parse_model_id(model)
    if names.canonical_model_id != model:
        # No call would look up a price under this id.
        yield (
            f"model_id {_shown(model)}: write it as {_shown(names.canonical_model_id)},"
            f" with scope {names.inference_scope}"
        )
    elif model not in known and not force_new:
        yield (
            f"model_id {_shown(model)} is in no price list and in no call"
            f"{_suggestion(model, known)}; if it is new, add --force-new"
        )


def _wrong_word(column: str, word: str, known: Collection[str], also: str = "") -> Iterator[str]:
    if word in known:
        return
    listed = sorted(known) if len(known) <= _MAX_LISTED else []
    choice = f": use one of {', '.join(listed)}" if listed else ""
    yield f"{column} {_shown(word)} is unknown{choice}{_suggestion(word, known)}{also}"


def _suggestion(word: str, known: Collection[str]) -> str:
    close = get_close_matches(word, sorted(known), n=1, cutoff=0.8)
    return f" (did you mean {_shown(close[0])}?)" if close else ""


def _wrong_threshold(text: str) -> Iterator[str]:
    number, (least, most) = _whole(text), _THRESHOLDS
    if number is None or (number != 0 and not least <= number <= most):
        yield (
            f"min_input_tokens {_shown(text)}: use 0, or a whole number of tokens from {least:,} to"
            f" {most:,}, such as 200000"
        )


def _wrong_form_of_rate(cells: dict[str, str]) -> Iterator[str]:
    """Yield what is wrong with usd_per_million; otherwise it becomes usd_per_mtok."""
    dollars = cells.pop(_DOLLARS)
    if not dollars:
        return
    if cells["usd_per_mtok"]:
        yield f"usd_per_mtok and {_DOLLARS}: keep one of them"
    elif found := _DECIMAL.fullmatch(dollars):
        cells["usd_per_mtok"] = str(int(found[1] + (found[2] or "").ljust(6, "0")))
    else:
        yield (
            f"{_DOLLARS} {_shown(dollars)} is not a number of dollars such as 3.30, with six"
            " decimals at most"
        )


def _wrong_rate(cells: Mapping[str, str], known: KnownValues) -> Iterator[str]:
    text, kind = cells["usd_per_mtok"], cells["token_kind"]
    rate, noun = _whole(text), PRICE_UNITS.get(kind, "tokens")
    least, most = _TOKEN_RATES if noun == "tokens" else _OTHER_RATES
    unit = f"micro-dollars per million {noun}: $3.30 is 3300000"
    if rate is None:
        yield f"usd_per_mtok {_shown(text)} is not a whole number of {unit}"
    elif rate and not least <= rate <= most:
        yield f"usd_per_mtok {rate} is ${rate / 10**6:,.7g} per million {noun}; the unit is {unit}"
    elif rate and (listed := known.list_rates.get((cells["model_id"], kind))):
        low, high = listed
        if rate * _MAX_TIMES <= low or (high and rate >= high * _MAX_TIMES):
            yield (
                f"usd_per_mtok {rate} is too far from the list price,"
                f" {low if rate < low else high}; the unit is {unit}"
            )


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 15 else None


def _wrong_days(cells: Mapping[str, str], today: date) -> Iterator[str]:
    days: dict[str, date] = {}
    for column in ("effective_from", "effective_to", "checked_on"):
        text = cells[column]
        day = _day(text)
        if day is not None:
            days[column] = day
        elif text:
            yield f"{column} {_shown(text)} is not a date such as 2026-01-31"
    start, end, checked = map(days.get, ("effective_from", "effective_to", "checked_on"))
    if start and start < _FIRST_DAY:
        yield f"effective_from {start} is before Bedrock existed; {_FIRST_DAY} means always"
    if start and start.year > today.year + _MAX_YEARS:
        yield f"effective_from {start} is more than {_MAX_YEARS} years ahead"
    if start and end and end <= start:
        yield (
            f"effective_to {end} must be after effective_from {start}: it is the first day on which"
            " the rate no longer applies"
        )
    # One day ahead is allowed: in the time zone of the file's author it may already be tomorrow.
    if checked and not _FIRST_DAY <= checked <= today + timedelta(days=1):
        yield (
            f"checked_on {checked} must be between {_FIRST_DAY} and today: the day on which the"
            " price was looked up"
        )


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if _DAY.fullmatch(text) else None
    except ValueError:
        return None


def _overlaps(
    rows: Iterable[tuple[int, PriceRow]], stored: Iterable[PriceRow]
) -> Iterator[LineProblem]:
    """Find rates that apply on a day for which another rate already applies."""
    rows = list(rows)
    replaced = {(row.use, row.effective_from) for _, row in rows}
    kept = [(0, row) for row in stored if (row.use, row.effective_from) not in replaced]

    def order(numbered: tuple[int, PriceRow]) -> tuple[object, ...]:
        return (*numbered[1].use, numbered[1].effective_from, numbered[0])

    # Rates for the same use, new and stored ones together, in the order of their first days.
    for _, same in groupby(sorted([*rows, *kept], key=order), key=lambda one: one[1].use):
        for (first, one), (second, other) in pairwise(same):
            if one.effective_to is not None and one.effective_to <= other.effective_from:
                continue
            if not first and not second:
                continue  # both were stored before
            line, before = (second, first) if second else (first, second)
            where = f"line {before}" if before else "a rate imported earlier"
            start = one.effective_from if line == second else other.effective_from
            yield LineProblem(
                line,
                f"overlaps {where} (effective from {start}) for the same use: set effective_to, the"
                " day after the last, so that only one rate applies on each day",
            )


def _refusal(name: str, problems: Sequence[LineProblem]) -> DataError:
    lines = [f"line {line}: {text}" if line else text for line, text in problems]
    if len(lines) == 1:
        place = f"{name}, " if problems[0].line else f"{name}: "
        return DataError(f"{place}{lines[0]}. Nothing was imported")
    shown = lines[:MAX_PROBLEMS]
    if len(lines) > len(shown):
        shown.append(f"and {len(lines) - len(shown):,} more")
    return DataError(f"{name}: {len(lines):,} problems. Nothing was imported", shown)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:77]}...")
