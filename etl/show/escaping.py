"""Output that is safe to show: no character from outside ever controls a terminal.

Much of the output comes from outside: names from logs that callers can write to, file names,
messages from AWS. A control character in them could move the cursor, hide a line or imitate the
keyboard; a bidirectional override makes one text look like another. ``harmless`` shows each of them
as its escape, ``\\x1b``. No caller has to remember it. ``guarded_output`` sits between the program
and its two streams while a command runs. The console of ``etl.show.terminal`` sits between rich and
its text, so rich's own control codes still arrive. Neither can know where a line should end: a name
inside a line must go through ``harmless``, which also escapes line ends.

JSON stays JSON (``json_text``). CSV stays exact, as long as it goes to a file or another program.
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
from typing import IO, Any, TextIO, cast

from etl.errors import OutputError

_UNENCODABLE = "bedrock_usage.escape"


def harmless(value: object) -> str:
    """Return text on one line, with every unprintable character as its escape."""
    text = str(value)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def printable_lines(text: str) -> str:
    """Return text as ``harmless`` does, but keep its lines."""
    return _printable(text, _escape)


def json_text(value: object, default: Callable[[Any], Any] | None = None) -> str:
    """Return readable JSON without control characters other than line ends."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=default)
    return _printable(text, _json_escape)


def show_csv(text: str) -> None:
    """Write CSV to stdout: unchanged, except that a terminal gets no control characters.

    Raises OutputError if the encoding of stdout lacks a character: an escape is not the name.
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
            f"stdout uses {encoding}, which lacks a character of a name: set"
            " PYTHONIOENCODING=utf-8, or choose --format json"
        ) from None
    unguarded(stream).write(f"{text}\n")


@contextmanager
def exact_output(*, is_text: bool) -> Iterator[IO[bytes]]:
    """Give a file that writes to stdout, byte by byte as they are; UTF-8 if it ``is_text``.

    A terminal gets text without control characters. Raises OutputError for anything else there.
    """
    stream = sys.stdout
    if stream is None:
        yield io.BytesIO()
    elif not stream.isatty():
        yield cast("IO[bytes]", _Bytes(_Guarded.of(stream).write_bytes))
    elif is_text:
        decoder = codecs.getincrementaldecoder("utf-8")()
        yield cast(
            "IO[bytes]", _Bytes(lambda data: stream.write(printable_lines(decoder.decode(data))))
        )
    else:
        raise OutputError("this format is not text: write it to a file, not to the terminal")


class _Bytes(io.RawIOBase):
    """A file that passes bytes on."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        super().__init__()
        self._write = write

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        self._write(bytes(data))
        return len(data)


@contextmanager
def guarded_output() -> Iterator[None]:
    """Let only harmless text through to stdout and stderr, whatever writes to them.

    Characters that a stream cannot encode are escaped too. At the end both streams are flushed. If
    the reader has gone, the program ends quietly with status 1; if the disk is full, with a
    message. A failed write to stderr stops nothing.
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
    """Flush what is left; no command is running to see that fail."""
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
    """Return the stream below the guard, for text that is harmless or must arrive unchanged."""
    return cast("TextIO", stream.unguarded()) if isinstance(stream, _Guarded) else stream


# The stream escapes, so that code that prints need not (DECISIONS 104).
class _Guarded:
    """A text stream that escapes what is written to it, unless ``escape`` is None.

    Not an ``io.TextIOBase``: that closes itself when garbage-collected, and swallows failures.
    """

    def __init__(self, stream: TextIO, escape: Callable[[str], str] | None) -> None:
        self._stream, self._escape = stream, escape
        self.is_optional = False

    @classmethod
    def over(cls, stream: TextIO | None) -> _Guarded | None:
        """Return a guard over a stream, None if there is no stream or it has a guard already."""
        if stream is None or isinstance(stream, cls):
            return None
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_UNENCODABLE)
        return cls(stream, printable_lines)

    @classmethod
    def of(cls, stream: TextIO | _Guarded) -> _Guarded:
        """Return a guard over a stream: the one that it has, or a new one."""
        return stream if isinstance(stream, cls) else cls(cast("TextIO", stream), printable_lines)

    def unguarded(self) -> _Guarded:
        """Return the stream for text that must arrive unchanged."""
        stream = _Guarded(self._stream, None)
        stream.is_optional = self.is_optional
        return stream

    def write(self, text: str, /) -> int:
        if not isinstance(text, str):
            # By this error click recognises a text stream.
            raise TypeError(f"text, not {type(text).__name__}")
        if text:  # click probes a stream with an empty text and ignores failures
            with self._failing():
                self._stream.write(self._escape(text) if self._escape else text)
        return len(text)

    def write_bytes(self, data: bytes) -> None:
        """Write bytes that must arrive unchanged."""
        with self._failing():
            self._stream.buffer.write(data)

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
            # Otherwise the interpreter tries again at exit, and prints its own message.
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

    # No ``buffer``: click would bypass the guard.
    @property
    def encoding(self) -> str:
        return getattr(self._stream, "encoding", None) or "utf-8"

    @property
    def errors(self) -> str | None:
        return getattr(self._stream, "errors", None)


def _discard(stream: TextIO) -> None:
    """Discard what is still to be written to a stream."""
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
    # UTF-16, as in JSON; a lone surrogate stays alone, as in the text.
    code = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{code[at : at + 4]}" for at in range(0, len(code), 4))


def _escape_unencodable(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(map(_json_escape, text)), error.end


codecs.register_error(_UNENCODABLE, _escape_unencodable)
