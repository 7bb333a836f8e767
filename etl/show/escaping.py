"""What is shown: no character of somebody else's ever steers a terminal.

Much of what is shown comes from outside: names from logs that callers can write to, names of files,
words of AWS. A control character in them could move the cursor, hide a line or answer for the
keyboard; a bidirectional override shows a text as another one. ``harmless`` shows each of them as
its escape, ``\\x1b``. Nobody has to remember it: ``guarded_output`` puts it between the program and
its two streams for as long as a command runs, and the console of ``etl.show.terminal`` between rich
and its text, so that what rich itself sends to steer the terminal still arrives. What they cannot
know is where a line should end: a name in a line of text goes through ``harmless``, which also
escapes the ends of lines.

JSON stays JSON (``json_text``), and CSV exact, as long as it goes to a file or another program.
"""

from __future__ import annotations

import codecs
import errno
import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

from etl.errors import OutputError

_UNENCODABLE = "bedrock_usage.escape"


def harmless(value: object) -> str:
    """Return text on one line, each character that is not to be printed as its escape."""
    text = str(value)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def printable_lines(text: str) -> str:
    """Return text as ``harmless`` does, but with its lines."""
    return _printable(text, _escape)


def json_text(value: object, default: Callable[[Any], Any] | None = None) -> str:
    """Return JSON to read: no control character is in it but the ends of its lines."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=default)
    return _printable(text, _json_escape)


def show_csv(text: str) -> None:
    """Write CSV to stdout: as it is, but to a terminal without control characters.

    Raises OutputError where the encoding of stdout lacks a character: an escape is not the name.
    """
    stream = sys.stdout
    if stream is None:
        return
    if stream.isatty():
        stream.write(f"{printable_lines(text)}\n")
        return
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        raise OutputError(
            f"stdout takes {encoding}, which lacks a character of a name: set"
            " PYTHONIOENCODING=utf-8, or choose --format json"
        ) from None
    unguarded(stream).write(f"{text}\n")


@contextmanager
def guarded_output() -> Iterator[None]:
    """Let nothing but harmless text through to stdout and stderr, from whatever writes to them.

    What the encoding of a stream lacks is escaped too. At the end both are flushed. A reader that
    went away ends the program quietly with status 1, a disk without room with a message; what
    cannot be written to stderr stops nothing.
    """
    before = sys.stdout, sys.stderr
    out, err = (_Guarded.over(stream) for stream in before)
    if out is not None:
        sys.stdout = cast("TextIO", out)
    if err is not None:
        err.is_optional = True
        sys.stderr = cast("TextIO", err)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        if err is not None:
            err.flush()
        if out is not None:
            _end(out, err)


def _end(out: _Guarded, err: _Guarded | None) -> None:
    """Write out what is left, which no command can see fail."""
    try:
        out.flush()
    except BrokenPipeError:
        raise SystemExit(1) from None
    except OutputError as error:
        if err is not None:
            err.write(f"Error: {error}\n")
            err.flush()
        raise SystemExit(1) from None


def unguarded(stream: TextIO) -> TextIO:
    """Return the stream below the guard, for text that is harmless or is to arrive as it is."""
    return cast("TextIO", stream.unguarded()) if isinstance(stream, _Guarded) else stream


class _Guarded:
    """A text stream that escapes what it is given, unless ``escape`` is None.

    No ``io.TextIOBase``: that closes itself when nobody holds it any more, and swallows what fails.
    """

    def __init__(self, stream: TextIO, escape: Callable[[str], str] | None) -> None:
        self._stream, self._escape = stream, escape
        self.is_optional = False

    @classmethod
    def over(cls, stream: TextIO | None) -> _Guarded | None:
        """Return a guard over a stream, None where it is closed or has one already."""
        if stream is None or isinstance(stream, cls):
            return None
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_UNENCODABLE)
        return cls(stream, printable_lines)

    def unguarded(self) -> _Guarded:
        """Return the stream for text that is to arrive as it is."""
        stream = _Guarded(self._stream, None)
        stream.is_optional = self.is_optional
        return stream

    def write(self, text: str, /) -> int:
        if not isinstance(text, str):
            raise TypeError(f"text, not {type(text).__name__}")  # how click tells streams apart
        if text:  # click tries with none what a stream is, and hears of no failure
            with self._failing():
                self._stream.write(self._escape(text) if self._escape else text)
        return len(text)

    def writelines(self, lines: Iterable[str], /) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        with self._failing():
            self._stream.flush()

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            # Else the interpreter tries once more when it ends, and says so in its own way.
            _discard(self._stream)
            if self.is_optional:
                return
            if error.errno == errno.EPIPE:
                raise
            raise OutputError(f"stdout cannot be written: {error.strerror}") from None

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    def writable(self) -> bool:
        return True

    @property
    def closed(self) -> bool:
        return self._stream.closed

    # No ``buffer``: click would write past the guard.
    @property
    def encoding(self) -> str:
        return getattr(self._stream, "encoding", None) or "utf-8"

    @property
    def errors(self) -> str | None:
        return getattr(self._stream, "errors", None)


def _discard(stream: TextIO) -> None:
    """Let what is still to be written to a stream go nowhere."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _printable(text: str, escape: Callable[[str], str]) -> str:
    if text.isprintable():
        return text
    return "".join(c if c == "\n" or c.isprintable() else escape(c) for c in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def _json_escape(character: str) -> str:
    # UTF-16, as JSON has it; half a pair stands alone, as it does in the text.
    code = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{code[at : at + 4]}" for at in range(0, len(code), 4))


def _escape_unencodable(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(map(_json_escape, text)), error.end


codecs.register_error(_UNENCODABLE, _escape_unencodable)
