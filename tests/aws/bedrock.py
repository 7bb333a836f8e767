"""Bedrock's control plane: models, profiles with tags, capacity, and the logging settings.

A profile is the dict that ListInferenceProfiles shows, with two additional keys: ``tags``, and
``isHidden`` for a profile that GetInferenceProfile finds although it is not listed (such as one that
another account shares, or that was just deleted from the list).

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_Operations_Amazon_Bedrock.html
"""

from __future__ import annotations

from typing import Any

from tests.aws.calls import AwsError, Call, Handler
from tests.aws.paging import page

PAGE = 100
_OWN = ("tags", "isHidden")
_FILTERS = {
    "byProvider": "providerName",
    "byCustomizationType": "customizationsSupported",
    "byOutputModality": "outputModalities",
    "byInferenceType": "inferenceTypesSupported",
}


def list_foundation_models(call: Call) -> dict[str, Any]:
    """Answer with all models at once: this operation has no pages."""
    asked = {_FILTERS[key]: value for key, value in call.params.items() if key in _FILTERS}
    models = [
        model
        for model in call.place.foundation_models
        if all(
            value == model.get(key) or value in model.get(key, ()) for key, value in asked.items()
        )
    ]
    return {"modelSummaries": models}


def list_inference_profiles(call: Call) -> dict[str, Any]:
    """Answer with a page of the profiles of one type, or of both."""
    kind = call.params.get("typeEquals")
    profiles = [
        _shown(profile)
        for profile in call.place.inference_profiles
        if kind in (None, profile["type"]) and not profile.get("isHidden")
    ]
    listed, token = page(call, profiles, call.params.get("maxResults", PAGE))
    answer: dict[str, Any] = {"inferenceProfileSummaries": listed}
    return answer | ({"nextToken": token} if token else {})


def get_inference_profile(call: Call) -> dict[str, Any]:
    """Answer with the profile that has this ARN or id."""
    return _shown(_find(call, call.params["inferenceProfileIdentifier"]))


def list_tags_for_resource(call: Call) -> dict[str, Any]:
    """Answer with the tags of a profile; other resources are unknown."""
    tags = _find(call, call.params["resourceARN"]).get("tags", {})
    return {"tags": [{"key": key, "value": value} for key, value in tags.items()]}


def list_provisioned_throughputs(call: Call) -> dict[str, Any]:
    """Answer with a page of what exists now."""
    listed, token = page(
        call, call.place.provisioned_throughputs, call.params.get("maxResults", PAGE)
    )
    answer: dict[str, Any] = {"provisionedModelSummaries": listed}
    return answer | ({"nextToken": token} if token else {})


def get_logging_configuration(call: Call) -> dict[str, Any]:
    config = call.place.logging_config
    return {} if config is None else {"loggingConfig": config}


OPERATIONS: dict[str, Handler] = {
    "ListFoundationModels": list_foundation_models,
    "ListInferenceProfiles": list_inference_profiles,
    "GetInferenceProfile": get_inference_profile,
    "ListProvisionedModelThroughputs": list_provisioned_throughputs,
    "ListTagsForResource": list_tags_for_resource,
    "GetModelInvocationLoggingConfiguration": get_logging_configuration,
}


def _shown(profile: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in profile.items() if key not in _OWN}


def _find(call: Call, identifier: str) -> dict[str, Any]:
    for profile in call.place.inference_profiles:
        if identifier in (profile["inferenceProfileArn"], profile["inferenceProfileId"]):
            return profile
    raise AwsError(
        "ResourceNotFoundException", "The provided resource identifier was not found", 404
    )
