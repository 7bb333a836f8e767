"""The fake itself: its wire, faults, records and violations, and its shutdown."""

from __future__ import annotations

import gc
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import boto3
import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ReadTimeoutError,
)

from tests.aws import ACCOUNT, NOW, FakeAws, FakeClock, Fault
from tests.rounds import some
from tests.support import call, uuid_of

Clients = Callable[..., Any]


@pytest.fixture
def trail(client: Clients, aws: FakeAws) -> Any:
    """CloudTrail with 12 events; a higher number is older."""
    aws.lookup_rate = None
    for number in range(12):
        when = (NOW - timedelta(seconds=number)).isoformat()
        aws.place().deliver(call(number, eventTime=when))
    return client("cloudtrail")


def ids(page: dict[str, Any]) -> list[str]:
    return [event["EventId"] for event in page["Events"]]


def refused(operation: Callable[..., Any], **params: Any) -> tuple[str, int]:
    """Return the code and the status of the operation's failure."""
    with pytest.raises(ClientError) as caught:
        operation(**params)
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


@pytest.mark.parametrize(
    ("kind", "code", "status"),
    [
        ("500", "InternalFailure", 500),
        ("503", "ServiceUnavailable", 503),
        ("throttle", "ThrottlingException", 400),
        ("denied", "AccessDeniedException", 400),
        ("expired-credentials", "ExpiredTokenException", 400),
        ("invalid-credentials", "UnrecognizedClientException", 400),
    ],
)
def test_a_fault_may_be_an_error(
    aws: FakeAws, trail: Any, kind: str, code: str, status: int
) -> None:
    aws.faults.append(Fault(kind))
    assert refused(trail.lookup_events) == (code, status)
    assert len(trail.lookup_events()["Events"]) == 12
    assert [request.outcome for request in aws.requests] == [code, "ok"]


@pytest.mark.parametrize(
    ("service", "operation", "code", "status"),
    some(
        [
            ("cloudwatch", "list_metrics", "AccessDeniedException", 400),
            ("bedrock", "list_foundation_models", "AccessDeniedException", 403),
            ("sts", "get_caller_identity", "AccessDenied", 403),
            ("ec2", "describe_regions", "UnauthorizedOperation", 403),
            ("s3", "list_buckets", "AccessDenied", 403),
        ],
        3,
    ),
)
def test_an_error_has_the_form_of_its_protocol(
    aws: FakeAws, client: Clients, service: str, operation: str, code: str, status: int
) -> None:
    aws.faults.append(Fault("denied"))
    assert refused(getattr(client(service), operation)) == (code, status)


def test_bedrock_throttles_with_429(aws: FakeAws, client: Clients) -> None:
    aws.faults.append(Fault("throttle"))
    assert refused(client("bedrock").list_foundation_models) == ("ThrottlingException", 429)


def test_a_denial_says_who_may_not_do_what(aws: FakeAws, trail: Any) -> None:
    aws.faults.append(Fault("denied"))
    text = f"User: arn:aws:iam::{ACCOUNT}:user/tester is not authorized to perform: cloudtrail:LookupEvents"
    with pytest.raises(ClientError, match=text):
        trail.lookup_events()


def test_a_reset_comes_before_any_answer(aws: FakeAws, trail: Any) -> None:
    aws.faults.append(Fault("reset"))
    with pytest.raises(ConnectionClosedError, match="Connection was closed before"):
        trail.lookup_events()
    assert len(trail.lookup_events()["Events"]) == 12


def test_a_reset_may_come_inside_an_answer(aws: FakeAws, trail: Any) -> None:
    aws.faults.append(Fault("reset-in-body"))
    with pytest.raises(ConnectionClosedError):
        trail.lookup_events()


@pytest.mark.parametrize("kind", ["truncated", "cut", "garbage"])
def test_a_spoilt_body_raises_nothing_and_has_no_events(
    aws: FakeAws, trail: Any, kind: str
) -> None:
    aws.faults.append(Fault(kind))
    answer = trail.lookup_events()
    assert "Events" not in answer
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_a_slow_answer_is_an_answer(aws: FakeAws, trail: Any) -> None:
    aws.faults.append(Fault("slow", seconds=0.2))
    began = time.monotonic()
    assert len(trail.lookup_events()["Events"]) == 12
    assert time.monotonic() - began >= 0.2


def test_a_hanging_answer_ends_with_the_clients_patience(aws: FakeAws, client: Clients) -> None:
    aws.faults.append(Fault("hang"))
    with pytest.raises(ReadTimeoutError):
        client("cloudtrail", read_timeout=0.2).lookup_events()


def test_a_token_may_expire(aws: FakeAws, trail: Any) -> None:
    aws.faults.append(Fault("expired-token"))
    token = trail.lookup_events(MaxResults=5)["NextToken"]
    with pytest.raises(trail.exceptions.InvalidNextTokenException):
        trail.lookup_events(MaxResults=5, NextToken=token)
    assert len(trail.lookup_events(MaxResults=5, NextToken=token)["Events"]) == 5


@pytest.mark.parametrize("skip", [0, 1, 2])
def test_an_empty_page_is_not_the_end(aws: FakeAws, trail: Any, skip: int) -> None:
    aws.faults.append(Fault("empty-page", skip=skip))
    pages = list(trail.get_paginator("lookup_events").paginate(PaginationConfig={"PageSize": 5}))
    sizes = [5, 5, 2]
    sizes.insert(skip, 0)
    assert [len(page["Events"]) for page in pages] == sizes
    assert [i for page in pages for i in ids(page)] == [uuid_of(n) for n in range(12)]


def test_a_page_may_repeat_some_of_the_page_before(aws: FakeAws, trail: Any) -> None:
    aws.faults.append(Fault("duplicates"))
    pages = list(trail.get_paginator("lookup_events").paginate(PaginationConfig={"PageSize": 8}))
    found = [int(i[:8], 16) for page in pages for i in ids(page)]
    assert found == [*range(8), *range(3, 12)]
    assert {request.outcome for request in aws.requests} == {"ok", "duplicates"}


@pytest.mark.parametrize("size", [1, 2, 5, 50])
def test_repeating_pages_still_come_to_an_end(aws: FakeAws, trail: Any, size: int) -> None:
    aws.faults.append(Fault("duplicates", times=None))
    pages = trail.get_paginator("lookup_events").paginate(PaginationConfig={"PageSize": size})
    found = {i for page in pages for i in ids(page)}
    assert found == {uuid_of(number) for number in range(12)}


def test_other_operations_have_such_pages_too(aws: FakeAws, client: Clients) -> None:
    watch = client("cloudwatch")
    aws.place().metric("AWS/Bedrock", "A", {"ModelId": "m"}, {NOW - timedelta(hours=1): 1})
    aws.faults.append(Fault("empty-page", operation="ListMetrics"))
    aws.faults.append(Fault("empty-page", operation="GetMetricData"))
    listed = watch.get_paginator("list_metrics").paginate()
    assert [len(page["Metrics"]) for page in listed] == [0, 1]
    stat = {"Metric": {"Namespace": "AWS/Bedrock", "MetricName": "A"}, "Period": 60, "Stat": "Sum"}
    data = watch.get_paginator("get_metric_data").paginate(
        MetricDataQueries=[{"Id": "a", "MetricStat": stat}],
        StartTime=NOW - timedelta(hours=1),
        EndTime=NOW,
    )
    assert [len(page["MetricDataResults"]) for page in data] == [0, 1]


def test_a_fault_skips_then_counts(aws: FakeAws, trail: Any, client: Clients) -> None:
    aws.faults.append(Fault("503", operation="LookupEvents", region="us-east-1", skip=1, times=2))
    client("cloudtrail", "eu-west-1").lookup_events()
    client("cloudwatch").list_metrics()
    outcomes = []
    for _ in range(4):
        try:
            trail.lookup_events()
            outcomes.append("ok")
        except ClientError as problem:
            outcomes.append(problem.response["Error"]["Code"])
    assert outcomes == ["ok", "ServiceUnavailable", "ServiceUnavailable", "ok"]


def test_the_first_fault_that_fires_answers_alone(aws: FakeAws, trail: Any) -> None:
    aws.faults += [Fault("500", skip=1), Fault("503", times=None), Fault("throttle")]
    codes = [refused(trail.lookup_events)[0] for _ in range(3)]
    assert codes == ["ServiceUnavailable", "InternalFailure", "ServiceUnavailable"]


def test_a_fault_may_wait_for_its_time(aws: FakeAws, trail: Any, clock: FakeClock) -> None:
    aws.faults.append(Fault("500", after=NOW + timedelta(hours=1), account=ACCOUNT))
    trail.lookup_events()
    clock.advance(timedelta(hours=1))
    assert refused(trail.lookup_events)[0] == "InternalFailure"


def test_a_fault_that_does_not_exist() -> None:
    with pytest.raises(ValueError, match="no such fault: 'fire'"):
        Fault("fire")


def test_requests_are_recorded_in_order(aws: FakeAws, trail: Any, clock: FakeClock) -> None:
    trail.lookup_events(StartTime=NOW - timedelta(days=1), MaxResults=3)
    first = aws.requests[0]
    assert (first.service, first.operation) == ("cloudtrail", "LookupEvents")
    assert (first.account, first.region, first.at) == (ACCOUNT, "us-east-1", clock.now())
    assert first.params == {"StartTime": NOW - timedelta(days=1), "MaxResults": 3}
    assert aws.count("LookupEvents", region="us-east-1", account=ACCOUNT, outcome="ok") == 1
    assert aws.count("LookupEvents", region="eu-west-1") == 0
    assert aws.count() == 1


def test_many_clients_at_once(aws: FakeAws, trail: Any) -> None:
    with ThreadPoolExecutor(8) as pool:
        pages = list(pool.map(lambda _: trail.lookup_events(), range(80)))
    assert {len(page["Events"]) for page in pages} == {12}
    assert aws.count("LookupEvents", outcome="ok") == 80


def test_answers_carry_the_servers_date_and_an_id(aws: FakeAws, trail: Any) -> None:
    aws.skew = 600
    metadata = trail.lookup_events()["ResponseMetadata"]
    date = parsedate_to_datetime(metadata["HTTPHeaders"]["date"])
    assert date == NOW + timedelta(seconds=600)
    assert metadata["RequestId"]


def test_answers_may_take_time(aws: FakeAws, trail: Any) -> None:
    aws.latency = 0.1
    began = time.monotonic()
    trail.lookup_events()
    assert time.monotonic() - began >= 0.1


def test_without_a_clock_time_is_real() -> None:
    with FakeAws() as aws:
        assert abs(aws.clock.now() - datetime.now(UTC)) < timedelta(seconds=5)


def test_the_environment_is_all_an_unmodified_boto3_needs(
    aws: FakeAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in aws.environment().items():
        monkeypatch.setenv(name, value)
    with closing(boto3.Session().client("sts")) as sts:
        assert sts.get_caller_identity()["Account"] == ACCOUNT


def test_another_process_may_use_it(aws: FakeAws) -> None:
    program = "import boto3; print(boto3.client('sts').get_caller_identity()['Account'])"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=clean | aws.environment("444455556666"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "444455556666\n"


@pytest.fixture
def bad_aws() -> FakeAws:
    return FakeAws(FakeClock(NOW))


def request(aws: FakeAws, *, target: str, service: str = "monitoring", body: bytes = b"{}") -> int:
    """Send a request by hand; return the status."""
    key = aws.accounts.access_key(ACCOUNT)
    headers = {
        "Authorization": f"AWS4-HMAC-SHA256 Credential={key}/20261103/us-east-1/{service}/aws4_request, ...",
        "X-Amz-Target": target,
        "Content-Type": "application/x-www-form-urlencoded",
    }
    asked = urllib.request.Request(aws.url, data=body, headers=headers)  # noqa: S310
    try:
        with urllib.request.urlopen(asked) as answer:  # noqa: S310
            return answer.status
    except urllib.error.HTTPError as problem:
        with problem:
            return problem.code


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"target": ""}, "cloudwatch: the json protocol is spoken here"),
        ({"target": "GraniteServiceVersion20100801.Nothing"}, "no operation 'Nothing'"),
        ({"target": "GraniteServiceVersion20100801.PutMetricData"}, "is not played|Namespace"),
        ({"target": "", "service": "lambda"}, "no service is signed as 'lambda' here"),
        (
            {"target": "GraniteServiceVersion20100801.ListMetrics", "body": b'{"Name": 1}'},
            "Unknown parameter in input: .Name.",
        ),
    ],
)
def test_what_no_program_should_send_fails_the_test(
    bad_aws: FakeAws, sent: dict[str, Any], said: str
) -> None:
    with pytest.raises(AssertionError, match=said), bad_aws:
        assert request(bad_aws, **sent) == 500


def _keys(aws: FakeAws) -> dict[str, str]:
    return {
        "endpoint_url": aws.url,
        "aws_access_key_id": aws.accounts.access_key(ACCOUNT),
        "aws_secret_access_key": "secret",
    }


def test_an_answer_aws_could_not_give_fails_the_test(bad_aws: FakeAws) -> None:
    bad_aws.place().logging_config = {"s3Config": {"bucket": "wrong name"}}
    with (
        pytest.raises(AssertionError, match=r"(?s)answer of GetModelInvocation.*bucketName"),
        bad_aws,
        closing(boto3.client("bedrock", "us-east-1", **_keys(bad_aws))) as bedrock,
        pytest.raises(ClientError),
    ):
        bedrock.get_model_invocation_logging_configuration()


def test_a_failing_test_keeps_its_own_error(bad_aws: FakeAws) -> None:
    with pytest.raises(KeyError) as caught, bad_aws:
        request(bad_aws, target="")
        raise KeyError("the test's own")
    assert "the json protocol is spoken here" in caught.value.__notes__[0]


def test_one_fake_serves_many_tests(aws: FakeAws, trail: Any) -> None:
    aws.faults.append(Fault("500", times=None))
    refused(trail.lookup_events)
    later = FakeClock(NOW + timedelta(days=1))
    aws.reset(later)
    assert trail.lookup_events()["Events"] == []
    assert [request.at for request in aws.requests] == [later.now()]
    request(aws, target="")
    with pytest.raises(AssertionError, match="the json protocol is spoken here"):
        aws.reset()
    aws.check()


def test_only_this_machine_is_served(aws: FakeAws) -> None:
    host, port = aws.url.removeprefix("http://").split(":")
    assert host == "127.0.0.1"
    with socket.socket() as other:
        other.settimeout(1)
        assert other.connect_ex(("127.0.0.2", int(port))) != 0


def test_stopping_leaves_nothing(bad_aws: FakeAws) -> None:
    """Idle, half-sent and hanging connections end; the port is closed; no thread is left."""
    before = set(threading.enumerate())
    with bad_aws as aws:
        port = int(aws.url.rpartition(":")[2])
        aws.faults.append(Fault("hang", times=None))
        idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
        idle[1].sendall(b"POST / HTTP/1.1\r\nContent-Le")
        idle[2].sendall(b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc")
        hanging = threading.Thread(target=_ask_and_be_cut, args=(aws,))
        hanging.start()
        while aws.count() == 0:
            time.sleep(0.01)
        began = time.monotonic()
    assert time.monotonic() - began < 1
    hanging.join(5)
    assert set(threading.enumerate()) <= before
    for connection in idle:
        connection.close()
    with socket.socket() as late:
        assert late.connect_ex(("127.0.0.1", port)) != 0
    gc.collect()


def _ask_and_be_cut(aws: FakeAws) -> None:
    with pytest.raises(OSError):
        request(aws, target="GraniteServiceVersion20100801.ListMetrics")


def test_it_starts_at_once() -> None:
    began = time.monotonic()
    with FakeAws():
        pass
    assert time.monotonic() - began < 0.5
