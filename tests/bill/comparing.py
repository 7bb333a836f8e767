"""A history of calls, the bill of it, and the reasons for which both differ."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from sqlite_utils import Database

from tests.bill.exports import ACCOUNT, HAIKU, NOVA, Line, Model, principal, usage, write_export
from tests.support import load, logged, rows, write_invocation_log

DAYS = ("2026-10-03", "2026-10-04", "2026-10-30", "2026-10-31")
LATER = datetime(2026, 11, 20, tzinfo=UTC)
PICO = 10**12
MILLION = 1_000_000


class Used(NamedTuple):
    """What one user used of a model on a day, by kind of token."""

    day: str
    user: str
    model: Model
    tokens: dict[str, int]


HISTORY = [
    Used(day, user, model, {"input": 3 * MILLION, "output": MILLION})
    for day in DAYS
    for user in ("alice", "bob")
    for model in (NOVA, HAIKU)
]


def log_of(used: Iterable[Used], path: Path, first: int = 1, account: str = ACCOUNT) -> Path:
    return write_invocation_log(
        path / "calls.json",
        [
            logged(
                number,
                user=one.user,
                accountId=account,
                tokens=(one.tokens["input"], one.tokens["output"]),
                modelId=one.model.model_id,
                timestamp=f"{one.day}T10:14:58Z",
            )
            for number, one in enumerate(used, first)
        ],
    )


def bill_of(used: Iterable[Used], **fields: Any) -> list[Line]:
    """Return the bill of this use, without any difference."""
    named = {"principal": None} if "principal" in fields else {}
    return [
        usage(
            one.model,
            kind,
            tokens,
            one.day,
            **({"principal": principal(one.user)} | fields | named),
        )
        for one in used
        for kind, tokens in one.tokens.items()
    ]


def load_both(db: Database, path: Path, bill: list[Line], used: list[Used] = HISTORY) -> None:
    load(db, log_of(used, path))
    write_export(path, bill, form="csv.gz")
    assert load(db, path / "exports", now=LATER).is_complete


def reasons(db: Database) -> dict[str, int]:
    """Return the amount of each reason, after checking that they add up to the difference."""
    found = rows(db, "select reason, sum(difference_picodollars) from bill_differences group by 1")
    (billed,) = rows(db, "select coalesce(sum(cost_pico), 0) from bill_lines")[0]
    covered = "select account_key from int_bill_covered"
    (ours,) = rows(
        db,
        "select coalesce(sum(cost_picodollars), 0) from priced_daily"
        f" where account_key in ({covered})",
    )[0]
    assert sum(amount for _, amount in found) == billed - ours
    return {reason: amount for reason, amount in found if amount}
