"""A console, and text that is safe to print on it.

Much of what is shown comes from outside: names from logs that callers can write to, words of AWS.
``plain`` is what such text goes through: nothing of it is ever taken as markup or as a terminal's
control sequence.
"""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

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
