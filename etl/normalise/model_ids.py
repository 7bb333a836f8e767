"""What a ``modelId`` means: one model has many names, and every source uses a different one.

CloudTrail holds whatever the caller sent (a plain id, a geo or global profile id, an ARN of either,
an opaque ARN), CloudWatch uses the tail of it, prices are listed under the canonical id. Nothing is
looked up here but the other ids of a model, in ``sql/seeds/model_aliases.csv``: the view
``int_models`` resolves an application inference profile to its model, so that a profile loaded
later still counts.
"""

from __future__ import annotations

import csv
import functools
import re
from typing import NamedTuple

from etl import resources

# `global.` routes anywhere and has its own prices; every other prefix bills the regional price.
GEO_PREFIXES = (
    *("us-gov.", "us.", "eu.", "apac.", "jp.", "au.", "ca.", "in.", "amer."),
    "global.",
)

NOT_STATED = "(not stated)"

_CONTEXT_SUFFIX = re.compile(r":(?:\d+[km]|\d{3,}|mm)$")
_REVISION = re.compile(r":\d+$")
_VERSION = re.compile(r"-v\d+(?::\d+)?$")
_DATE = re.compile(r"-20\d{2}(?:\d{4}|-\d{2}-\d{2})$")


class ModelNames(NamedTuple):
    """The names of one model id as sent.

    ``cloudwatch_model_id`` is the tail with its geo prefix, ``canonical_model_id`` the tail without
    it, ``price_model_ids`` the ids under which a price may be listed, the best first.
    """

    model_id: str
    model_tail: str
    cloudwatch_model_id: str
    canonical_model_id: str
    inference_scope: str
    price_model_ids: tuple[str, ...]


def parse_model_id(model_id: str | None) -> ModelNames:
    """Read a model id as sent. None becomes the model ``(not stated)``, which has no price."""
    if model_id is None:
        return ModelNames(NOT_STATED, NOT_STATED, NOT_STATED, NOT_STATED, "regional", ())
    tail = model_id.rsplit("/", 1)[-1] if model_id.startswith("arn:") else model_id
    cloudwatch_id = _CONTEXT_SUFFIX.sub("", tail)
    canonical, scope = _strip_geo_prefix(cloudwatch_id)
    return ModelNames(model_id, tail, cloudwatch_id, canonical, scope, price_model_ids(canonical))


def _strip_geo_prefix(model_id: str) -> tuple[str, str]:
    for prefix in GEO_PREFIXES:
        rest = model_id.removeprefix(prefix)
        # `us.` is a prefix only before `provider.model`.
        if rest != model_id and "." in rest:
            return rest, "global" if prefix == "global." else "regional"
    return model_id, "regional"


def price_model_ids(canonical_model_id: str) -> tuple[str, ...]:
    """Return the ids to look up a price by: exact, then without `:M`, `-vN:M`, the date.

    Last, the id that the exact one is another name of; never that of a similar one.
    """
    unversioned = _VERSION.sub("", canonical_model_id)
    candidates = (
        canonical_model_id,
        _REVISION.sub("", canonical_model_id),
        unversioned,
        _DATE.sub("", unversioned),
        model_aliases().get(canonical_model_id, canonical_model_id),
    )
    return tuple(dict.fromkeys(candidates))


@functools.cache
def model_aliases() -> dict[str, str]:
    """Return the other ids of models, each with the id under which prices are listed."""
    with (resources.SQL / "seeds" / "model_aliases.csv").open(encoding="utf-8", newline="") as file:
        return {row["alias_id"]: row["model_id"] for row in csv.DictReader(file)}
