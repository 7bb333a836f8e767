"""The tags of roles and users.

Source: IAM API reference, ListRoleTags, ListUserTags (checked 2026-11-29).
"""

from __future__ import annotations

from typing import Any

from etl.sources.aws import NotFoundError, Place


def fetch_role_tags(place: Place, role_name: str) -> list[dict[str, Any]] | None:
    """Return the tags of a role, of which there are fifty at most; None if it does not exist."""
    try:
        answer = place.call("iam", "ListRoleTags", {"RoleName": role_name}, requires="Tags")
    except NotFoundError:
        return None
    tags: list[dict[str, Any]] = answer["Tags"]
    return tags


def fetch_user_tags(place: Place, user_name: str) -> list[dict[str, Any]] | None:
    """Return the tags of a user, of which there are fifty at most; None if it does not exist."""
    try:
        answer = place.call("iam", "ListUserTags", {"UserName": user_name}, requires="Tags")
    except NotFoundError:
        return None
    tags: list[dict[str, Any]] = answer["Tags"]
    return tags
