"""Which application made a call, and the evidence that says so.

The first hit wins, and the evidence is kept beside the name. Two kinds of evidence are not decided
here, because they may change after the call: a user's own rules (``etl/normalise/rules.py``), which
win over all, and the application of an inference profile (view ``int_models``), which comes between
the role and the request metadata.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from etl.normalise.fields import mapping, text
from etl.normalise.user_agent import parse_application as parse_user_agent_application

UNKNOWN = "Unknown"

# Evidence of a user's own rules: see etl/normalise/rules.py.
CONFIG_RULE = "config rule"

REQUEST_METADATA = "request metadata"

# The order is the precedence; the warehouse stores it as the rank of the evidence.
APPLICATION_SOURCES = (
    CONFIG_RULE,
    "role name",
    "inference profile",
    REQUEST_METADATA,
    "user agent",
    "unknown",
)

ROLE_SUFFIX = "-BedrockRole"
APPLICATION_KEY = "application"


def find_application(
    *,
    role_name: str | None,
    request_parameters: Mapping[str, Any],
    user_agent: str | None,
    metadata_key: str = APPLICATION_KEY,
) -> tuple[str, str]:
    """Return the application and its source, one of ``APPLICATION_SOURCES``.

    ``metadata_key``: the key of the request's metadata that names it.
    """
    hits = (
        (_from_role(role_name), "role name"),
        (_from_metadata(request_parameters, metadata_key), REQUEST_METADATA),
        (parse_user_agent_application(user_agent), "user agent"),
    )
    return next(((name, source) for name, source in hits if name), (UNKNOWN, "unknown"))


def _from_role(role_name: str | None) -> str | None:
    if role_name and role_name.endswith(ROLE_SUFFIX):
        return role_name.removesuffix(ROLE_SUFFIX) or None
    return None


def _from_metadata(request_parameters: Mapping[str, Any], metadata_key: str) -> str | None:
    # Converse calls it requestMetadata, the OpenAI-compatible endpoint metadata.
    for key in ("requestMetadata", "metadata"):
        name = text(mapping(request_parameters.get(key)).get(metadata_key))
        if name:
            return name
    return None
