"""The catalogue: names of models, and what an opaque profile refers to."""

from __future__ import annotations

from typing import Any

from etl.load.decoder.content import Keys
from etl.warehouse.database import open_warehouse
from etl.warehouse.write.attribution import apply_application_tag
from tests.aws import Fault
from tests.support import HAIKU
from tests.sync.support import DAY, HOUR, MINUTE, NOW, World, utc

SOURCES = ("cloudtrail", "catalogue")


def test_a_profile_in_an_event_is_its_model_and_its_application(world: World) -> None:
    model = world.place.foundation_model(HAIKU, "Claude 3 Haiku")
    tagged = world.place.application_profile(
        "abc123", "named", model, tags={"application": "Search", "x": "y"}
    )
    named = world.place.application_profile("def456", "Billing", model)
    world.deliver(1, 2 * HOUR, requestParameters={"modelId": tagged}, tokens=(1_000_000, 0))
    world.deliver(2, 2 * HOUR, requestParameters={"modelId": named}, tokens=(1_000_000, 0))
    assert world.sync(sources=SOURCES).problems == []
    assert world.rows("select application, application_source, model_id, cost_usd from calls order by 1") == [
        ("Billing", "inference profile", HAIKU, 0.25),
        ("Search", "inference profile", HAIKU, 0.25),
    ]  # fmt: skip
    assert world.rows("select model_name, provider_name from foundation_models") == [
        ("Claude 3 Haiku", "Anthropic")
    ]


def test_the_tag_is_configurable(world: World) -> None:
    model = world.place.foundation_model(HAIKU, "Claude 3 Haiku")
    profile = world.place.application_profile("abc123", "named", model, tags={"cost-center": "42"})
    world.deliver(1, 2 * HOUR, requestParameters={"modelId": profile})
    world.sync(sources=SOURCES, keys=Keys(application_tag="cost-center"))
    assert world.rows("select application from calls") == [("42",)]


def test_another_tag_later_needs_nothing_to_be_read(world: World) -> None:
    model = world.place.foundation_model(HAIKU, "Claude 3 Haiku")
    profile = world.place.application_profile("abc", "named", model, tags={"cost-center": " 42 "})
    world.deliver(1, 2 * HOUR, requestParameters={"modelId": profile})
    world.sync(sources=SOURCES)
    assert world.rows("select application from calls") == [("named",)]
    with open_warehouse(world.path) as db:
        assert apply_application_tag(db, "cost-center") == 1
        assert apply_application_tag(db, "cost-center") == 0
    assert world.rows("select application from calls") == [("42",)]


def test_it_is_read_once_a_day_and_within_the_hour_for_an_unknown_profile(world: World) -> None:
    model = world.place.foundation_model(HAIKU, "Claude 3 Haiku")
    world.sync(sources=SOURCES)
    world.clock.advance(30 * MINUTE)
    world.sync(sources=SOURCES)
    assert world.aws.count("ListFoundationModels") == 1
    profile = world.place.application_profile("new1", "New", model, hidden=True)
    world.deliver(1, MINUTE, requestParameters={"modelId": profile})
    world.sync(sources=SOURCES)
    assert world.rows("select application from calls") == [("Unknown",)]
    world.clock.advance(31 * MINUTE)
    world.sync(sources=SOURCES)
    assert world.rows("select application from calls") == [("New",)]
    assert world.aws.count("ListFoundationModels") == 2
    world.clock.advance(DAY)
    world.sync(sources=SOURCES)
    assert world.aws.count("ListFoundationModels") == 3


def test_a_deleted_profile_is_no_problem(world: World) -> None:
    arn = "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/gone"
    world.deliver(1, MINUTE, requestParameters={"modelId": arn})
    assert world.sync(sources=SOURCES).problems == []
    assert world.rows("select raw_model_id from unpriced_usage") in ([], [(arn,)])


def test_many_profiles_come_in_pages_and_a_cut_page_is_noticed(world: World) -> None:
    model = world.place.foundation_model(HAIKU, "Claude 3 Haiku")
    for number in range(230):
        world.place.system_profile(f"us.vendor.model-{number}", model)
    world.aws.faults.append(Fault("truncated", operation="ListInferenceProfiles", skip=1, times=1))
    assert world.sync(sources=SOURCES).problems == []
    assert world.rows("select count(*) from inference_profiles") == [(230,)]


def test_denied_tags_name_the_permission_and_leave_the_rest(world: World) -> None:
    world.place.application_profile("abc123", "named", world.place.foundation_model(HAIKU, "H"))
    world.deliver(1, HOUR)
    world.aws.faults.append(Fault("denied", operation="ListTagsForResource", times=None))
    (problem,) = world.sync(sources=SOURCES).problems
    assert "add bedrock:ListTagsForResource" in problem.message
    assert len(world.event_ids()) == 1


def throughput(number: int, **fields: Any) -> dict[str, Any]:
    arn = f"arn:aws:bedrock:us-east-1:111122223333:provisioned-model/{number:012x}"
    created = NOW - 2 * DAY
    return {
        "provisionedModelName": f"capacity-{number}",
        "provisionedModelArn": arn,
        "modelArn": "arn:aws:bedrock:us-east-1:111122223333:custom-model/x/y",
        "desiredModelArn": "arn:aws:bedrock:us-east-1:111122223333:custom-model/x/y",
        "foundationModelArn": f"arn:aws:bedrock:us-east-1::foundation-model/{HAIKU}",
        "modelUnits": 1,
        "desiredModelUnits": 1,
        "status": "InService",
        "commitmentDuration": "OneMonth",
        "creationTime": utc(created),
        "lastModifiedTime": utc(created),
    } | fields


def test_capacity_is_kept_with_what_was_seen_when(world: World) -> None:
    world.place.provisioned_throughputs += [throughput(number) for number in range(130)]
    assert world.sync(sources=SOURCES).problems == []
    world.clock.advance(DAY)
    del world.place.provisioned_throughputs[2:]
    world.place.provisioned_throughputs[1]["modelUnits"] = 5
    world.sync(sources=SOURCES)
    first, second = utc(NOW), utc(world.clock.now())
    seen = world.rows("select model_units, seen_from, seen_to from provisioned_throughputs order by"
                      " provisioned_model_arn, seen_from limit 4")  # fmt: skip
    assert [(units, start == first, end == first) for units, start, end in seen] == [
        (1, True, False),
        (1, True, True),
        (5, False, False),
        (1, True, True),
    ]
    assert seen[0][2][:10] == second[:10]
    columns = "model_id, commitment_duration, status, account_id, region, created_at"
    assert world.rows(f"select distinct {columns} from provisioned_throughputs") == [
        (HAIKU, "OneMonth", "InService", "111122223333", "us-east-1", utc(NOW - 2 * DAY))
    ]
    assert world.rows("select count(distinct provisioned_model_arn) from capacity_hours") == [
        (130,)
    ]


def test_denied_capacity_is_a_warning_and_loses_nothing_else(world: World) -> None:
    model = world.place.foundation_model(HAIKU, "Claude 3 Haiku")
    world.place.application_profile("abc123", "named", model)
    world.aws.faults.append(
        Fault("denied", operation="ListProvisionedModelThroughputs", times=None)
    )
    (problem,) = world.sync(sources=SOURCES).problems
    assert "add bedrock:ListProvisionedModelThroughputs" in problem.message
    assert world.rows("select count(*) from foundation_models") == [(1,)]
    assert world.rows("select count(*) from inference_profiles") == [(1,)]
    # It is said once a day, not in every sync.
    world.clock.advance(HOUR)
    assert world.sync(sources=SOURCES).problems == []
