"""Small files that expand to huge ones: the content of each, for a given size.

A generator yields the content, and ``packed`` compresses it piece by piece, so building one needs
no memory either.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator
from itertools import repeat

from tests.support import call, logged

_COMPACT = json.dumps(call(1, tokens=(1, 2)), separators=(",", ":")).encode()
_LOGGED = json.dumps(logged(1)).encode()


def _of(start: bytes, part: bytes, end: bytes = b"") -> Callable[[int], Iterator[bytes]]:
    """Return a generator of ``part`` up to a size in bytes, between a start and an end."""

    def content(size: int) -> Iterator[bytes]:
        block = part * max(1, (1 << 16) // len(part))
        yield start
        yield from repeat(block, max(1, size // len(block)))
        yield end

    return content


BOMBS: dict[str, Callable[[int], Iterator[bytes]]] = {
    "records that are numbers": _of(b'{"Records":[', b"0,", b"0]}"),
    "records that are empty": _of(b'{"Records":[', b"{},", b"{}]}"),
    "records that are lists": _of(b'{"Records":[', b"[[]],", b"[]]}"),
    "records that are small": _of(b'{"Records":[', b'{"a":1},', b"{}]}"),
    "records that are calls": _of(b'{"Records":[', _COMPACT + b",", b"{}]}"),
    "empty lines": _of(b"", b"{}\n"),
    "blank lines": _of(b"{}", b"\n"),
    "small lines": _of(b"", b'{"a":1}\n'),
    "lines of calls": _of(b"", _LOGGED + b"\n"),
    "zeros": _of(b"", b"\0"),
    "zeros after a record": _of(b'{"Records":[{}', b"\0"),
    "spaces": _of(b"", b" "),
    "open lists": _of(b"", b"["),
    "open lists in lines": _of(b"", b"[\n"),
    "open lists and objects in lines": _of(b"", b"[{},\n"),
    "open objects in lines": _of(b"", b'{"a":\n'),
    "open lists of records": _of(b"", b'{"Records":[\n'),
    "open strings in lines": _of(b"", b'["a\n'),
    "one string": _of(b'{"eventID":"', b"x", b'"}'),
    "one string without end": _of(b'{"eventID":"', b"x"),
    "one record": _of(
        b'{"Records":[{"eventSource":"bedrock.amazonaws.com","x":[', b"{},", b"1]}]}"
    ),
    "one record of numbers": _of(b'[{"eventID":[', b"0,", b"1]}]"),
    "one number": _of(b"[", b"9", b"]"),
    "closed too often": _of(b"[", b"}"),
    "a log of words": _of(b"", b"2026-11-02 10:00:00 INFO nothing to see, 7 times {x}\n"),
    "a log with brackets": _of(b"", b"[2026-11-02 10:00:00] INFO nothing to see {x}\n"),
    "a table": _of(b"account_id,region,model_id,period_start,period_seconds,metric,value\n", b"1,"),
    "lines of a table": _of(
        b"account_id,region,model_id,period_start,period_seconds,metric,value\n", b'1,2,"\n'
    ),
    "totals": _of(b'{"MetricDataResults":[', b'{"Id":"a","Values":[1]},', b"1]}"),
    "pages": _of(b'{"Events":[', b'{"CloudTrailEvent":"{}"},', b"1]}"),
    "lines of envelopes": _of(b"", b'{"message":"{}"}\n'),
    "lines after a time": _of(b"", b'2026-11-02T10:15:00Z {"a":1}\n'),
    "lines of texts": _of(b"", b'"{}"\n'),
    "lines of base64": _of(b"", b"e30K" * 20 + b"\n"),
    "base64 without end": _of(b"", b"eyJh"),
    "texts in a list": _of(b'{"Records":[', b'"[[[[[[[[[[]]]]]]]]]]",', b'""]}'),
    "rows": _of(
        b'{"results":[', b'[{"field":"a","value":"b"},{"field":"c","value":"{}"}],', b"[]]}"
    ),
    "escapes": _of(b'{"Records":["', b"\\\\", b'"]}'),
}


def packed(parts: Iterator[bytes]) -> bytes:
    """Return a content as gzip."""
    member = zlib.compressobj(6, wbits=31)
    return b"".join([*map(member.compress, parts), member.flush()])
