"""Files that appear whole or not at all, for their owner only, each with a manifest next to it.

A file is written under another name in the same folder. All files of a run are complete before the
first of them gets its name, and a manifest gets its name after its file: whoever waits for the
manifest reads a complete file. A kill leaves the files of before, or some of the new ones.

A file that this program wrote is replaced if nobody changed it since: its manifest has its hash.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from etl.errors import OutputError

SUFFIX = ".manifest.json"


class Draft:
    """A file that is complete, and has not got its name yet. ``sha256``: of its content."""

    def __init__(self, path: Path, write: Callable[[IO[bytes]], None]) -> None:
        self.path = path
        with _explained(path):
            # mkstemp lets only the owner read the file.
            handle, name = tempfile.mkstemp(
                prefix=f".{path.name}.", suffix=".part", dir=path.parent
            )
            self._draft = Path(name)
            try:
                with os.fdopen(handle, "w+b") as file:
                    write(file)
                    file.flush()
                    os.fsync(file.fileno())
                    self.size = file.tell()
                    file.seek(0)
                    self.sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            except BaseException:
                self.discard()
                raise

    def publish(self) -> None:
        """Give the file its name."""
        with _explained(self.path):
            self._draft.replace(self.path)

    def discard(self) -> None:
        """Remove the file, unless it has got its name."""
        self._draft.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Create a folder for its owner only, unless there is one. Raises OutputError."""
    with _explained(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def manifest_of(path: Path) -> Path:
    """Return where the manifest of a file is."""
    return path.with_name(f"{path.name}{SUFFIX}")


def refuse_changed(drafts: list[Draft]) -> None:
    """Raise OutputError if a draft would replace a file that is not as an export left it."""
    changed = [draft.path for draft in drafts if not _may_replace(draft)]
    if changed:
        raise OutputError(
            f"{', '.join(map(str, changed))}: not written, because the file was changed since it"
            " was exported, or something else wrote it; --force replaces it"
        )


def _may_replace(draft: Draft) -> bool:
    if not os.path.lexists(draft.path):
        return True
    with _explained(draft.path):
        if not draft.path.is_file():
            return False
        with draft.path.open("rb") as file:
            present = hashlib.file_digest(file, "sha256").hexdigest()
    return present in (draft.sha256, _recorded(draft.path))


def _recorded(path: Path) -> str | None:
    """Return the hash in the manifest of a file."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        recorded = json.loads(manifest_of(path).read_bytes())["sha256"]
        return recorded if isinstance(recorded, str) else None
    return None


def write_manifest(path: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest of a file; it replaces the one that there is."""
    content = json.dumps(manifest, indent=2).encode() + b"\n"

    def write(file: IO[bytes]) -> None:
        file.write(content)

    Draft(manifest_of(path), write).publish()


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise OutputError(
            f"{path} cannot be written ({reason}): fix its permissions, free up space, or name"
            " another folder with --output"
        ) from None
