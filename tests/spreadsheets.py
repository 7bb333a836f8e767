"""Texts that a spreadsheet may treat as formulas, and whether it does."""

from __future__ import annotations

import re

from hypothesis import strategies as st

SIGNS = "=+-@\uff1d\uff0b\uff0d\uff20"
HARD = st.text(alphabet=SIGNS + "\t\r\n;|,'\" \ufeff\u200b\u00a0a1", max_size=12) | st.text(
    max_size=20
)


def runs(cell: str) -> bool:
    """Return whether a spreadsheet that splits at any separator finds a formula in a text."""
    parts = re.split(r"[;|\t\r\n]", cell)
    starts = (re.sub(r"\A[\s\x00-\x20'\"\ufeff\u200b]+", lambda _: "", part) for part in parts)
    is_marked = (part.startswith("'") for part in parts)
    return any(
        start[:1] in SIGNS and start and not marked
        for start, marked in zip(starts, is_marked, strict=True)
    ) or cell[:1] in ("\t", "\r", "\n")
