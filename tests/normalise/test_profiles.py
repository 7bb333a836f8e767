"""What an opaque profile id stands for."""

import pytest

from etl.errors import RejectError
from etl.normalise.profiles import parse_profile
from tests.support import ACCOUNT, HAIKU

ARN = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:application-inference-profile/a1b2c3d4e5f6"
PROFILE = {
    "inferenceProfileArn": ARN,
    "inferenceProfileId": "a1b2c3d4e5f6",
    "inferenceProfileName": "search-team",
    "type": "APPLICATION",
    "models": [{"modelArn": f"arn:aws:bedrock:us-east-1::foundation-model/{HAIKU}"}],
}


def test_an_application_profile_by_its_name_and_by_its_tag() -> None:
    profile = parse_profile(PROFILE)
    assert (profile.model_id, profile.application, profile.inference_scope) == (
        HAIKU,
        "search-team",
        "regional",
    )
    tagged = parse_profile(PROFILE | {"tags": [{"key": "application", "value": "Search"}]})
    assert (tagged.application, tagged.tags) == ("Search", '{"application": "Search"}')


def test_a_system_profile_gives_no_application() -> None:
    arn = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:inference-profile/us.{HAIKU}"
    profile = parse_profile(PROFILE | {"inferenceProfileArn": arn, "type": "SYSTEM_DEFINED"})
    assert profile.application is None


def test_a_profile_over_a_global_one_is_global() -> None:
    models = [*PROFILE["models"], {"modelArn": f"arn:aws:bedrock:::foundation-model/{HAIKU}"}]
    assert parse_profile(PROFILE | {"models": models}).inference_scope == "global"


def test_a_profile_without_arn_is_refused() -> None:
    with pytest.raises(RejectError, match="inferenceProfileArn"):
        parse_profile({"type": "APPLICATION"})
