"""Keep the reviewed list of ``prices check``, ``sql/seeds/price_disagreements.csv``, up to date.

    python -m scripts.review_prices [--as-of DATE]
    python -m scripts.review_prices --reason TEXT [--finding WORD] [--by GLOB] [--model GLOB]
                                    [--min-input-tokens N]

Takes out what is no disagreement any more, and prints what is not on the list. With a reason, what
matches goes on the list with it. Compare with other files than the extracts by
``bedrock-usage prices check`` first: the list is about the extracts.
"""

import argparse
import csv
import sys
from collections.abc import Iterable
from datetime import date
from fnmatch import fnmatchcase

from etl.price_check.book import read_seed
from etl.price_check.finding import COLUMNS, KNOWN, STALE, Finding
from etl.price_check.other_lists import read_lists
from etl.price_check.run import check_prices

Reviewed = dict[tuple[str, ...], tuple[str, str]]


def cells(finding: Finding) -> tuple[str, ...]:
    return tuple("" if cell is None else str(cell) for cell in finding)


def read_reviewed() -> Reviewed:
    with KNOWN.open(encoding="utf-8", newline="") as file:
        return {tuple(row[:-2]): (row[-2], row[-1]) for row in list(csv.reader(file))[1:]}


def write_reviewed(reviewed: Reviewed) -> None:
    with KNOWN.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows((*key, *reviewed[key]) for key in sorted(reviewed))


def without_stale(reviewed: Reviewed, findings: Iterable[Finding]) -> Reviewed:
    """Return the list without what is no disagreement any more."""
    stale = {
        (*one.by.split(" ", 1), *cells(one)[2:]) for one in findings if one.finding == STALE
    }  # ``by`` begins with the kind of finding that it was
    return {key: value for key, value in reviewed.items() if key not in stale}


def matches(finding: Finding, options: argparse.Namespace) -> bool:
    threshold = options.min_input_tokens
    return (
        fnmatchcase(finding.finding, options.finding)
        and fnmatchcase(finding.by, options.by)
        and fnmatchcase(finding.model_id, options.model)
        and threshold in (None, finding.min_input_tokens)
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Review what prices check finds.")
    parser.add_argument("--as-of", type=date.fromisoformat, default=date.today())  # noqa: DTZ011
    parser.add_argument("--reason", help="add what matches, with this reason")
    parser.add_argument("--finding", default="*", metavar="WORD")
    parser.add_argument("--by", default="*", metavar="GLOB")
    parser.add_argument("--model", default="*", metavar="GLOB")
    parser.add_argument("--min-input-tokens", type=int, metavar="N")
    options = parser.parse_args(arguments)

    lists = read_lists(None, None, options.as_of.isoformat())
    findings = check_prices([read_seed()], lists, options.as_of).findings
    reviewed = without_stale(read_reviewed(), findings)
    for finding in findings:
        if finding.finding == STALE or not matches(finding, options):
            continue
        if options.reason:
            reviewed[cells(finding)] = options.reason, options.as_of.isoformat()
        else:
            print(",".join(cells(finding)))
    write_reviewed(reviewed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
