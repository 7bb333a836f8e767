"""What an exported file has, and what it lacks, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from etl.show.escaping import harmless
from etl.show.numbers import count, dollars, some_of

_MOST_STREAMS = 3


def describe(name: str, manifest: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line about a file, and one for each thing that it may lack."""
    month, cost = manifest["month"], _cost(manifest["totals"])
    bound = "≥ " if manifest["is_lower_bound"] else ""
    amount = "" if cost is None else f", {bound}{dollars(float(cost), 2)}"
    yield f"{name}: {count(manifest['rows'], 'row')}{amount}"
    if without := manifest.get("days_without_usage"):
        yield f"{month} has no usage on {_days(without)}"
    if not manifest["is_month_over"]:
        yield f"{month} is not over"
    reasons: dict[str, set[str]] = {}
    for gap in manifest.get("gaps", ()):
        reasons.setdefault(gap["reason"], set()).add(gap["stream"])
    for reason, streams in sorted(reasons.items()):
        some = some_of(sorted(streams), _MOST_STREAMS)
        yield harmless(
            f"{month} lacks a part of {some} ({reason}): `bedrock-usage status` shows more"
        )


def _cost(totals: Mapping[str, Any]) -> Any:
    return totals.get("cost_usd", totals.get("BilledCost"))


def _days(days: Sequence[str]) -> str:
    """Return days of a month in words: 2026-10-01 to 03, 07."""
    numbers = [int(day[8:]) for day in days]
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    words = [f"{run[0]:02}" if len(run) == 1 else f"{run[0]:02} to {run[-1]:02}" for run in runs]
    return ", ".join(words)
