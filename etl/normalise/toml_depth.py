"""What keeps a TOML file from taking minutes to parse."""

from __future__ import annotations


def is_deep(text: str) -> bool:
    """Return whether parsing would take minutes: tomllib's time is quadratic in the dots."""
    lines = text.split("\n")
    of_tables = (line.count(".") for line in lines if line.lstrip().startswith("["))
    return max(of_tables, default=0) > 20 or sum(line.count(".") ** 2 for line in lines) > 10**7
