"""The secret next to the warehouse: cookies are signed with it, and access keys hashed.

It is next to the warehouse, like the lock, not in the user's home: a service often has no home, the
folder must be writable anyway, and each warehouse has its own visitors.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
import shutil
from pathlib import Path

from sqlite_utils import Database

from etl.errors import BedrockUsageError
from etl.warehouse.paths import real_path, write_new
from etl.warehouse.turns import path_of

SHORTEST = 32

# Enough that no two of a warehouse are the same.
_BYTES = 16


def ensure_secret(db: Path, otherwise: str = "") -> str:
    """Return the secret of a warehouse, a new one if it has none.

    ``otherwise``: what else helps, for messages. Raises BedrockUsageError if the file cannot be
    used, or others may read it.
    """
    path = Path(f"{real_path(db)}.secret")
    with contextlib.suppress(FileNotFoundError):
        return _read(path, otherwise)
    try:
        write_new(path, secrets.token_hex(32).encode())
    except OSError as error:
        raise BedrockUsageError(
            f"{path}: {error.strerror}; make the folder writable{otherwise}"
        ) from None
    return _read(path, otherwise)


def secret_of(db: Database) -> str:
    """Return the secret of an open warehouse; one in memory has one that nobody learns."""
    path = path_of(db)
    return ensure_secret(path) if path.name else secrets.token_hex(32)


def copy_secret(source: Database, target: Database) -> None:
    """Give a warehouse the secret of another, if that has one that can be read."""
    files = [Path(f"{real_path(path_of(db))}.secret") for db in (source, target)]
    with contextlib.suppress(OSError):
        shutil.copy2(*files)


def credential_hash(secret: str, access_key_id: str) -> bytes:
    """Return what a warehouse keeps of the id of an access key."""
    key = hashlib.sha256(f"access keys\0{secret}".encode()).digest()
    return hmac.digest(key, access_key_id.encode("utf-8", "replace"), hashlib.sha256)[:_BYTES]


def _read(path: Path, otherwise: str) -> str:
    try:
        if os.name == "posix" and path.stat().st_mode & 0o077:
            raise BedrockUsageError(
                f"{path}: other users can read it and could log in as any visitor; delete it (all"
                " visitors must then log in again, and sessions that were read lose their tags in"
                " later calls). If the file system keeps no permissions, mount it with umask=077,"
                " or keep the warehouse elsewhere"
            )
        secret = path.read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise BedrockUsageError(f"{path}: {error.strerror}{otherwise}") from None
    if len(secret) < SHORTEST:
        raise BedrockUsageError(f"{path}: it contains no secret; delete it to create a new one")
    return secret
