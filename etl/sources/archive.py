"""Where raw events are kept for good: a folder here, or a bucket.

A file appears whole or not at all. A local one is written beside its place under a name that no
reader takes (it begins with a dot), reaches the disk, and is then renamed; S3 itself stores an
object whole. Folders and files that are made here are for their owner alone. Names are made up by
who writes (``layouts.trail_file``) and never used twice, so a request that is made again after a
lost answer stores the same object.

``check`` asks for all that writing takes before there is anything to write. In S3 it makes a marker
only where there is none (``If-None-Match``): a bucket with versions does not get one with each run.

Source: S3 API reference, PutObject (checked 2026-11-26).
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Protocol

from etl.errors import AccessError, SourceError
from etl.sources.aws import Place
from etl.sources.layouts import parse_s3_uri
from etl.sources.s3 import explain_s3

MARKER = "AWSLogs/.bedrock-usage"
_MARKER_TEXT = b"Raw CloudTrail events of Amazon Bedrock, kept by `bedrock-usage sync --archive`.\n"

# The marker is there already, or somebody else makes it at this moment: we may write.
_IS_THERE = frozenset({"PreconditionFailed", "ConditionalRequestConflict"})


class Archive(Protocol):
    """A place for files, used by several threads; ``uri`` names it the same in every run."""

    uri: str

    def check(self) -> None:
        """Raise SourceError if nothing can be written, saying what to do."""
        ...

    def write(self, name: str, data: bytes) -> None:
        """Store a file for good, whole; ``name``: its path below. Raises SourceError."""
        ...


class LocalArchive:
    """A folder of this machine. Folders are made as they are needed."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder).resolve()
        self.uri = str(self._folder)

    def check(self) -> None:
        self.write(MARKER, _MARKER_TEXT)

    def write(self, name: str, data: bytes) -> None:
        file = self._folder / name
        try:
            _make_folder(file.parent)
            _write_whole(file, data)
        except OSError as error:
            raise AccessError(
                f"the archive {self._folder} cannot be written ({error.strerror}): allow it, make"
                " room, or name another folder. What is not in it is read again by the next sync"
            ) from None


def _make_folder(folder: Path) -> None:
    """Make a folder and those above it so that they outlive a loss of power."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    _settle(folder.parent)


def _write_whole(file: Path, data: bytes) -> None:
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        # For its owner alone; an old one of this name, of a process that was killed, goes.
        part.unlink(missing_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
            opened.write(data)
            opened.flush()
            os.fsync(opened.fileno())
        part.replace(file)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise
    _settle(file.parent)


def _settle(folder: Path) -> None:
    """Bring a folder's list of names to the disk, where the system can do that."""
    if os.name == "nt":
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


class S3Archive:
    """A bucket, or a prefix in it. ``place``: whose credentials write, and the region to ask."""

    def __init__(self, place: Place, uri: str) -> None:
        self._place = place
        address = parse_s3_uri(uri)
        self._bucket, self._prefix = address.bucket, folder_key(address.key)
        self.uri = f"s3://{self._bucket}/{self._prefix}"

    def check(self) -> None:
        try:
            self._put(MARKER, _MARKER_TEXT, IfNoneMatch="*")
        except SourceError as error:
            if error.code not in _IS_THERE:
                raise

    def write(self, name: str, data: bytes) -> None:
        self._put(name, data)

    def _put(self, name: str, data: bytes, **conditions: str) -> None:
        key = self._prefix + name
        try:
            self._place.call(
                "s3",
                "PutObject",
                {"Bucket": self._bucket, "Key": key, "Body": data, **conditions},
                requires="ETag",
            )
        except SourceError as error:
            if error.code in _IS_THERE:
                raise
            raise explain_s3(error, "s3:PutObject", f"s3://{self._bucket}/{key}") from None


def folder_key(key: str) -> str:
    """Return a prefix as that of a folder: empty, or with a slash at its end."""
    trimmed = key.strip("/")
    return f"{trimmed}/" if trimmed else ""
