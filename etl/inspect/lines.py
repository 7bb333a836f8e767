"""The lines of an explanation."""

from __future__ import annotations

from typing import NamedTuple


class Line(NamedTuple):
    """A field, the value understood (None: unknown), and how it was found."""

    field: str
    value: str | int | float | None
    how: str = ""
