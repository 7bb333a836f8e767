"""Which team a call belongs to: the kinds of evidence, and the tags of sessions.

The first evidence that names a team wins, and is stored next to the name. All of it may become
known after the call, so the warehouse decides (``etl.warehouse.write.teams``).

**Session tags** are set where credentials are made: by ``AssumeRole`` and its like. A later call
has the same access key, and so the tags. They follow a chain of roles only where they are
transitive.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from etl.errors import RejectError
from etl.normalise.fields import listing, mapping, text, utc_time
from etl.normalise.identity import NO_TEAM, UNATTRIBUTED, is_temporary
from etl.normalise.profiles import read_tags
from etl.normalise.rows import RoleSession

STS = "sts.amazonaws.com"

SESSION_TAG = "session tag"
PRINCIPAL_TAG = "principal tag"
ACCOUNT_NAME = "account name"
ACCOUNT_UNIT = "organizational unit"

# Names that no evidence may give.
RESERVED_TEAMS = frozenset({NO_TEAM, UNATTRIBUTED})

# Who can pass tags on: a session of a role, or of GetFederationToken.
CHAINED_TYPES = ("AssumedRole", "FederatedUser")

TEAM_KEY = "team"

# Whether an account tells the team of its calls: by its name, by its unit, or not at all.
AccountEvidence = Literal["name", "unit", "off"]


class TeamSettings(NamedTuple):
    """What may name a team: keys of tags and of request metadata, in order; accounts."""

    tags: tuple[str, ...] = (TEAM_KEY,)
    metadata: tuple[str, ...] = (TEAM_KEY,)
    account: AccountEvidence = "name"


def parse_role_session(record: Mapping[str, Any]) -> RoleSession | None:
    """Read an event of STS; None unless it made credentials that may have tags.

    Defects of such an event do not matter: it is no call.
    """
    if text(record.get("eventSource")) != STS:
        return None
    credentials = mapping(mapping(record.get("responseElements")).get("credentials"))
    caller = mapping(record.get("userIdentity"))
    parameters = mapping(record.get("requestParameters"))
    return make_role_session(
        text(record.get("eventTime")),
        text(credentials.get("accessKeyId")),
        text(caller.get("accessKeyId")) if caller.get("type") in CHAINED_TYPES else None,
        [parameters.get(name) for name in ("incomingTransitiveTags", "principalTags", "tags")],
        parameters.get("transitiveTagKeys"),
    )


def make_role_session(
    time: str | None,
    access_key_id: str | None,
    caller_key_id: str | None,
    tags: list[object],
    transitive_keys: object,
) -> RoleSession | None:
    """Return a session from what its event says; ``tags``: those inherited first."""
    if time is None or access_key_id is None or not is_temporary(access_key_id):
        return None
    parent = caller_key_id if caller_key_id and is_temporary(caller_key_id) else None
    if parent is None and not any(tags):
        return None
    try:
        utc = utc_time(time, "eventTime", is_utc=True)
        if not any(tags):
            return RoleSession(utc, access_key_id, parent, "{}", "[]")
        inherited, *own = [read_any_tags(some) for some in tags]
    except RejectError:
        return None
    found = dict(inherited)
    for some in own:
        found |= some
    if not found and parent is None:
        return None
    passed_on = {*inherited, *(key for one in listing(transitive_keys) if (key := text(one)))}
    return RoleSession(
        event_time=utc,
        access_key_id=access_key_id,
        parent=parent,
        tags=json.dumps(found, ensure_ascii=False, sort_keys=True),
        transitive_keys=json.dumps(sorted(passed_on), ensure_ascii=False),
    )


def read_any_tags(tags: object) -> dict[str, str]:
    """Return tags in any form that AWS uses. Raises RejectError if they are too many."""
    if isinstance(tags, list):
        # Some forms capitalise: {"Key": ..., "Value": ...}.
        tags = [{str(k).lower(): v for k, v in mapping(tag).items()} for tag in tags]
    return read_tags(tags)
