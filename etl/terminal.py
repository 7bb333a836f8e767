"""Words and numbers for people, shared by all that is printed for them.

Much of what is shown comes from outside: names from logs that callers can write to, words of AWS.
``plain`` is what such text goes through: nothing of it is ever taken as markup or as a terminal's
control sequence.
"""

from __future__ import annotations

from datetime import timedelta

from rich.console import Console
from rich.text import Text

UNKNOWN = "–"

# Wide enough that nothing is cut where there is no terminal to fit into.
_PIPE_WIDTH = 400


def open_console() -> Console:
    """Return a console for stdout, as wide as the terminal, or very wide where there is none."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_PIPE_WIDTH)


def plain(value: object, style: str = "") -> Text:
    """Show text as it is, without control characters that a terminal would obey."""
    return Text(harmless(value), style)


def harmless(value: object) -> str:
    """Return text without control characters, for where no markup is known."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(value))


def number(value: int | None) -> str:
    """Group the digits; None is unknown, never 0."""
    return UNKNOWN if value is None else f"{value:,}"


def count(value: int, noun: str) -> str:
    """Count things: 1 call, 2 calls."""
    return f"{value:,} {noun}{'' if value == 1 else 's'}"


def size(length: int) -> str:
    """Return a number of bytes in the unit that suits it: 512 B, 4.1 MB, 2.0 GB."""
    value, units = float(length), ["B", "kB", "MB", "GB", "TB"]
    while value >= 999.95 and len(units) > 1:
        value /= 1000
        del units[0]
    return f"{value:.{0 if units[0] == 'B' else 1}f} {units[0]}"


def coverage(with_tokens: int, calls: int) -> str:
    """Say for how many calls AWS reports the tokens call by call."""
    known = f" ({percent(with_tokens, calls)})" if calls else ""
    return f"Events with token data: {with_tokens:,} / {calls:,}{known}"


def percent(part: float | None, whole: float | None) -> str:
    """Return a part in percent; a share of nothing is unknown."""
    if part is None or not whole:
        return UNKNOWN
    return f"{100 * part / whole:.1f} %"


def span(length: timedelta) -> str:
    """Return a length of time in its two largest units: 45 s, 12 min, 3 h 20 min, 2 d 4 h."""
    seconds = max(0, round(length.total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    minutes = seconds // 60
    if minutes < 60:
        return f"{minutes} min"
    large, small, units = (
        (minutes // 60, minutes % 60, ("h", "min"))
        if minutes < 48 * 60
        else (minutes // 1440, minutes % 1440 // 60, ("d", "h"))
    )
    return f"{large} {units[0]}" + (f" {small} {units[1]}" if small else "")
