"""The sample logs behind ``bedrock-usage demo``: three weeks of a company that does not exist.

``data/`` holds what AWS would have written, in the trail's own folders;
``scripts/build_demo_logs.py`` builds it and lists its content. The bundled days are fixed, so the
files never change, but a reader wants to see the last three weeks. The files are therefore copied
with every date moved by the same whole number of days: hours of the day, gaps between calls and
everything that is not a date stay as they are. Days of the week move with the dates.
"""

from __future__ import annotations

import gzip
import io
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

DATA = Path(__file__).parent / "data"

# The time of the newest bundled event; no metric period begins later, no file was delivered later.
NEWEST_EVENT = datetime(2026, 11, 21, 17, 53, 40, tzinfo=UTC)

# A date is moved only in a time, in a trail's folder or in a trail's file name: model ids contain
# dates too.
_DATE_IN_TEXT = re.compile(r"\d{4}-\d\d-\d\d(?=T\d\d:\d\d)")
_DATE_IN_PATH = re.compile(r"(?<=/)\d{4}/\d\d/\d\d(?=/)|(?<=_)\d{8}(?=T\d{4}Z_)")


def write_demo_logs(folder: Path, now: datetime) -> None:
    """Copy the bundled files into ``folder``, dated so that the newest event is at most a day old.

    No event is later than ``now``, which needs a time zone. Files of the same name are replaced.
    """
    days = (now - NEWEST_EVENT) // timedelta(days=1)
    for source in sorted(path for path in DATA.rglob("*") if path.is_file()):
        target = folder / _move(_DATE_IN_PATH, source.relative_to(DATA).as_posix(), days)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(_moved_content(source, days))


def compress(content: bytes) -> bytes:
    """Return ``content`` as gzip without a file name or a time: equal input, equal output."""
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=buffer, mtime=0) as packed:
        packed.write(content)
    return buffer.getvalue()


def _moved_content(source: Path, days: int) -> bytes:
    raw = source.read_bytes()
    if source.suffix != ".gz":
        return _move(_DATE_IN_TEXT, raw.decode(), days).encode()
    return compress(_move(_DATE_IN_TEXT, gzip.decompress(raw).decode(), days).encode())


def _move(pattern: re.Pattern[str], text: str, days: int) -> str:
    return pattern.sub(lambda match: _moved_date(match[0], days), text)


def _moved_date(text: str, days: int) -> str:
    """Move ``2026-11-03``, ``2026/11/03`` or ``20261103``, keeping how it is written."""
    separator = "" if text.isdigit() else text[4]
    moved = date.fromisoformat(text.replace(separator, "-") if separator else text)
    return (moved + timedelta(days=days)).isoformat().replace("-", separator)
