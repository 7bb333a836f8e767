"""What ``doctor`` and ``check`` found, for people and programs.

A *finding* is the result of one check. For the doctor, ``failed`` means that something cannot be
read; ``warning``, that it can but the figures could be better; ``not checked``, that there was
nothing to test it with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from etl.show.escaping import json_text
from etl.show.numbers import count
from etl.show.terminal import plain

OK, WARNING, FAILED, NOT_CHECKED = "ok", "warning", "failed", "not checked"

# The widths of a status and of a check's name.
_WIDTHS = (13, 31)

_STYLES = {OK: "green", WARNING: "yellow", FAILED: "bold red", NOT_CHECKED: "dim"}


class Finding(NamedTuple):
    """The result of one check. ``fix``: what to do, None for nothing."""

    check: str
    status: str
    detail: str = ""
    fix: str | None = None
    account_id: str | None = None
    region: str | None = None


def to_json(findings: Sequence[Finding]) -> str:
    """Return the findings as one JSON object."""
    counts = Counter(finding.status for finding in findings)
    answer = {
        "is_ok": not counts[FAILED],
        "counts": {status: counts[status] for status in _STYLES},
        "findings": [finding._asdict() for finding in findings],
    }
    return json_text(answer)


def print_findings(findings: Sequence[Finding], console: Console) -> None:
    """Print the findings by account; regions with the same findings are grouped."""
    for account in dict.fromkeys(finding.account_id for finding in findings):
        of_account = [finding for finding in findings if finding.account_id == account]
        console.print()
        console.print(plain(f"Account {account}" if account else "No account", "bold"))
        print_lines([finding for finding in of_account if finding.region is None], console)
        for regions, alike in _by_region(of_account):
            console.print(plain(", ".join(regions), "bold"))
            print_lines(alike, console)
    console.print(f"\n{summary(findings)}")


def summary(findings: Sequence[Finding]) -> str:
    """Count the findings by status: 3 ok, 1 warning."""
    counts = Counter(finding.status for finding in findings)
    words = {WARNING: count(counts[WARNING], "warning")}
    return ", ".join(
        words.get(status, f"{counts[status]} {status}") for status in _STYLES if counts[status]
    )


def _by_region(findings: Sequence[Finding]) -> list[tuple[list[str], list[Finding]]]:
    regions: dict[str, list[Finding]] = {}
    for finding in findings:
        if finding.region is not None:
            regions.setdefault(finding.region, []).append(finding)
    alike: dict[tuple[Finding, ...], tuple[list[str], list[Finding]]] = {}
    for region, found in regions.items():
        key = tuple(finding._replace(region=None) for finding in found)
        alike.setdefault(key, ([], found))[0].append(region)
    return list(alike.values())


def print_lines(findings: Iterable[Finding], console: Console) -> None:
    """Print each finding on a line, with what does not fit and the fix below it."""
    for finding in findings:
        line = Text(f" {finding.status:<{_WIDTHS[0]}}", _STYLES[finding.status])
        line.append_text(plain(f"{finding.check:<{_WIDTHS[1]}}", "none"))
        detail = plain(finding.detail)
        if line.cell_len + detail.cell_len <= console.width:
            line.append_text(detail)
            detail = Text()
        line.rstrip()
        console.print(line)
        for text in (detail, plain(finding.fix or "")):
            if text:
                print_below(text, console)


def print_below(text: Text, console: Console) -> None:
    """Print more of a finding, below its name."""
    console.print(Padding(text, (0, 0, 0, _WIDTHS[0] + 1), expand=False))
