"""Where raw events are archived permanently: a local folder or a bucket.

A file appears whole or not at all. A local file is written next to its final path under a name that
readers ignore (it begins with a dot), synced to disk, and then renamed. S3 stores an object whole.
New folders and files are accessible to their owner only. The caller chooses the names
(``layouts.trail_file``) and never reuses one, so a request that is repeated after a lost response
stores the same object.

``check`` tests everything that writing needs before there is anything to write. In S3 it creates a
marker only if there is none (``If-None-Match``), so a versioned bucket does not gain a version at
each run.

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

# The marker exists, or another process creates it right now: we may write.
_IS_THERE = frozenset({"PreconditionFailed", "ConditionalRequestConflict"})


class Archive(Protocol):
    """A place for files, used by several threads. ``uri`` is the same in every run."""

    uri: str

    def check(self) -> None:
        """Raise SourceError, with what to do, if nothing can be written."""
        ...

    def write(self, name: str, data: bytes) -> None:
        """Store a file permanently and whole. ``name``: its path below. Raises SourceError."""
        ...


class LocalArchive:
    """A folder of this machine. Subfolders are created as needed."""

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
                f"the archive {self._folder} cannot be written ({error.strerror}): fix its"
                " permissions, free up space, or name another folder. The next sync reads again"
                " what is missing there"
            ) from None


def _make_folder(folder: Path) -> None:
    """Create a folder and its parents, so that they survive a power failure."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    _sync_entries(folder.parent)


def _write_whole(file: Path, data: bytes) -> None:
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        # For its owner only. An old one of this name, left by a killed process, is removed.
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
    _sync_entries(file.parent)


def _sync_entries(folder: Path) -> None:
    """Sync a folder's entries to disk, where the system can do that."""
    if os.name == "nt":
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


class S3Archive:
    """A bucket, or a prefix in it. ``place``: the account that writes, and the region to ask."""

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
    """Return a prefix as a folder: empty, or ending with a slash."""
    trimmed = key.strip("/")
    return f"{trimmed}/" if trimmed else ""
