"""Bedrock's own lists: foundation models, inference profiles with their tags, capacity.

Source: Bedrock API reference, ListFoundationModels, ListInferenceProfiles, GetInferenceProfile,
ListTagsForResource (checked 2026-11-25), ListProvisionedModelThroughputs (checked 2026-11-29).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from etl.sources.aws import NotFoundError, Place


def fetch_foundation_models(place: Place) -> list[dict[str, Any]]:
    """Return the summary of every foundation model that the region offers."""
    models: list[dict[str, Any]] = place.call(
        "bedrock", "ListFoundationModels", {}, requires="modelSummaries"
    )["modelSummaries"]
    return models


def fetch_inference_profiles(place: Place, arns: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yield every profile of the account and region, application profiles with ``tags``.

    ``arns`` that the lists lack are requested one by one: a profile that an event names may be too
    new for the list, or shared. A profile that no longer exists is left out.
    """
    listed = set()
    for kind in ("SYSTEM_DEFINED", "APPLICATION"):
        for page in place.pages(
            "bedrock",
            "ListInferenceProfiles",
            {"typeEquals": kind},
            requires="inferenceProfileSummaries",
            token="nextToken",  # noqa: S106 (the name of a field)
        ):
            for profile in page["inferenceProfileSummaries"]:
                listed.add(profile.get("inferenceProfileArn"))
                yield _with_tags(place, profile) if kind == "APPLICATION" else profile
    for arn in sorted(set(arns) - listed):
        try:
            profile = place.call(
                "bedrock",
                "GetInferenceProfile",
                {"inferenceProfileIdentifier": arn},
                requires="inferenceProfileArn",
            )
            yield _with_tags(place, profile)
        except NotFoundError:
            continue  # deleted: its calls keep the profile's id as their model and have no price


def fetch_provisioned_throughputs(place: Place) -> Iterator[dict[str, Any]]:
    """Yield every provisioned throughput that exists now in the account and region."""
    for page in place.pages(
        "bedrock",
        "ListProvisionedModelThroughputs",
        {},
        requires="provisionedModelSummaries",
        token="nextToken",  # noqa: S106 (the name of a field)
    ):
        yield from page["provisionedModelSummaries"]


def _with_tags(place: Place, profile: dict[str, Any]) -> dict[str, Any]:
    arn = profile.get("inferenceProfileArn", "")
    answer = place.call("bedrock", "ListTagsForResource", {"resourceARN": arn}, requires="tags")
    return {**profile, "tags": answer["tags"]}
