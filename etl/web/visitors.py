"""Who visits, and what a visitor may see."""

from __future__ import annotations

from typing import Any

from datasette.app import Datasette

Actor = dict[str, Any] | None


def allowed_applications(datasette: Datasette, actor: Actor) -> tuple[str, ...] | None:
    """Return the applications that a visitor may see; None where it is all of them."""
    return None
