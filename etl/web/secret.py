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


def signing_secret(db: Path, serve: Serve) -> str:
    """Return a secret that survives a restart, but no change of any password.

    Datasette's cookies say who somebody is and nothing else: without this, whoever knew a password
    that was changed, or belongs to a user who was removed, would stay logged in.
    """
    base = os.environ.get(VARIABLE) or _ensure_secret(Path(f"{real_path(db)}.secret"))
    if len(base) < SHORTEST:
        raise BedrockUsageError(f"{VARIABLE} is shorter than {SHORTEST} characters; make it longer")
    passwords = repr(sorted(serve.passwords.items()))
    return hmac.new(base.encode(), passwords.encode(), hashlib.sha256).hexdigest()


# It stands beside the warehouse, as the lock does, and not in the user's home: a service often has
# none, the folder must be writable anyway, and each warehouse has visitors of its own.
def _ensure_secret(path: Path) -> str:
    with contextlib.suppress(FileNotFoundError):
        return _read_secret(path)
    try:
        # mkstemp makes a file that nobody else may read. It gets its name when it is complete, and
        # only if no other process was first.
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
            f"{path}: {error.strerror}; the folder must be writable, or set {VARIABLE}"
        ) from None
    return _read_secret(path)


def _read_secret(path: Path) -> str:
    try:
        if os.name == "posix" and path.stat().st_mode & 0o077:
            raise BedrockUsageError(
                f"{path}: others may read it, and could log in as anybody; delete it, and everybody"
                " logs in once more"
            )
        secret = path.read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise BedrockUsageError(f"{path}: {error.strerror}; or set {VARIABLE}") from None
    if len(secret) < SHORTEST:
        raise BedrockUsageError(f"{path}: there is no secret in it; delete it, and it is made anew")
    return secret
