"""The status of the warehouse: how far AWS was read, what is missing, what is provisional.

No query reads single calls, so each is fast however much is loaded. The coverage reads hours once
there are calibrations: a second for a million calls.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlite_utils import Database

from etl.warehouse.read.reports import Filters, guardrails, run_report

# UTC days of the recent coverage, today included.
RECENT_DAYS = 30

_FLAGS = ("is_history_complete",)


def read_status(db: Database, now: datetime) -> dict[str, Any]:
    """Return the parts of the status by name, each with the columns of its file in ``sql/reports``.

    ``streams``, ``gaps``, ``rereads`` (for the same days as the recent coverage), ``rejects``,
    ``accepted``, ``unpriced``, ``operations``, ``other_operations`` and ``input_forms`` are lists
    of rows; ``last_run`` is one row, None if nothing was ever synced; ``guardrails`` and
    ``provisional`` are one row; ``coverage`` is one row each for ``last_30_days`` and ``all``.
    """
    since = now.astimezone(UTC).date() - timedelta(days=RECENT_DAYS - 1)
    return {
        "streams": [_with_flags(row) for row in run_report(db, "status_streams", {})],
        "last_run": next(iter(run_report(db, "status_last_run", {})), None),
        "gaps": run_report(db, "status_gaps", {}),
        "rereads": run_report(db, "status_rereads", {"since": since.isoformat()}),
        "provisional": run_report(db, "status_provisional", {})[0],
        "rejects": run_report(db, "status_rejects", {}),
        "accepted": run_report(db, "status_accepted", {}),
        "unpriced": run_report(db, "status_unpriced", {}),
        "guardrails": guardrails(db, Filters()),
        "operations": run_report(db, "status_operations", {}),
        "other_operations": run_report(db, "status_other_operations", {}),
        "input_forms": run_report(db, "status_input_forms", {}),
        "coverage": {
            "last_30_days": _coverage(db, since.isoformat()),
            "all": _coverage(db, ""),
        },
    }


def _coverage(db: Database, since: str) -> dict[str, Any]:
    return run_report(db, "status_coverage", {"since": since})[0]


def _with_flags(row: dict[str, Any]) -> dict[str, Any]:
    known = {name: bool(row[name]) for name in _FLAGS if row[name] is not None}
    return row | known
