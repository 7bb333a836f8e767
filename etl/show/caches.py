"""What prompt caching did, in sum: of rows of the query ``cache_savings_by_application``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from etl.show.numbers import Row


class CacheUse(NamedTuple):
    """Tokens and dollars of some usage; None: not known of any of it.

    ``saved_usd``: negative where writing cost more than reading saved. ``unknown``: how many rows
    are not in it. ``write_usd``: what was paid for writes. ``read_share``: of all input.
    """

    saved_usd: float | None
    unknown: int
    write_usd: float | None
    read_tokens: int | None
    written_tokens: int | None
    read_share: float | None

    @property
    def is_used(self) -> bool:
        """Whether anything was read from a cache or written to one."""
        return bool(self.read_tokens or self.written_tokens)


def cache_use(rows: Iterable[Row]) -> CacheUse:
    """Add the rows up."""
    some = [*rows]
    saved = _known(some, "saved_usd")
    read, written = (_total(some, f"cache_{kind}_tokens") for kind in ("read", "write"))
    whole = (_total(some, "input_tokens") or 0) + (read or 0) + (written or 0)
    return CacheUse(
        saved_usd=sum(saved) if saved else None,
        unknown=len(some) - len(saved),
        write_usd=_total(some, "cache_write_usd"),
        read_tokens=read,
        written_tokens=written,
        read_share=None if read is None or not whole else read / whole,
    )


def _known(rows: Iterable[Row], column: str) -> list[float]:
    return [row[column] for row in rows if row[column] is not None]


def _total(rows: Iterable[Row], column: str) -> Any:
    known = _known(rows, column)
    return sum(known) if known else None
