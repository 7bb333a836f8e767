"""The secret that cookies are signed with."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
import tempfile
from pathlib import Path

from etl.config import Serve
from etl.errors import BedrockUsageError
from etl.warehouse.paths import real_path

VARIABLE = "DATASETTE_SECRET"
SHORTEST = 32


# A changed password logs everyone out (DECISIONS 63).
def signing_secret(db: Path, serve: Serve) -> str:
    """Return a secret that survives a restart, but changes whenever a password changes.

    Datasette's cookies contain only the visitor's name. Without this, a user whose password was
    changed, or who was removed, would stay logged in.
    """
    base = os.environ.get(VARIABLE) or _ensure_secret(Path(f"{real_path(db)}.secret"))
    if len(base) < SHORTEST:
        raise BedrockUsageError(
            f"{VARIABLE} is shorter than {SHORTEST} characters; set a longer one"
        )
    passwords = repr(sorted(serve.passwords.items()))
    return hmac.new(base.encode(), passwords.encode(), hashlib.sha256).hexdigest()


# It is next to the warehouse, like the lock, not in the user's home: a service often has no home,
# the folder must be writable anyway, and each warehouse has its own visitors.
def _ensure_secret(path: Path) -> str:
    with contextlib.suppress(FileNotFoundError):
        return _read_secret(path)
    try:
        # mkstemp creates a file that no other user may read. It gets its final name once it is
        # complete, and only if no other process was first.
        handle, name = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="ascii") as file:
                file.write(secrets.token_hex(32))
            with contextlib.suppress(FileExistsError):
                os.link(name, path)
        finally:
            Path(name).unlink()
    except OSError as error:
        raise BedrockUsageError(
            f"{path}: {error.strerror}; make the folder writable, or set {VARIABLE}"
        ) from None
    return _read_secret(path)


def _read_secret(path: Path) -> str:
    try:
        if os.name == "posix" and path.stat().st_mode & 0o077:
            raise BedrockUsageError(
                f"{path}: other users can read it and could log in as any visitor; delete it (all"
                " visitors must then log in again)"
            )
        secret = path.read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise BedrockUsageError(f"{path}: {error.strerror}; or set {VARIABLE}") from None
    if len(secret) < SHORTEST:
        raise BedrockUsageError(f"{path}: it contains no secret; delete it to create a new one")
    return secret
