"""How far back is meant, as a moment."""

from __future__ import annotations

from datetime import datetime, timedelta

from etl.config import parse_since
from etl.errors import ConfigError


def moment_of(text: str | None, now: datetime) -> datetime | None:
    """Return the moment that a duration or a date stands for.

    Raises ConfigError for neither, and for one that has not come yet.
    """
    if text is None:
        return None
    since = parse_since(text)
    moment = now - since if isinstance(since, timedelta) else since
    if moment > now:
        raise ConfigError(f"since is {text}, which has not come yet")
    return moment
