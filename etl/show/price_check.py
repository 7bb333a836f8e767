"""What ``prices check`` found, as a list for people, JSON or CSV."""

from __future__ import annotations

import csv
import io

from rich.console import Console

from etl.price_check.finding import COLUMNS, DIFFERS, GAP, MISSING, OLD, RULE, STALE, Finding
from etl.price_check.run import Outcome
from etl.show.escaping import json_text
from etl.show.numbers import count
from etl.show.terminal import plain

_HEADINGS = {
    DIFFERS: "Differ from another list by more than 0.1 %",
    MISSING: "Missing, though another list has them",
    RULE: "Break a rule (sql/seeds/price_rules.csv)",
    GAP: "Have days without a rate between two rates",
    OLD: "Were checked more than 90 days ago",
    STALE: "Known disagreements that are none any more: remove them from the reviewed list",
}
_MAX_SHOWN = 40


def to_json(outcome: Outcome) -> str:
    """Return the outcome as one JSON object."""
    answer = {
        "is_ok": not outcome.findings,
        "rates": outcome.rates,
        "lists": outcome.lists,
        "known": outcome.known,
        "findings": [finding._asdict() for finding in outcome.findings],
    }
    return json_text(answer)


def to_csv(outcome: Outcome) -> str:
    """Return the findings with the columns of the reviewed list, whose last two are empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows((*finding, "", "") for finding in outcome.findings)
    return text.getvalue().rstrip("\n")


def print_outcome(outcome: Outcome, console: Console) -> None:
    """Print the findings by kind, and what was compared."""
    for kind, heading in _HEADINGS.items():
        found = [finding for finding in outcome.findings if finding.finding == kind]
        if not found:
            continue
        console.print(plain(f"{heading} ({len(found):,})", "bold"))
        for finding in found[:_MAX_SHOWN]:
            console.print(plain(f"  {_line(finding)}"))
        if len(found) > _MAX_SHOWN:
            more = f"  and {len(found) - _MAX_SHOWN:,} more: --format csv has all"
            console.print(plain(more, "dim"))
        console.print()
    compared = ", ".join(outcome.lists) or "no other list (name one with --litellm or --genai)"
    known = count(outcome.known, "known disagreement")
    console.print(plain(f"{count(outcome.rates, 'rate')} compared with {compared}, and by rules."))
    console.print(plain(f"{count(len(outcome.findings), 'finding')}, and {known}."))


def _line(finding: Finding) -> str:
    where = (finding.region, finding.scope, finding.service_tier, finding.token_kind)
    size = f"above {finding.min_input_tokens:,} tokens" if finding.min_input_tokens else ""
    use = ", ".join(filter(None, (finding.model_id, *where, size)))
    return f"{use}: {_rates(finding)}{finding.by}"


def _rates(finding: Finding) -> str:
    """Return both rates, in micro-dollars per million tokens, and how far apart they are."""
    if finding.expected is None:
        return ""
    if finding.found is None:
        return f"{finding.expected:,}; "
    off = f", {finding.found / finding.expected - 1:+.1%}" if finding.expected else ""
    return f"{finding.found:,}, not {finding.expected:,}{off}; "
