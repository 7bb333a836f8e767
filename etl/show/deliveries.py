"""Which messages were sent, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from etl.show.numbers import UNKNOWN, Row
from etl.show.tables import bare_table
from etl.show.terminal import open_console, plain

_HEADINGS = ("Message", "About", "To", "State", "Tries", "Last try", "Next try", "Why")


def print_deliveries(rows: Sequence[Row]) -> None:
    """Print deliveries to stdout, in their order."""
    table = bare_table()
    for heading in _HEADINGS:
        table.add_column(
            heading, overflow="fold", justify="right" if heading == "Tries" else "left"
        )
    for row in rows:
        about = f"{row['topic']} {row['subject']}".strip()
        state = row["state"] + (", possible repeat" if row["may_be_repeated"] else "")
        times = (row["tried_at"] or UNKNOWN, row["retry_at"] or UNKNOWN)
        cells = (row["created_at"], about, row["target"], state, row["tries"], *times)
        table.add_row(*(plain(cell) for cell in (*cells, row["reason"] or "")))
    open_console().print(table)
