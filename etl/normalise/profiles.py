"""Inference profiles: saved responses of ``list-inference-profiles`` and ``get-inference-profile``.

Neither response has tags. They may be added to a profile as ``tags``, in the form that
``list-tags-for-resource`` returns (``[{"key": ..., "value": ...}]``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from etl.errors import RejectError
from etl.normalise.application import APPLICATION_KEY, KeyNames, key_names
from etl.normalise.fields import listing, mapping, text
from etl.normalise.model_ids import parse_model_id
from etl.normalise.rows import InferenceProfile

_MAX_TAGS = 200


def parse_profile(
    profile: object, *, application_key: KeyNames = APPLICATION_KEY
) -> InferenceProfile:
    """Read one profile. Only an application profile names an application: its tag, else its name.

    Raises RejectError if it has no ``inferenceProfileArn``.
    """
    raw = mapping(profile)
    arn = text(raw.get("inferenceProfileArn"))
    if arn is None:
        raise RejectError("an inference profile without inferenceProfileArn")
    name, kind, tags = (
        text(raw.get("inferenceProfileName")),
        text(raw.get("type")),
        read_tags(raw.get("tags")),
    )
    arns = [a for m in listing(raw.get("models")) if (a := text(mapping(m).get("modelArn")))]
    is_application = kind == "APPLICATION" or ":application-inference-profile/" in arn
    return InferenceProfile(
        profile_arn=arn,
        profile_id=text(raw.get("inferenceProfileId")) or arn.rpartition("/")[2],
        profile_name=name,
        profile_type=kind,
        model_id=parse_model_id(arns[0]).canonical_model_id if arns else None,
        inference_scope=_scope(arn, arns),
        application=profile_application(tags, name, application_key) if is_application else None,
        tags=json.dumps(tags, ensure_ascii=False, sort_keys=True) if tags else None,
    )


def profile_application(
    tags: Mapping[str, Any], profile_name: str | None, application_key: KeyNames
) -> str | None:
    """Return the application that an application profile, or a project, represents."""
    return named_by(tags, application_key) or profile_name


def named_by(tags: Mapping[str, Any], keys: KeyNames) -> str | None:
    """Return the value of the first of the keys that the tags have."""
    return next((value for key in key_names(keys) if (value := text(tags.get(key)))), None)


def _scope(arn: str, model_arns: list[str]) -> str:
    # A global profile lists a foundation model without a region next to the regional ones.
    names_no_region = any(model_arn.split(":")[3:4] == [""] for model_arn in model_arns)
    return "global" if names_no_region else parse_model_id(arn).inference_scope


def read_tags(tags: object) -> dict[str, str]:
    """Return the tags, of which AWS allows fifty. A value that is not text becomes empty."""
    if isinstance(tags, dict):
        pairs = list(tags.items())
    else:
        pairs = [(tag.get("key"), tag.get("value")) for tag in map(mapping, listing(tags))]
    if len(pairs) > _MAX_TAGS:
        raise RejectError(f"more than {_MAX_TAGS} tags")
    return {name: text(value) or "" for key, value in pairs if (name := text(key))}
