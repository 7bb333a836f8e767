"""Cut a stream of bytes into raw JSON values without interpreting them.

Memory holds a window and one value, whatever the length of the file. Time is linear in that length,
whatever the content. The values of a list that makes up a log (``LIST_KEYS``), or is at the top
level, come one by one. So do consecutive documents (JSON lines). A line may begin with a time, and
a document may be a text: quoted, or base64 as it is.

**Fast.** Most of a file is cut window by window: a stretch that ends where a value seems to end is
given to msgspec as a list. If msgspec accepts it, the guess was right. Otherwise the next value is
found bracket by bracket, up to the end of that window. A small file that is one list is decoded
whole, unless sampling suggests very many values in it.

**Damage.** An invalid value affects no other. Where its end cannot be found, reading resumes at
the next line that begins with a bracket. Bytes scanned in vain are counted. Once they exceed the
bytes read, a value must end before the next such line, so that no line is scanned again and again.

**Limits.** A value has at most ``MAX_VALUE_BYTES`` and ``MAX_PARTS`` parts (a decoded part takes
some hundred bytes). A larger value is skipped, and what follows it is read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterable, Iterator, Sequence
from itertools import accumulate
from random import randint
from typing import Any, NamedTuple

import msgspec

from etl.errors import TOO_DEEP

MAX_VALUE_BYTES = 16 << 20
MAX_PARTS = 500_000

# A smaller value cannot have enough parts to matter. A larger one is not decoded to text, which may
# take four bytes a character.
_FEW_BYTES = 1 << 18
_TEXT_BYTES = 1 << 20

_WINDOW_BYTES = 1 << 17

# Python gives up earlier; here it limits the search for the end.
_MAX_DEPTH = 10_000
_HEAD_BYTES = 4096
_JUMP_BYTES = 1 << 14

# Bytes scanned in vain before a value must end before the next line.
_WASTE_ALLOWED = 1 << 18
# A restart takes as long as scanning so many bytes.
_RESTART_BYTES = 100

LIST_KEYS = (
    *("Records", "Events", "events", "inferenceProfileSummaries", "logEvents", "records"),
    *("results", "QueryResultRows", "Messages", "hits", "rows", "data", "result", "logs"),
)
# Objects that hold such a list among a few other things: hits.hits, data.result.
_HOLDERS = ("hits", "data", "response", "rawResponse")
_MAX_HOLDERS = 3

# A document with one of these is not a list of others, whatever else it has.
_OWN_KEYS = re.compile(
    rb'"(?:eventID|eventTime|eventSource|eventName|eventVersion|MetricDataResults'
    rb'|inferenceProfileArn|schemaType|columns|ResultSet|resultSetMetaData)"\s*\Z'
)
_LIST = re.compile(rb'"(?:%b)"\s*:\s*\[' % "|".join(LIST_KEYS).encode())
_LIST_MARKS = tuple(f'"{key}"'.encode() for key in LIST_KEYS)
_KEY = re.compile(rb'[\s,]*("(?:[^"\\]++|\\.)*+")\s*:\s*', re.DOTALL)

_SPACE = re.compile(rb"\s*+")
_BETWEEN = re.compile(rb"[\s,]*+")
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_SCALAR = re.compile(rb'[^\s,\[\]{}":]++')
# Everything before the next bracket; a string counts as one unit. A JSON string never contains a
# line end, but something that looks like a string after damage may.
_RUN = re.compile(rb'(?:[^"\[\]{}]++|"(?:[^"\\]++|\\.)*+")*+', re.DOTALL)
_RUN_OF_LINE = re.compile(rb'(?:[^"\[\]{}]++|"(?:[^"\\\n]++|\\.)*+")*+')
# For skipped values: the rest of a string; everything up to an unclosed string.
_IN_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_WITH_STRINGS = re.compile(rb'(?:[^"]++|"(?:[^"\\]++|\\.)*+")*+', re.DOTALL)
_NO_BRACKETS = bytes(letter for letter in range(256) if letter not in b"{}[]")
_STEPS = {ord("{"): 1, ord("["): 1, ord("}"): -1, ord("]"): -1}

# Empty values in large numbers: not worth parsing one by one. In a list, an empty object is an
# event of another service.
_NOTHING = re.compile(rb"(?:\{\s*+\}|\[\s*+\])[\s,]*+")
_SINGLES = re.compile(rb'(?:[^\s,\[\]{}":]++|\[\s*+\]|"[^"\\]*+")[\s,]++')
_MANY = {one: re.compile(rb"(?:%b)++" % one.pattern) for one in (_NOTHING, _SINGLES)}
_MANY_BYTES = 1 << 12

# Lines with unclosed brackets and no content: where a value must end before the next line, each of
# them is refused separately.
_OPEN_LINES = re.compile(
    rb"""(?:[{\[]                                # begins with a bracket
    (?:[^\[\]{}"\n]++|\{[ \t]*+\}|\[[ \t]*+\]|[{\[]|"(?:[^"\\\n]++|\\.)*+")*+
    (?:"(?:[^"\\\n]++|\\.)*+)?+\n             # maybe in a string
    (?=[{\[]))++                              # and so does the next""",
    re.VERBOSE,
)

# What stands before a document on its line: `aws logs tail`, an export task, syslog, a container's
# log, `--output text`. It may be coloured. Without a time, it is what names a source: a container
# ("app-1  | "), a pod, a file that was searched, a level. A few words without punctuation: what a
# sentence quotes is no record.
_PREFIX = re.compile(
    rb"""(?:\x1b\[[0-9;]*+m|<[0-9]{1,3}>[0-9]?[ ]?|[\[(])*+
    (?:[0-9]{4}[-/][0-9]{2}[-/][0-9]{2}[T ][0-9]{2}:[0-9]{2}|(?<![\[(])[0-9]{10,19}(?=[\s,.:])
    |[0-9]{10,19}(?=[\s.:\])])
    |(?:[A-Z][a-z]{2}[ ])?[A-Z][a-z]{2}[ ]{1,2}[0-9]{1,2}[ ][0-9]{2}:|[0-9]{2}:[0-9]{2}:[0-9]{2}
    |[0-9]{2}/[A-Z][a-z]{2}/[0-9]{4}:|EVENTS\t)
    [^\n{]{0,400}?(?=\{\s*+"|\[\s*+[\[{"]|"(?:\\\\")?[\[{]
    |(?<=\s)[A-Za-z0-9+/_-]{60,}+={0,2}[ \t]*+(?:\r?\n|\Z))
    |(?:(?:\[[^\[\]\n"{},]{1,100}\]|[A-Za-z0-9._/$\#@-]{1,200}+)[\t\ :|=]++){1,4}
        (?=\{\s*+"|\[\s*+[\[{"]|"[\[{])""",
    re.VERBOSE,
)
_REST_OF_LINE = re.compile(rb"[^\n{\[\"]*+(?=\n|\Z)")

# Content in base64, on one line or on lines of the lengths that programs write.
_BASE64 = re.compile(
    b"(?:%b)={0,2}(?=\\s|\\Z)"
    % b"|".join(
        (
            rb"[A-Za-z0-9+/]{76}(?:\r?\n[A-Za-z0-9+/]{76})*+(?:\r?\n[A-Za-z0-9+/]{1,75}(?=[=\s]|\Z))?+",
            rb"[A-Za-z0-9+/]{64}(?:\r?\n[A-Za-z0-9+/]{64})*+(?:\r?\n[A-Za-z0-9+/]{1,63}(?=[=\s]|\Z))?+",
            rb"[A-Za-z0-9+/_-]{40,}+",
        )
    )
)

_LINE_START = re.compile(rb'\n(?=[{\[]|"\{|%b)' % _PREFIX.pattern, re.VERBOSE)

# A list within this size is decoded whole, unless it is dense: some ten times denser than events
# are. A decoded value takes 56 bytes. The sampled places are random, so no file can be built to
# fool them (DECISIONS 131).
_WHOLE_BYTES = 4 << 20
_PLACES, _PLACE_BYTES = 64, 64
_DENSE = _PLACES * _PLACE_BYTES // 8
_END = re.compile(rb"\]\s*\}?\s*\Z")

_CUTS = (b'},{"eventVersion"', b"},{", b"},")

_RAWS = msgspec.json.Decoder(list[msgspec.Raw])
_RAW = msgspec.json.Decoder(msgspec.Raw)
_NO_JSON = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

Raw = bytes | msgspec.Raw

CUT_OFF = "the JSON is truncated"
_REST_LOST = " records before it were read"
EMPTY = "not a record but an empty or single value"
TOO_LARGE = f"larger than {MAX_VALUE_BYTES >> 20} MiB, the limit for a record"
TOO_MANY_PARTS = f"more than {MAX_PARTS:,} values in one record"


class Values(NamedTuple):
    """Consecutive raw values. An empty one is an empty line.

    ``key`` names the list that holds them, "" if it has no name, None if each is a document on its
    own line. ``where`` is the position of the list, ``first`` the index (or line) of the first
    value. ``has_escapes``: whether any may contain a backslash.
    """

    where: str
    key: str | None
    first: int
    raws: Sequence[Raw]
    has_escapes: bool = True

    def position(self, index: int) -> str:
        """Return the position of a value, by its index in ``raws``."""
        if self.key is None:
            return self.where or f"line {self.first + index}"
        return join(self.where, f"{self.key}[{self.first + index}]")


class Unreadable(NamedTuple):
    """A position in a file that could not be read, and why. The reason quotes nothing of the file.

    ``number``: how many such values there are, starting at that position.
    """

    position: str
    reason: str
    number: int = 1


class HeavyError(Exception):
    """A value is larger than the reader of the file has room for."""


class _UnendedError(Exception):
    """A value does not end where it must. The text says why; "" if only a JSON parser can say."""


def join(where: str, place: str) -> str:
    """Return a position within another."""
    return f"{where} {place}" if where else place


def problem_of(raw: bytes) -> str:
    """Say why a value cannot be accepted; "" if it can."""
    if reason := limit_of(raw):
        return reason
    return "" if is_json(raw) else json_problem(raw)


def limit_of(raw: bytes) -> str:
    """Say which limit a value exceeds; "" if none."""
    if len(raw) <= _FEW_BYTES:
        return ""
    if len(raw) > MAX_VALUE_BYTES:
        return TOO_LARGE
    parts = raw.count(b",") + raw.count(b"[") + raw.count(b"{")
    return TOO_MANY_PARTS if parts > MAX_PARTS else ""


def load_value(raw: bytes) -> Any:
    """Decode a value within the limits, as Python does. Raises ValueError, RecursionError."""
    if len(raw) > _TEXT_BYTES:
        return msgspec.json.decode(raw)
    return json.loads(raw.decode("utf-8", "replace"))


def is_rest_lost(found: Unreadable) -> bool:
    """Say whether a problem is one of the whole file: what follows it is lost."""
    return found.position == "file" or found.reason.endswith(_REST_LOST)


def json_problem(raw: bytes) -> str:
    """Say why Python rejects bytes as JSON (it accepts more than msgspec); "" if it does not.

    The text quotes nothing of the bytes.
    """
    try:
        load_value(raw)
    except RecursionError:
        return TOO_DEEP
    except json.JSONDecodeError as error:
        is_cut = error.pos >= len(raw.rstrip()) or error.msg.startswith("Unterminated string")
        return CUT_OFF if is_cut else f"not JSON (at character {error.pos})"
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return "not JSON"
    except ValueError:
        return "not JSON: a number is too long"
    return ""


def is_json(raw: bytes) -> bool:
    """Say whether a value is JSON that msgspec accepts."""
    try:
        _RAW.decode(raw)
    except _NO_JSON:
        return False
    return True


class Splitter:
    """Iterate over it once. ``heavy``: the value size in bytes above which HeavyError is raised.

    ``is_blank``: there was nothing but white space so far. An empty list is something: a quiet day.
    """

    def __init__(self, pieces: Iterable[bytes], *, heavy: int | None = None) -> None:
        self._pieces = iter(pieces)
        self._heavy = heavy
        self._buffer, self._at, self._is_ended = b"", 0, False
        # Bytes before the buffer, lines before the current position.
        self._before, self._line = 0, 1
        self._wasted, self._step_until = 0, 0
        self.is_blank = True

    def __iter__(self) -> Iterator[Values | Unreadable]:
        while self._skip(_BETWEEN):
            where = "" if self.is_blank else f"line {self._line}"
            self.is_blank = False
            start = self._peek(0)
            if start in (b"{", b"[") and (count := self._skip_empty(_NOTHING)):
                yield Unreadable(where or "line 1", EMPTY, count)
            elif start in (b"{", b"[") and self._is_strict() and (count := self._open_lines()):
                yield Unreadable(where or "file", CUT_OFF, count)
            elif start == b"[" and not self._prefix():
                self._advance(1)
                yield from self._list(where, "")
            elif start == b"{" and self._has_list():
                yield from self._object(where)
            elif start in (b"{", b'"') or self._prefix():
                if lines := self._lines():
                    yield lines
                else:
                    yield from self._prefixed(where)
            else:
                yield from self._encoded(where)

    # The window.

    def _more(self) -> bool:
        """Read on. Return whether there was more.

        The more is buffered, the more is read at once, so that data is rarely moved.
        """
        if self._is_ended:
            return False
        rest = self._buffer[self._at :]
        wanted = max(_WINDOW_BYTES, min(len(rest), 4 * 1024 * 1024))
        parts, size = [rest] if rest else [], 0
        while size < wanted:
            piece = next(self._pieces, b"")
            if not piece:
                self._is_ended = True
                break
            parts.append(piece)
            size += len(piece)
        self._before += self._at
        self._buffer, self._at = parts[0] if len(parts) == 1 else b"".join(parts), 0
        return size > 0

    def _left(self) -> int:
        return len(self._buffer) - self._at

    def _advance(self, size: int) -> None:
        end = self._at + size
        if self._buffer.find(b"\n", self._at, end) >= 0:
            self._line += self._buffer.count(b"\n", self._at, end)
        self._at = end

    def _skip(self, pattern: re.Pattern[bytes]) -> bool:
        """Skip what a pattern matches. Return whether anything follows."""
        while True:
            self._advance(_end(pattern, self._buffer, self._at) - self._at)
            if self._left():
                return True
            if not self._more():
                return False

    # Documents.

    def _has_list(self) -> bool:
        """Say whether an object has a list near its start that may make up all of it."""
        if self._left() < _HEAD_BYTES:
            self._more()
        end = self._at + _HEAD_BYTES
        line = self._buffer.find(b"\n", self._at, end)
        if line > 0 and self._buffer[line - 1] in b"}\r":
            end = line
        has_key = any(self._buffer.find(mark, self._at, end) >= 0 for mark in _LIST_MARKS)
        return has_key and bool(_LIST.search(self._buffer, self._at, end))

    def _lines(self) -> Values | None:
        """Take the lines of the window that are one document each; None if the first is not."""
        if self._before + self._at < self._step_until:
            return None
        if self._left() < _WINDOW_BYTES:
            self._more()
        window = self._buffer[self._at : self._at + _WINDOW_BYTES]
        is_all = self._is_ended and len(window) == self._left()
        # What follows the last line end is not a line yet, except at the end of the file.
        lines = window.split(b"\n")[: None if is_all else -1]
        raws: list[bytes] = []
        size = 0
        for line in lines:
            raw = _document_of(line.strip())
            if raw is None:
                self._step_until = self._before + self._at + len(window)
                break
            raws.append(raw)
            size += len(line) + 1
        is_alone = is_all and size >= len(window) and self._before + self._line == 1
        if not any(raws):
            self._step_until = self._before + self._at + len(window)
        if not any(raws) or (is_alone and sum(map(bool, raws)) == 1):
            return None
        found = Values("", None, self._line, raws)
        self._advance(min(size, self._left()))
        return found

    def _prefix(self) -> int:
        """Return the size of what stands before a document on its line; 0 if that is nothing."""
        if self._left() < _HEAD_BYTES:
            self._more()
        return _end(_PREFIX, self._buffer, self._at) - self._at

    def _prefixed(self, where: str) -> Iterator[Values | Unreadable]:
        size = 0 if self._peek(0) in (b"{", b'"') else self._prefix()
        self._advance(size)
        if self._peek(0) in (b"{", b"[", b'"'):
            yield from self._document(where)
        else:
            yield from self._encoded(where)
        if size:
            self._advance(_end(_REST_OF_LINE, self._buffer, self._at) - self._at)

    def _encoded(self, where: str) -> Iterator[Values | Unreadable]:
        """Take a document in base64 as the text that it is."""
        if self._left() < _HEAD_BYTES:
            self._more()
        while (found := _BASE64.match(self._buffer, self._at)) and found.end() == len(self._buffer):
            if len(found[0]) > MAX_VALUE_BYTES or not self._more():
                break
        if not found or len(found[0]) > MAX_VALUE_BYTES:
            yield from self._junk(where)
            return
        if self._heavy is not None and len(found[0]) > self._heavy:
            raise HeavyError
        raw = b'"' + b"".join(found[0].split()) + b'"'
        yield Values(where or "file", None, self._line, (raw,))
        self._advance(len(found[0]))

    def _document(self, where: str) -> Iterator[Values | Unreadable]:
        line = self._line
        try:
            size = self._size()
        except _UnendedError as error:
            yield from self._value(Values(where or "file", None, line, ()), error)
            return
        is_alone = not where and self._is_last(size)
        yield from self._value(Values("file" if is_alone else f"line {line}", None, line, ()), size)

    def _is_last(self, size: int) -> bool:
        if _end(_SPACE, self._buffer, self._at + size) == len(self._buffer):
            self._more()
        return self._is_ended and _end(_SPACE, self._buffer, self._at + size) == len(self._buffer)

    def _junk(self, where: str) -> Iterator[Unreadable]:
        """Skip text that does not begin with a bracket, up to the next line that does."""
        yield Unreadable(where or "file", "not JSON (at character 0)")
        self._to_next_line()

    def _to_next_line(self) -> None:
        """Skip to the next line that begins with a bracket, or to the end."""
        while not self._resync(self._left()):
            # The last byte may be the end of a line.
            self._advance(max(0, self._left() - 1))
            if not self._more():
                self._advance(self._left())
                return

    def _object(self, where: str) -> Iterator[Values | Unreadable]:
        """Unpack an object with a list near its start, if the list is under one of its own keys."""
        at, depth = 1, 1
        while found := _KEY.match(self._buffer, self._at + at):
            begin = found.end() - self._at
            key = found[1][1:-1].decode("utf-8", "replace")
            if _OWN_KEYS.match(found[1]):
                break
            if key in LIST_KEYS and self._peek(begin) == b"[":
                self._advance(begin + 1)
                is_ended = yield from self._list(where, key)
                while is_ended and depth:
                    is_ended = yield from self._end_of_object(where)
                    depth -= 1
                return
            if key in _HOLDERS and depth < _MAX_HOLDERS and self._peek(begin) == b"{":
                at, depth = begin + 1, depth + 1
                continue
            try:
                at = begin + self._size(begin)
            except _UnendedError:
                break
        yield from self._document(where)

    def _end_of_object(self, where: str) -> Generator[Unreadable, None, bool]:
        """Skip the keys after a list, up to the end of its object. Return whether it has one."""
        while self._skip(_BETWEEN):
            if self._peek(0) == b"}":
                self._advance(1)
                return True
            if self._left() < _HEAD_BYTES:
                self._more()
            found = _KEY.match(self._buffer, self._at)
            try:
                begin = found.end() - self._at if found else 0
                size = begin + self._size(begin) if found else 0
            except _UnendedError:
                size = 0
            if not size:
                yield Unreadable(where or "file", "not JSON after the list")
                self._to_next_line()
                return False
            self._advance(size)
        yield Unreadable(where or "file", CUT_OFF)
        return False

    # Lists.

    def _list(self, where: str, key: str) -> Generator[Values | Unreadable, None, bool]:
        """Yield the values of a list. Return whether its end was reached."""
        index = 0
        if not where and (stretch := self._whole()):
            yield Values(where, key, 0, *stretch)
            index = len(stretch[0])
        while self._skip(_BETWEEN):
            if self._peek(0) == b"]":
                self._advance(1)
                return True
            if count := self._skip_empty(_SINGLES):
                yield Unreadable(Values(where, key, index, ()).position(0), EMPTY, count)
                index += count
                continue
            if stretch := self._stretch():
                yield Values(where, key, index, *stretch)
                index += len(stretch[0])
                continue
            if not (yield from self._value(Values(where, key, index, ()))):
                return False
            index += 1
        yield Unreadable(Values(where, key, index, ()).position(0), _after(CUT_OFF, index))
        return False

    def _skip_empty(self, pattern: re.Pattern[bytes]) -> int:
        """Skip many empty values. Return how many; 0 if there are few."""
        if self._left() < _MANY_BYTES:
            self._more()
        end = _end(_MANY[pattern], self._buffer, self._at)
        if end - self._at < _MANY_BYTES:
            return 0
        count = len(pattern.findall(self._buffer, self._at, end))
        self._advance(end - self._at)
        return count

    def _whole(self) -> tuple[list[msgspec.Raw], bool] | None:
        """Take all values of a list that has just begun, if it ends where the buffer does."""
        begin, size = self._at, self._left()
        limit = min(_WHOLE_BYTES, MAX_VALUE_BYTES)
        found = size <= limit and _END.search(self._buffer, max(begin, begin + size - 64))
        if not found or _is_dense(self._buffer, begin):
            return None
        try:
            # With its own brackets, so nothing is copied.
            raws = _RAWS.decode(memoryview(self._buffer)[begin - 1 : found.start() + 1])
        except _NO_JSON:
            return None
        has_escapes = self._buffer.find(b"\\", begin) >= 0
        self._advance(found.start() - begin)
        return (raws, has_escapes) if raws else None

    def _open_lines(self) -> int:
        """Skip many unclosed lines except the last, which may begin a value. Return how many."""
        end = _end(_OPEN_LINES, self._buffer, self._at)
        if end - self._at < _MANY_BYTES:
            return 0
        end = self._buffer.rfind(b"\n", self._at, end - 1) + 1
        line = self._line
        self._advance(end - self._at)
        return self._line - line

    def _stretch(self) -> tuple[list[msgspec.Raw], bool] | None:
        """Take as many values as the window holds, with whether they have escapes.

        None if the window does not begin with whole values.
        """
        if self._before + self._at < self._step_until:
            return None
        if self._left() < _WINDOW_BYTES:
            self._more()
        begin, end = self._at, min(len(self._buffer), self._at + _WINDOW_BYTES)
        for cut in self._cuts(begin, end):
            written = b"".join((b"[", memoryview(self._buffer)[begin:cut], b"]"))
            try:
                raws = _RAWS.decode(written)
            except _NO_JSON:
                continue
            if raws:
                self._advance(cut - begin)
                return raws, b"\\" in written
        self._step_until = self._before + end
        return None

    def _cuts(self, begin: int, end: int) -> Iterator[int]:
        """Yield where a value may end in a part of the buffer, the likeliest position first."""
        find = self._buffer.rfind
        if self._is_ended and end == len(self._buffer) and (cut := find(b"]", begin, end)) > begin:
            yield cut
        for mark in _CUTS:
            if (cut := find(mark, begin, end)) > begin:
                yield cut + 1
        if (cut := find(b",", begin, end)) > begin:
            yield cut

    def _value(
        self, here: Values, size: int | _UnendedError | None = None
    ) -> Generator[Values | Unreadable, None, bool]:
        """Take the current value. Return whether the start of the next one is known.

        ``size``: the result of ``_size``, if it was called before.
        """
        reason, is_ended = "", True
        try:
            size = self._size() if size is None else size
            if isinstance(size, _UnendedError):
                raise size
            raw = self._buffer[self._at : self._at + size]
            reason = problem_of(raw)
        except _UnendedError as error:
            raw, is_ended, reason = b"", False, str(error)
            if not reason:
                raw = self._buffer[self._at : self._at + MAX_VALUE_BYTES]
                reason = limit_of(raw) or json_problem(raw) or CUT_OFF
        if not reason:
            yield here._replace(raws=(raw,))
            self._advance(len(raw))
            return True
        is_lost = not is_ended and reason != TOO_LARGE
        why = _after(reason, here.first) if is_lost and here.key is not None else reason
        yield Unreadable(here.position(0), why)
        if is_lost:
            self._to_next_line()
            return False
        if self._resync(len(raw) or self._left()):
            return False
        if not is_ended:
            return self._skip_value()
        self._advance(len(raw))
        return True

    def _resync(self, size: int) -> bool:
        """Skip to the next line that begins with a bracket, if one is within so many bytes."""
        found = _LINE_START.search(self._buffer, self._at, self._at + size + 1)
        if not found:
            return False
        self._wasted += self._at + size - found.end() + _RESTART_BYTES
        self._advance(found.end() - self._at)
        return True

    def _is_strict(self) -> bool:
        return self._wasted > _WASTE_ALLOWED + self._before + self._at

    # One value.

    def _peek(self, at: int) -> bytes:
        while self._left() <= at and self._more():
            pass
        return self._buffer[self._at + at : self._at + at + 1]

    def _size(self, begin: int = 0) -> int:
        """Return the size of the value that begins there. Raises _UnendedError, HeavyError."""
        first = self._peek(begin)
        if first and first in b"{[":
            return self._size_of_brackets(begin)
        pattern = _STRING if first == b'"' else _SCALAR
        while True:
            end = _end(pattern, self._buffer, self._at + begin)
            if end - self._at > begin and (end < len(self._buffer) or pattern is _STRING):
                return end - self._at - begin
            if pattern is _SCALAR and end < len(self._buffer):
                raise _UnendedError("not JSON (at character 0)")
            self._read_more(begin)
            if self._is_ended and pattern is _SCALAR:
                return max(1, self._left() - begin)

    def _size_of_brackets(self, begin: int) -> int:
        at, depth, jump_at = begin, 0, begin + _HEAD_BYTES
        while True:
            is_strict = self._is_strict()
            if at >= jump_at and not is_strict:
                at, depth = self._jump(at, depth)
                jump_at = at + _JUMP_BYTES
            at = _end(_RUN_OF_LINE if is_strict else _RUN, self._buffer, self._at + at) - self._at
            letter = self._buffer[self._at + at : self._at + at + 1]
            if letter == b'"' and is_strict and self._buffer.find(b"\n", self._at + at) >= 0:
                raise _UnendedError(CUT_OFF)
            if not letter or letter == b'"':
                self._read_more(begin)
                continue
            if is_strict and depth and letter in b"{[" and self._buffer[self._at + at - 1] == 10:
                raise _UnendedError(CUT_OFF)
            at += 1
            depth += 1 if letter in b"{[" else -1
            if depth > _MAX_DEPTH:
                raise _UnendedError(TOO_DEEP)
            if depth == 0:
                self._check_size(at)
                return at - begin

    def _jump(self, at: int, depth: int) -> tuple[int, int]:
        """Advance within a large value by many brackets at once.

        Goes only as far as the value certainly neither ends nor is too deep.
        """
        begin = self._at + at
        window = self._buffer[begin : begin + _JUMP_BYTES]
        size = _end(_WITH_STRINGS, window, 0)
        depths = _depths(window[:size], depth)
        if min(depths) <= 0 or max(depths) >= _MAX_DEPTH:
            return at, depth
        return at + size, depths[-1]

    def _read_more(self, begin: int) -> None:
        """Read on within a value. Raises _UnendedError if there is no more, or it is too large."""
        self._check_size(self._left() - begin)
        if not self._more():
            raise _UnendedError

    def _check_size(self, size: int) -> None:
        if self._heavy is not None and size > self._heavy:
            raise HeavyError
        if size > MAX_VALUE_BYTES:
            raise _UnendedError(TOO_LARGE)

    def _skip_value(self) -> bool:
        """Skip to the end of a value without holding it. Return whether it has one."""
        depth = 0
        while self._left() >= _WINDOW_BYTES or self._more() or self._left():
            window = self._buffer[self._at : self._at + _WINDOW_BYTES]
            size = _end(_WITH_STRINGS, window, 0)
            if not size:
                if not self._skip_string():
                    return False
            else:
                depths = _depths(window[:size], depth)
                if min(depths[1:], default=1) <= 0:
                    self._advance(_end_of_value(window, depth))
                    return True
                depth = depths[-1]
                self._advance(size)
            if depth == 0:
                return True
        return False

    def _skip_string(self) -> bool:
        self._advance(1)
        while self._skip(_IN_STRING):
            if self._peek(0) == b'"':
                self._advance(1)
                return True
            # The character after a backslash has not been read yet.
            if not self._more():
                break
        self._advance(self._left())
        return False


def _document_of(line: bytes) -> bytes | None:
    """Return the document that makes up a line, empty for an empty one; None if none does."""
    if line.startswith(b"{"):
        return line if line.endswith(b"}") and is_json(line) else None
    if not line:
        return line
    line = line[_end(_PREFIX, line, 0) :]
    if found := _BASE64.fullmatch(line):
        return b'"' + found[0] + b'"'
    return line if line[:1] in (b"{", b'"', b"[") and is_json(line) else None


def _is_dense(buffer: bytes, begin: int) -> bool:
    """Say whether a buffer may hold very many values."""
    last = max(begin, len(buffer) - _PLACE_BYTES)
    places = (randint(begin, last) for _ in range(_PLACES))  # noqa: S311 (not a secret)
    return sum(buffer.count(b",", at, at + _PLACE_BYTES) for at in places) > _DENSE


def _depths(written: bytes, depth: int) -> list[int]:
    """Return the nesting depth before the first bracket and after each."""
    brackets = _STRING.sub(b"", written).translate(None, _NO_BRACKETS)
    return list(accumulate(map(_STEPS.__getitem__, brackets), initial=depth))


def _end_of_value(window: bytes, depth: int) -> int:
    """Return where a value ends in a window, given how many brackets are open before it."""
    at = 0
    while True:
        at = _end(_RUN, window, at) + 1
        depth += _STEPS[window[at - 1]]
        if depth <= 0:
            return at


def _end(pattern: re.Pattern[bytes], buffer: bytes, at: int) -> int:
    match = pattern.match(buffer, at)
    return match.end() if match else at


def _after(reason: str, index: int) -> str:
    return f"{reason}; {index}{_REST_LOST}"
