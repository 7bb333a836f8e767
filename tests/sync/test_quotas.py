"""Service Quotas, and the minutes that come nearest to them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from etl.config import Choice
from etl.doctor.entry import examine
from etl.registry import source_of
from etl.show.findings import FAILED, OK
from tests.aws import REGION, Fault
from tests.cli.policies import allowed, policy
from tests.support import HAIKU
from tests.sync.support import DAY, HOUR, MINUTE, NOW, World, utc

SOURCES = ("quotas",)
TOKENS = "On-demand model inference tokens per minute for Anthropic Claude 3 Haiku"
LISTS = ("ListServiceQuotas", "ListAWSDefaultServiceQuotas")


def quota(name: str, value: float, code: str, **fields: Any) -> dict[str, Any]:
    return {
        "ServiceCode": "bedrock",
        "QuotaCode": code,
        "QuotaName": name,
        "Value": value,
        "Adjustable": True,
    } | fields


def test_what_applies_comes_before_the_default(world: World) -> None:
    other = "Cross-region model inference requests per minute for Amazon Nova Lite"
    unknown = "On-demand model inference tokens per minute for Acme Model 9"
    world.place.default_quotas += [
        quota(TOKENS, 100_000, "L-1"), quota(other, 200, "L-2"), quota(unknown, 5, "L-3"),
        quota("(Flows) CreateFlow requests per second", 2, "L-4"),
    ]  # fmt: skip
    world.place.quotas += [quota(TOKENS, 400_000, "L-1", Adjustable=False)]
    assert world.sync(sources=SOURCES).problems == []
    assert world.rows(
        "select quota_code, model_id, route, quota_kind, period, limit_value, is_default,"
        " is_adjustable from stg_quotas order by 1"
    ) == [
        ("L-1", HAIKU, "on-demand", "tokens", "minute", 400_000, 0, 0),
        ("L-2", "amazon.nova-lite-v1:0", "cross-region", "requests", "minute", 200, 1, 1),
        ("L-3", None, "on-demand", "tokens", "minute", 5, 1, 1),
    ]


def test_they_are_read_once_a_day_in_pages_and_what_is_gone_is_not_shown(world: World) -> None:
    name = "On-demand model inference tokens per minute for Acme Model {}"
    world.place.quotas += [quota(name.format(n), n, f"L-{n}") for n in range(230)]
    for _ in range(2):
        assert world.sync(sources=SOURCES).problems == []
        world.clock.advance(HOUR)
    assert world.rows("select count(*) from stg_quotas") == [(230,)]
    assert world.aws.count("ListServiceQuotas") == 3
    del world.place.quotas[1:]
    world.clock.advance(DAY)
    world.sync(sources=SOURCES)
    assert world.rows("select quota_code from stg_quotas") == [("L-0",)]


def test_a_quota_that_cannot_be_read_is_rejected(world: World) -> None:
    world.place.quotas += [quota(TOKENS, 1e30, "L-1"), quota(TOKENS, 7, "L-2")]
    assert world.sync(sources=SOURCES).problems == []
    assert world.rows("select quota_code from quotas") == [("L-2",)]
    ((reason,),) = world.rows("select reason from rejects")
    assert "L-1" in reason


def test_without_rights_the_rest_is_read(world: World) -> None:
    world.deliver(1, HOUR)
    world.aws.faults.append(Fault("denied", operation="ListServiceQuotas", times=None))
    (problem,) = world.sync(sources=("cloudtrail", *SOURCES)).problems
    assert "add servicequotas:ListServiceQuotas" in problem.message
    assert len(world.event_ids()) == 1
    findings = examine(Choice((REGION,), SOURCES), world.clock)
    found = {one.check: one.status for one in findings if one.check.startswith("servicequotas")}
    assert found == {
        "servicequotas:ListServiceQuotas": FAILED,
        "servicequotas:ListAWSDefaultServiceQuotas": OK,
    }


def test_transient_errors_are_tried_again(world: World) -> None:
    world.place.quotas += [quota(TOKENS, 7, "L-2")]
    for operation in LISTS:
        world.aws.faults.append(Fault("throttle", operation=operation, times=2))
    assert world.sync(sources=SOURCES).problems == []
    assert world.rows("select limit_value from quotas") == [(7,)]


def test_no_more_is_asked_than_the_policy_allows(world: World) -> None:
    world.sync()
    assert {world.aws.count(operation) for operation in LISTS} == {0}
    world.sync(sources=SOURCES)
    words = ("--source", "quotas", "--region", REGION, "--no-doctor")
    needed = {one for one in allowed(policy(*words)) if one.startswith("servicequotas")}
    assert needed == {action for one in source_of("quotas").grants for action in one.actions}
    assert {world.aws.count(operation) for operation in LISTS} == {1}


def test_the_highest_minute_of_each_day_is_kept(world: World) -> None:
    model, other = {"ModelId": f"us.{HAIKU}"}, {"ModelId": HAIKU}
    world.place.metric(
        "AWS/Bedrock",
        "EstimatedTPMQuotaUsage",
        model,
        {NOW - DAY: 500.0, NOW - DAY - MINUTE: 900.4, NOW - 2 * HOUR: 30.0},
    )
    world.place.metric("AWS/Bedrock", "InputTokenCount", other, {NOW - 2 * HOUR: 5.0})
    assert world.sync(sources=("cloudwatch",)).problems == []
    columns = "model_id, route, tokens, peak_at"
    kept = [
        (HAIKU, "cross-region", 900, utc(NOW - DAY - MINUTE)),
        (HAIKU, "cross-region", 30, utc(NOW - 2 * HOUR)),
    ]
    assert world.rows(f"select {columns} from quota_peaks order by day") == kept
    # Once a day: what is new of the last days is read again, and no day loses its highest.
    world.place.metric("AWS/Bedrock", "EstimatedTPMQuotaUsage", model, {NOW - MINUTE: 70.0})
    asked = world.aws.count("GetMetricData")
    world.clock.advance(HOUR)
    world.sync(sources=("cloudwatch",))
    assert world.rows(f"select {columns} from quota_peaks order by day") == kept
    assert world.aws.count("GetMetricData") - asked == 1
    world.clock.advance(timedelta(hours=24))
    world.sync(sources=("cloudwatch",))
    assert world.rows(f"select {columns} from quota_peaks order by day") == [
        kept[0],
        (HAIKU, "cross-region", 70, utc(NOW - MINUTE)),
    ]
    assert world.rows("select count(*) from metric_series where metric like 'Est%'") == [(0,)]
