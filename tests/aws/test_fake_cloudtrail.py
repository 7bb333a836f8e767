"""The fake's LookupEvents, as an unmodified boto3 sees it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.aws import ACCOUNT, NOW, FakeAws, FakeClock
from tests.support import call, role_identity, uuid_of

BEDROCK = [{"AttributeKey": "EventSource", "AttributeValue": "bedrock.amazonaws.com"}]
Clients = Callable[..., Any]


def at(seconds: float) -> str:
    """Return the text of a time before NOW."""
    return (NOW - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def numbers(events: list[dict[str, Any]]) -> list[int]:
    return [int(event["EventId"][:8], 16) for event in events]


def code(caught: pytest.ExceptionInfo[ClientError]) -> str:
    return caught.value.response["Error"]["Code"]


@pytest.fixture
def trail(client: Clients, aws: FakeAws) -> Any:
    aws.lookup_rate = None
    return client("cloudtrail")


def test_pages_hold_50_events_newest_first(aws: FakeAws, trail: Any) -> None:
    for number in range(120):
        aws.place().deliver(call(number, eventTime=at(number // 3)))
    pages = list(trail.get_paginator("lookup_events").paginate(LookupAttributes=BEDROCK))
    assert [len(page["Events"]) for page in pages] == [50, 50, 20]
    events = [event for page in pages for event in page["Events"]]
    times = [event["EventTime"] for event in events]
    assert times == sorted(times, reverse=True)
    assert sorted(numbers(events)) == list(range(120))


def test_an_event_has_the_fields_of_aws(aws: FakeAws, trail: Any) -> None:
    record = call(
        7,
        userIdentity=role_identity("App", "alice@example.com"),
        resources=[{"type": "AWS::Bedrock::Model", "ARN": "arn:model", "accountId": ACCOUNT}],
        readOnly=True,
        eventTime=at(1),
    )
    aws.place().deliver(record)
    (event,) = trail.lookup_events()["Events"]
    assert json.loads(event.pop("CloudTrailEvent")) == record
    assert event == {
        "EventId": uuid_of(7),
        "EventName": "InvokeModel",
        "ReadOnly": "true",
        "EventTime": NOW - timedelta(seconds=1),
        "EventSource": "bedrock.amazonaws.com",
        "Username": "alice@example.com",
        "Resources": [{"ResourceType": "AWS::Bedrock::Model", "ResourceName": "arn:model"}],
    }
    assert event["EventTime"].tzinfo is not None


@pytest.mark.parametrize(
    ("key", "value", "found"),
    [
        ("EventId", uuid_of(2), [2]),
        ("EventName", "Converse", [1]),
        ("EventSource", "s3.amazonaws.com", [3]),
        ("Username", "bob", [2]),
    ],
)
def test_one_attribute_selects(
    aws: FakeAws, trail: Any, key: str, value: str, found: list[int]
) -> None:
    aws.place().deliver(call(1, eventName="Converse", eventTime=at(1)))
    aws.place().deliver(call(2, user="bob", eventTime=at(2)))
    aws.place().deliver(call(3, eventSource="s3.amazonaws.com", eventTime=at(3)))
    answer = trail.lookup_events(LookupAttributes=[{"AttributeKey": key, "AttributeValue": value}])
    assert numbers(answer["Events"]) == found


def test_two_attributes_are_refused(trail: Any) -> None:
    with pytest.raises(trail.exceptions.InvalidLookupAttributesException):
        trail.lookup_events(LookupAttributes=BEDROCK * 2)


def test_a_range_of_time_includes_both_ends(aws: FakeAws, trail: Any) -> None:
    for number in range(5):
        aws.place().deliver(call(number, eventTime=at(number)))
    answer = trail.lookup_events(
        StartTime=NOW - timedelta(seconds=3), EndTime=NOW - timedelta(seconds=1)
    )
    assert numbers(answer["Events"]) == [1, 2, 3]


def test_a_range_that_ends_before_it_starts_is_refused(trail: Any) -> None:
    with pytest.raises(trail.exceptions.InvalidTimeRangeException):
        trail.lookup_events(StartTime=NOW, EndTime=NOW - timedelta(seconds=1))


@pytest.mark.parametrize("size", [51, 1000])
def test_no_page_is_larger_than_50(trail: Any, size: int) -> None:
    with pytest.raises(trail.exceptions.InvalidMaxResultsException):
        trail.lookup_events(MaxResults=size)


def test_data_events_are_not_there(aws: FakeAws, trail: Any) -> None:
    place = aws.place()
    place.deliver(call(1, eventName="InvokeAgent", eventTime=at(1)))
    place.deliver(call(2, eventCategory="Data", eventTime=at(1)))
    place.deliver(call(3, managementEvent=False, eventTime=at(1)))
    place.deliver(call(4, eventName="ListFoundationModels", eventTime=at(1)))
    assert numbers(trail.lookup_events()["Events"]) == [4]


def test_events_are_kept_90_days(aws: FakeAws, trail: Any) -> None:
    aws.place().deliver(call(1, eventTime=at(90 * 86400)))
    aws.place().deliver(call(2, eventTime=at(90 * 86400 + 1)))
    old = NOW - timedelta(days=200)
    assert numbers(trail.lookup_events(StartTime=old)["Events"]) == [1]


def test_a_late_event_appears_when_it_is_delivered(
    aws: FakeAws, trail: Any, clock: FakeClock
) -> None:
    aws.place().deliver(call(1, eventTime=at(60)), at=NOW + timedelta(minutes=15))
    assert trail.lookup_events()["Events"] == []
    clock.advance(timedelta(minutes=15))
    assert numbers(trail.lookup_events()["Events"]) == [1]


def test_an_event_may_come_twice(aws: FakeAws, trail: Any) -> None:
    for _ in range(2):
        aws.place().deliver(call(1, eventTime=at(60)))
    assert numbers(trail.lookup_events()["Events"]) == [1, 1]


def test_the_text_of_an_event_may_be_spoilt(aws: FakeAws, trail: Any) -> None:
    aws.place().deliver(call(1, eventTime=at(60)), text="{not json")
    assert trail.lookup_events()["Events"][0]["CloudTrailEvent"] == "{not json"


def test_accounts_and_regions_are_apart(aws: FakeAws, client: Clients) -> None:
    aws.lookup_rate = None
    aws.place("444455556666", "eu-west-1").deliver(call(1, eventTime=at(1)))
    assert client("cloudtrail").lookup_events()["Events"] == []
    assert client("cloudtrail", "eu-west-1").lookup_events()["Events"] == []
    theirs = client("cloudtrail", "eu-west-1", account="444455556666")
    assert numbers(theirs.lookup_events()["Events"]) == [1]


@pytest.mark.parametrize(
    "other",
    [
        {"MaxResults": 3},
        {"StartTime": NOW - timedelta(days=1)},
        {"LookupAttributes": [{"AttributeKey": "EventName", "AttributeValue": "InvokeModel"}]},
    ],
)
def test_a_token_is_good_for_the_same_question_only(
    aws: FakeAws, trail: Any, other: dict[str, Any]
) -> None:
    for number in range(5):
        aws.place().deliver(call(number, eventTime=at(number)))
    question = {"LookupAttributes": BEDROCK, "MaxResults": 2}
    token = trail.lookup_events(**question)["NextToken"]
    assert numbers(trail.lookup_events(**question, NextToken=token)["Events"]) == [2, 3]
    with pytest.raises(trail.exceptions.InvalidNextTokenException):
        trail.lookup_events(**question | other, NextToken=token)


def test_a_made_up_token_is_refused(trail: Any) -> None:
    with pytest.raises(trail.exceptions.InvalidNextTokenException):
        trail.lookup_events(NextToken="abc")


def test_events_that_arrive_while_paging_push_none_off(aws: FakeAws, trail: Any) -> None:
    place = aws.place()
    for number in range(1, 5):
        place.deliver(call(number, eventTime=at(10)))
    first = trail.lookup_events(MaxResults=2)
    place.deliver(call(100, eventTime=at(10)))
    place.deliver(call(101, eventTime=at(1)))
    place.deliver(call(102, eventTime=at(20)))
    second = trail.lookup_events(MaxResults=2, NextToken=first["NextToken"])
    third = trail.lookup_events(MaxResults=2, NextToken=second["NextToken"])
    assert numbers(first["Events"] + second["Events"] + third["Events"]) == [4, 3, 2, 1, 102]


def test_the_third_request_of_a_second_is_throttled(
    aws: FakeAws, client: Clients, clock: FakeClock
) -> None:
    trail = client("cloudtrail")
    trail.lookup_events()
    clock.advance(timedelta(seconds=0.6))
    trail.lookup_events()
    with pytest.raises(ClientError) as caught:
        trail.lookup_events()
    assert code(caught) == "ThrottlingException"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    client("cloudtrail", "eu-west-1").lookup_events()
    client("cloudtrail", account="444455556666").lookup_events()
    clock.advance(timedelta(seconds=0.4))
    trail.lookup_events()
    assert aws.throttled == aws.count("LookupEvents", outcome="ThrottlingException") == 1


@pytest.mark.parametrize("rate", [0.5, 1.0, 2.0, 10.0])
def test_requests_paced_at_the_rate_pass(
    aws: FakeAws, client: Clients, clock: FakeClock, rate: float
) -> None:
    aws.lookup_rate = rate
    trail = client("cloudtrail")
    for _ in range(12):
        trail.lookup_events()
        clock.sleep(1 / rate)
    assert aws.throttled == 0


def test_time_of_an_event_loses_its_fraction(aws: FakeAws, trail: Any) -> None:
    aws.place().deliver(call(1, eventTime="2026-11-03T11:59:59.750Z"))
    (event,) = trail.lookup_events()["Events"]
    assert event["EventTime"] == datetime(2026, 11, 3, 11, 59, 59, tzinfo=UTC)
