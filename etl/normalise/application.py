"""Which application made a call, and the evidence for it.

The first hit wins, and the evidence is stored next to the name. Two kinds of evidence are not
evaluated here, because they may change after the call: a user's own rules
(``etl/normalise/rules.py``), which rank first, and the application of an inference profile (view
``int_models``), which ranks between the role and the request metadata.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from etl.normalise.fields import mapping, text
from etl.normalise.user_agent import parse_application as parse_user_agent_application

UNKNOWN = "Unknown"

# Evidence of a user's own rules: see etl/normalise/rules.py.
CONFIG_RULE = "config rule"

ROLE_NAME = "role name"
INFERENCE_PROFILE = "inference profile"
MANTLE_PROJECT = "mantle project"
REQUEST_METADATA = "request metadata"
USER_AGENT = "user agent"

# The order is the precedence. The warehouse stores it as the rank of the evidence.
APPLICATION_SOURCES = (
    CONFIG_RULE,
    ROLE_NAME,
    INFERENCE_PROFILE,
    MANTLE_PROJECT,
    REQUEST_METADATA,
    USER_AGENT,
    "unknown",
)

ROLE_SUFFIX = "-BedrockRole"
APPLICATION_KEY = "application"


# One key, or several in order.
KeyNames = str | tuple[str, ...]

# Requests without a project belong to this one: it says nothing about the application.
_DEFAULT_PROJECT = "default"


def key_names(keys: KeyNames) -> tuple[str, ...]:
    """Return keys in their order."""
    return (keys,) if isinstance(keys, str) else keys


def find_application(
    *,
    role_name: str | None,
    request_parameters: Mapping[str, Any],
    user_agent: str | None,
    project: str | None = None,
    metadata_key: KeyNames = APPLICATION_KEY,
) -> tuple[str, str]:
    """Return the application and its source, one of ``APPLICATION_SOURCES``.

    ``project``: the ARN of a project. ``metadata_key``: the keys in the request metadata that may
    name it.
    """
    hits = application_evidence(
        role_name=role_name,
        request_parameters=request_parameters,
        user_agent=user_agent,
        project=project,
        metadata_key=metadata_key,
    )
    return next(((name, source) for name, source in hits if name), (UNKNOWN, "unknown"))


def application_evidence(
    *,
    role_name: str | None,
    request_parameters: Mapping[str, Any],
    user_agent: str | None,
    project: str | None = None,
    metadata_key: KeyNames = APPLICATION_KEY,
) -> tuple[tuple[str | None, str], ...]:
    """Return what each kind of evidence on a call names, the best first; None for nothing."""
    return (
        (_from_role(role_name), ROLE_NAME),
        (_from_project(project), MANTLE_PROJECT),
        (find_metadata(request_parameters, metadata_key)[0], REQUEST_METADATA),
        (parse_user_agent_application(user_agent), USER_AGENT),
    )


def _from_role(role_name: str | None) -> str | None:
    if role_name and role_name.endswith(ROLE_SUFFIX):
        return role_name.removesuffix(ROLE_SUFFIX) or None
    return None


def _from_project(project: str | None) -> str | None:
    """Return a project's id; the warehouse knows its name (``etl.warehouse.write.shown_names``)."""
    project_id = (project or "").rpartition("/")[2]
    return project_id if project_id not in ("", _DEFAULT_PROJECT) else None


def find_metadata(
    request_parameters: Mapping[str, Any], metadata_key: KeyNames
) -> tuple[str | None, str | None]:
    """Return the application that the metadata names, and under which key; (None, None) if none."""
    # Converse calls it requestMetadata, the OpenAI-compatible endpoint metadata.
    for key in key_names(metadata_key):
        for field in ("requestMetadata", "metadata"):
            name = text(mapping(request_parameters.get(field)).get(key))
            if name:
                return name, key
    return None, None
