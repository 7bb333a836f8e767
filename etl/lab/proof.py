"""The result of comparing a run with the warehouse, and whether it proves anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from etl.lab.forms import SeenForm
from etl.lab.sent_calls import Entry
from etl.show.escaping import json_text

MATCHES, DIFFERS, NOT_FOUND, REFUSED, UNKNOWN = (
    *("matches", "differs", "not found"),
    *("refused", "unknown"),
)
STATUSES = (MATCHES, DIFFERS, NOT_FOUND, REFUSED, UNKNOWN)


class Difference(NamedTuple):
    """A field that the warehouse shows differently; None is unknown."""

    field: str
    expected: Any
    found: Any


@dataclass(frozen=True)
class ComparedCall:
    """The result of comparing a call. ``notes``: what could not be compared, and why."""

    entry: Entry
    status: str
    differences: tuple[Difference, ...] = ()
    notes: tuple[str, ...] = ()
    lacks_tokens: bool = False

    @property
    def is_found(self) -> bool:
        """Whether there is nothing to wait for: a refused call need not be there."""
        return self.status != NOT_FOUND

    @property
    def is_in_part(self) -> bool:
        """Whether it matches, but not every field could be compared."""
        return self.status == MATCHES and bool(self.notes)


def is_proved(checked: Sequence[ComparedCall]) -> bool:
    """Return whether there was something to compare and all of it agrees."""
    statuses = {one.status for one in checked}
    return MATCHES in statuses and not statuses & {DIFFERS, NOT_FOUND}


def summary(checked: Sequence[ComparedCall]) -> str:
    """Count the calls by result: 20 matches, 1 not found."""
    counts = Counter(one.status for one in checked)
    in_part = sum(one.is_in_part for one in checked)
    more = {MATCHES: f" ({in_part} of them without tokens or cost)"} if in_part else {}
    return ", ".join(
        f"{counts[status]} {status}{more.get(status, '')}" for status in STATUSES if counts[status]
    )


def to_json(checked: Sequence[ComparedCall], forms: Sequence[SeenForm] = ()) -> str:
    """Return the comparison, and what it shows of input forms, as one JSON object."""
    counts = Counter(one.status for one in checked)
    answer = {
        "is_proved": is_proved(checked),
        "counts": {status: counts[status] for status in STATUSES},
        "matches_in_part": sum(one.is_in_part for one in checked),
        "calls": [_call(one) for one in checked],
        "input_forms": [form._asdict() for form in forms],
    }
    return json_text(answer)


def _call(one: ComparedCall) -> dict[str, Any]:
    entry = one.entry
    return {
        "run_id": entry.run_id,
        "call": entry.call,
        "attempt": entry.attempt,
        "scenario": entry.scenario,
        "request_id": entry.request_id,
        "region": entry.region,
        "model_id": entry.model_id,
        "operation": entry.operation,
        "status": one.status,
        "differences": [difference._asdict() for difference in one.differences],
        "notes": list(one.notes),
    }
