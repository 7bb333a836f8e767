"""The secret that cookies are signed with."""

from __future__ import annotations

import hashlib
import hmac
import os
from pathlib import Path

from etl.config import Serve
from etl.errors import BedrockUsageError
from etl.warehouse.secret import SHORTEST, ensure_secret

VARIABLE = "DATASETTE_SECRET"


# A changed password logs everyone out (DECISIONS 63).
def signing_secret(db: Path, serve: Serve) -> str:
    """Return a secret that survives a restart, but changes whenever a password changes.

    Datasette's cookies contain only the visitor's name. Without this, a user whose password was
    changed, or who was removed, would stay logged in.
    """
    base = os.environ.get(VARIABLE) or ensure_secret(db, f", or set {VARIABLE}")
    if len(base) < SHORTEST:
        raise BedrockUsageError(
            f"{VARIABLE} is shorter than {SHORTEST} characters; set a longer one"
        )
    passwords = repr(sorted(serve.passwords.items()))
    return hmac.new(base.encode(), passwords.encode(), hashlib.sha256).hexdigest()
