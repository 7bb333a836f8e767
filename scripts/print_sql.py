"""Print the composed SQL of files in ``sql/``: python -m scripts.print_sql marts/user_costs ..."""

from __future__ import annotations

import sys

from etl.sql_files import SqlTextError, sql_text


def main(names: list[str]) -> None:
    """Print the texts, or exit with what is wrong."""
    if not names:
        sys.exit("name a file of sql/: make sql NAME=marts/user_costs")
    try:
        print("\n".join(map(sql_text, names)), end="")
    except SqlTextError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(sys.argv[1:])
