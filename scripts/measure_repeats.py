"""How much of ``sql/`` stands there more than once.

    python -m scripts.measure_repeats [FOLDER]

A line is repeated where it belongs to a run of six or more lines that stands somewhere else too, in
the same file or in another one; indentation and blank lines do not count. Prints the share of every
file that has some, and of all of them.
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
    """Return how many lines of each text are repeated, and how many it has."""
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
    """Return every text that is written by hand, SQL and YAML, by its path in the folder."""
    files = [file for file in folder.rglob("*") if file.suffix in (".sql", ".yml")]
    return {str(file.relative_to(folder)): file.read_text(encoding="utf-8") for file in files}


def share(counts: Mapping[str, tuple[int, int]]) -> float:
    """Return which part of all lines is repeated, in percent."""
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
    print(f"{share(counts):.1f} % of the lines")


if __name__ == "__main__":
    main()
