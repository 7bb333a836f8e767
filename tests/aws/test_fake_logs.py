"""The fake's FilterLogEvents, as an unmodified boto3 sees it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.aws import NOW, FakeAws, FakeClock, Fault
from tests.aws.logs import GROUP, STREAM
from tests.support import logged

MOMENT = int(NOW.timestamp() * 1000)


def write(aws: FakeAws, number: int, seconds: float, **options: Any) -> None:
    """Write the record of a call made that long ago."""
    when = (NOW - timedelta(seconds=seconds)).isoformat()
    aws.place().log_invocation(logged(number, timestamp=when), **options)


def numbers(answer: dict[str, Any]) -> list[int]:
    return [
        int(json.loads(event["message"])["requestId"][:8], 16) - 1_000_000
        for event in answer["events"]
    ]


def code(caught: pytest.ExceptionInfo[ClientError]) -> str:
    return caught.value.response["Error"]["Code"]


@pytest.fixture
def logs(client: Callable[..., Any]) -> Any:
    return client("logs")


def test_events_come_oldest_first_in_pages(aws: FakeAws, logs: Any) -> None:
    aws.place().logs.page_events = 2
    for number in range(5):
        write(aws, number, 60 - number)
    pages = list(logs.get_paginator("filter_log_events").paginate(logGroupName=GROUP))
    assert [numbers(page) for page in pages] == [[0, 1], [2, 3], [4]]


def test_an_event_has_the_fields_of_aws(aws: FakeAws, logs: Any) -> None:
    write(aws, 7, 1.5)
    (event,) = logs.filter_log_events(logGroupName=GROUP, logStreamNames=[STREAM])["events"]
    assert json.loads(event.pop("message"))["requestId"] == logged(7)["requestId"]
    assert event == {
        "logStreamName": STREAM,
        "timestamp": MOMENT - 1500,
        "ingestionTime": MOMENT + 1500,
        "eventId": f"{1:056d}",
    }


def test_a_range_of_time_includes_both_ends(aws: FakeAws, logs: Any) -> None:
    for number in range(5):
        write(aws, number, number)
    answer = logs.filter_log_events(
        logGroupName=GROUP, startTime=MOMENT - 3000, endTime=MOMENT - 1000
    )
    assert numbers(answer) == [3, 2, 1]


def test_a_late_event_appears_when_it_is_written(aws: FakeAws, logs: Any, clock: FakeClock) -> None:
    write(aws, 1, 60, at=NOW + timedelta(minutes=15))
    assert numbers(logs.filter_log_events(logGroupName=GROUP)) == []
    clock.advance(timedelta(minutes=15))
    assert numbers(logs.filter_log_events(logGroupName=GROUP)) == [1]


def test_what_is_older_than_the_group_keeps_is_gone(aws: FakeAws, logs: Any) -> None:
    aws.place().log_group().kept = timedelta(minutes=1)
    write(aws, 1, 61)
    write(aws, 2, 60)
    assert numbers(logs.filter_log_events(logGroupName=GROUP)) == [2]


def test_events_that_arrive_while_paging_push_none_off(aws: FakeAws, logs: Any) -> None:
    aws.place().logs.page_events = 2
    for number in range(1, 5):
        write(aws, number, 10)
    first = logs.filter_log_events(logGroupName=GROUP)
    write(aws, 100, 10)
    write(aws, 101, 20)
    write(aws, 102, 1)
    second = logs.filter_log_events(logGroupName=GROUP, nextToken=first["nextToken"])
    third = logs.filter_log_events(logGroupName=GROUP, nextToken=second["nextToken"])
    assert numbers(first) + numbers(second) + numbers(third) == [1, 2, 3, 4, 100, 102]


@pytest.mark.parametrize(
    "question", [{"logGroupName": "/other"}, {"logGroupName": GROUP, "logStreamNames": ["other"]}]
)
def test_what_is_not_there_is_not_found(aws: FakeAws, logs: Any, question: dict[str, Any]) -> None:
    write(aws, 1, 1)
    with pytest.raises(logs.exceptions.ResourceNotFoundException):
        logs.filter_log_events(**question)


def test_a_prefix_that_no_stream_has_is_no_error(aws: FakeAws, logs: Any) -> None:
    write(aws, 1, 1)
    asked = {"logGroupName": GROUP, "logStreamNamePrefix": "other"}
    assert logs.filter_log_events(**asked)["events"] == []
    with pytest.raises(logs.exceptions.InvalidParameterException):
        logs.filter_log_events(**asked, logStreamNames=[STREAM])


def test_a_token_is_good_for_the_same_question_only(aws: FakeAws, logs: Any) -> None:
    aws.place().logs.page_events = 1
    write(aws, 1, 1)
    write(aws, 2, 2)
    token = logs.filter_log_events(logGroupName=GROUP)["nextToken"]
    with pytest.raises(logs.exceptions.InvalidParameterException):
        logs.filter_log_events(logGroupName=GROUP, limit=3, nextToken=token)


def test_faults(aws: FakeAws, logs: Any) -> None:
    aws.place().logs.page_events = 3
    for number in range(5):
        write(aws, number, 60 - number)
    aws.faults.append(Fault("empty-page"))
    empty = logs.filter_log_events(logGroupName=GROUP)
    assert empty["events"] == []
    first = logs.filter_log_events(logGroupName=GROUP, nextToken=empty["nextToken"])
    assert numbers(first) == [0, 1, 2]
    aws.faults[:] = [Fault("duplicates"), Fault("throttle"), Fault("denied"), Fault("garbage")]
    token = {"nextToken": first["nextToken"]}
    assert numbers(logs.filter_log_events(logGroupName=GROUP, **token)) == [0, 1, 2, 3, 4]
    for kind in ("ThrottlingException", "AccessDeniedException"):
        with pytest.raises(ClientError) as caught:
            logs.filter_log_events(logGroupName=GROUP)
        assert code(caught) == kind
    assert "events" not in logs.filter_log_events(logGroupName=GROUP)
