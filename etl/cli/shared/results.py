"""What a load or a sync did, in lines of text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from etl.load.run import LoadResult
from etl.show.escaping import harmless
from etl.show.numbers import count, some_of
from etl.warehouse.write.batch import Written
from etl.warehouse.write.bills import BillsWritten

if TYPE_CHECKING:
    # A load does not wait for what only a sync needs.
    from etl.sync.run import SyncOutcome

_OPERATIONS_SHOWN = 5
_WHERE_REJECTED = " (see table rejects for where and why)"


def load_lines(result: LoadResult) -> Iterator[str]:
    """Yield the result of a load; what did not occur is left out, unless it is the main thing."""
    written = result.written
    yield _line("Files", f"{result.files:,}{_also(result.files_unchanged, 'read before')}")
    yield _line("Events read", f"{result.events_read:,}")
    yield _line("Bedrock calls", f"{_new_calls(written)}, {written.calls_known:,} already known")
    if written.calls_too_old:
        yield _line("Too old", f"{written.calls_too_old:,} skipped: they were dropped by vacuum")
    if written.calls_logged:
        yield _line("Invocation logs", f"{written.calls_logged:,} matched known calls")
    pending = _also(written.tokens_pending, "waiting for their call")
    yield _line("Tokens attached", f"{written.tokens_attached:,} from service events{pending}")
    yield from _team_lines(written)
    unknown = _also(
        written.operations_unknown, "of them not known yet (see `bedrock-usage status`)"
    )
    skipped = result.events_skipped - written.sessions
    yield _line("Other events", f"{skipped:,} skipped{unknown}")
    if written.operations:
        named = _named(written.operations)
        yield _line("Other operations", f"{named} (of Bedrock, no calls)")
    left_out = _also(result.metrics_skipped, "of other metrics skipped")
    yield _line("CloudWatch values", f"{written.metric_values:,} new or changed{left_out}")
    yield _line("Profiles", f"{written.profiles:,} new or changed")
    yield from _bill_lines(written.bills)
    yield _line("Rejected", f"{result.rejected:,}{_WHERE_REJECTED if result.rejected else ''}")
    if result.files_refused:
        yield _line(
            "Refused",
            f"{count(result.files_refused, 'file')}: every load says so until they change, or"
            " `bedrock-usage load --accept PATH`",
        )
    if result.files_accepted:
        files = count(result.files_accepted, "file")
        yield _line("Accepted", f"{files}: reported again only after a change")


def sync_lines(outcome: SyncOutcome) -> Iterator[str]:
    """Yield the result of a sync, and what is left to do."""
    written = outcome.written
    catalogued = written.profiles + written.renewed["foundation_models"]
    yield _line("Bedrock calls", _new_calls(written))
    yield _line("CloudWatch values", f"{written.metric_values:,} new or changed")
    yield _line("Profiles, models", f"{catalogued:,} new or changed")
    yield from _team_lines(written)
    yield from _bill_lines(written.bills)
    if written.events_archived:
        yield _line("Archived", count(written.events_archived, "event"))
    if written.late_events:
        yield _line("Late", f"{written.late_events:,} arrived after the settle time")
    if outcome.rejected:
        yield _line("Rejected", f"{outcome.rejected:,}{_WHERE_REJECTED}")
    for message in outcome.messages:
        yield _line("Not read", message)


def _line(label: str, text: str) -> str:
    return harmless(f"{label:<17} {text}")


def _also(number: int, text: str) -> str:
    return f", {number:,} {text}" if number > 0 else ""


def _new_calls(written: Written) -> str:
    return f"{written.calls_new:,} new ({written.calls_with_tokens:,} with tokens)"


def _named(operations: Counter[str]) -> str:
    """Return operations with how many new events each has, the most frequent first."""
    ranked = sorted(operations.items(), key=lambda one: (-one[1], one[0]))
    return some_of([f"{number:,} {name}" for name, number in ranked], _OPERATIONS_SHOWN)


def _team_lines(written: Written) -> Iterator[str]:
    """Yield what was learned of the teams of calls."""
    if written.sessions:
        yield _line("Sessions", f"{written.sessions:,} kept, for the tags of their calls")
    if written.calls_reattributed:
        calls = count(written.calls_reattributed, "stored call")
        yield _line("Reattributed", f"{calls}, to another team")


def _bill_lines(bills: BillsWritten) -> Iterator[str]:
    """Yield what was read of a bill; nothing if no bill was."""
    if not (bills.months or bills.months_unchanged or bills.older):
        return
    unclear = _also(bills.lines_not_understood, "not understood")
    read = f" ({count(bills.lines, 'line')} of Bedrock{unclear})" if bills.months else ""
    unchanged = _also(bills.months_unchanged, "unchanged")
    yield _line("AWS bill", f"{count(bills.months, 'month')} new or changed{read}{unchanged}")
    for export, month, lost, new in bills.columns:
        changes = [f"no longer has {', '.join(lost)}"] if lost else []
        changes += [f"now has {', '.join(new)}"] if new else []
        yield _line("Columns changed", f"{export}, {month}: {'; '.join(changes)}")
    for export, month, written, stored in bills.older:
        yield _line(
            "Older, left out",
            f"{export}, {month}: written {written}, but the stored one {stored}. To use it"
            " anyway, load it with --reread",
        )
