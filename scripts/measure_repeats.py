"""How much of ``sql/`` stands there more than once.

    python -m scripts.measure_repeats [FOLDER]

A line is repeated where it belongs to a run of six or more lines that stands somewhere else too, in
the same file or in another one; indentation and blank lines do not count. Prints the share of every
file that has some, of all of them, and of all with the canned queries of ``metadata.yml``.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import yaml

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
    """Return every file of SQL by its path in the folder."""
    return {str(file.relative_to(folder)): file.read_text() for file in folder.rglob("*.sql")}


def canned_queries() -> dict[str, str]:
    """Return the queries of ``metadata.yml`` by their names."""
    metadata = yaml.safe_load(resources.METADATA.read_text(encoding="utf-8"))
    queries = metadata["databases"]["bedrock_usage"]["queries"]
    return {name: query["sql"] for name, query in queries.items()}


def share(counts: Mapping[str, tuple[int, int]]) -> float:
    """Return which part of all lines is repeated, in percent."""
    again = sum(repeats for repeats, _ in counts.values())
    return 100 * again / sum(lines for _, lines in counts.values())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?", default=resources.SQL)
    texts = sources(parser.parse_args().folder)
    counts = repeated(texts)
    for name, (again, lines) in sorted(counts.items(), key=lambda item: -item[1][0]):
        if again:
            print(f"{again:>6} of {lines:>5}  {name}")
    print(f"{share(counts):.1f} % of the lines of SQL")
    print(f"{share(repeated({**texts, **canned_queries()})):.1f} % with the canned queries")


if __name__ == "__main__":
    main()
