"""A console, and text that is safe to print on it: see ``etl.show.escaping``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import IO, Any, TextIO, cast

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from etl.show.escaping import harmless, printable_lines, unguarded

# Wide enough that nothing is cut when there is no terminal.
_PIPE_WIDTH = 400


def open_console(*, stderr: bool = False) -> Console:
    """Return a console as wide as the terminal, or very wide without one."""
    console = _SafeConsole(stderr=stderr)
    return console if console.is_terminal else _SafeConsole(stderr=stderr, width=_PIPE_WIDTH)


def plain(value: object, style: str = "") -> Text:
    """Return ``harmless`` text for rich, never treated as markup."""
    return Text(harmless(value), style)


class _SafeConsole(Console):
    """A console that has no markup and escapes what it renders."""

    def __init__(self, *, stderr: bool, width: int | None = None) -> None:
        super().__init__(stderr=stderr, width=width, markup=False, emoji=False, highlight=False)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(printable_lines(segment.text), segment.style)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable_lines(text), **options)

    def _get_file(self) -> IO[str]:
        return cast("IO[str]", unguarded(cast("TextIO", super().file)))

    def _set_file(self, file: IO[str]) -> None:
        self._file = file

    file = property(_get_file, _set_file)
