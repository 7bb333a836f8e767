"""Measure how much of ``sql/`` is repeated.

    python -m scripts.measure_repeats [FOLDER]

A line is repeated if it is part of a run of six or more lines that also occurs elsewhere, in the
same file or another. Indentation and blank lines do not count. Prints the repeated lines of each
file that has any, and the share in all files.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from etl import resources

RUN = 6

Places = set[tuple[str, int]]


def repeated(texts: Mapping[str, str]) -> dict[str, tuple[int, int]]:
    """Return the number of repeated lines and of all lines of each text."""
    lines = {
        name: [line.strip() for line in text.splitlines() if line.strip()]
        for name, text in texts.items()
    }
    runs: dict[tuple[str, ...], Places] = defaultdict(set)
    for name, own in lines.items():
        for first in range(len(own) - RUN + 1):
            runs[tuple(own[first : first + RUN])].add((name, first))
    found = {
        (name, first + offset)
        for places in runs.values()
        if len(places) > 1
        for name, first in places
        for offset in range(RUN)
    }
    counts = dict.fromkeys(lines, 0)
    for name, _ in found:
        counts[name] += 1
    return {name: (counts[name], len(own)) for name, own in lines.items()}


def sources(folder: Path) -> dict[str, str]:
    """Return every hand-written text, SQL and YAML, by its path in the folder."""
    files = [file for file in folder.rglob("*") if file.suffix in (".sql", ".yml")]
    return {str(file.relative_to(folder)): file.read_text(encoding="utf-8") for file in files}


def share(counts: Mapping[str, tuple[int, int]]) -> float:
    """Return the share of repeated lines in all lines, in percent."""
    again = sum(repeats for repeats, _ in counts.values())
    return 100 * again / sum(lines for _, lines in counts.values())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?", default=resources.SQL)
    counts = repeated(sources(parser.parse_args().folder))
    for name, (again, lines) in sorted(counts.items(), key=lambda item: -item[1][0]):
        if again:
            print(f"{again:>6} of {lines:>5}  {name}")
    print(f"{share(counts):.1f} % of all lines")


if __name__ == "__main__":
    main()
