"""Calls that start a batch or asynchronous job are counted, and their unknown tokens listed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database

from etl.normalise.cloudtrail import parse_event
from tests.support import HAIKU, call, load, rows, uuid_of, write_log, write_metrics

ARN = "arn:aws:bedrock:us-east-1:111122223333:model-invocation-job/abcdefghij12"


def batch_job(number: int = 1, **fields: Any) -> dict[str, Any]:
    return call(
        number,
        **{
            "eventName": "CreateModelInvocationJob",
            "requestParameters": {"modelId": HAIKU, "jobName": "nightly", "roleArn": "x"},
            "responseElements": {"jobArn": ARN},
        }
        | fields,
    )


def async_call(number: int = 2, **fields: Any) -> dict[str, Any]:
    return call(
        number,
        **{
            "eventName": "StartAsyncInvoke",
            "requestParameters": {"modelId": "amazon.nova-reel-v1:0"},
            "responseElements": {"invocationArn": "arn:aws:bedrock:us-east-1:1:async-invoke/x"},
        }
        | fields,
    )


def test_jobs_are_listed_as_not_counted(db: Database, tmp_path: Path) -> None:
    load(
        db, write_log(tmp_path / "log.json", [batch_job(1), async_call(2), call(3, tokens=(1, 1))])
    )
    assert rows(
        db,
        "select job_kind, job_arn, region, model_id, user_name, application from uncounted_jobs"
        " order by job_kind",
    ) == [
        ("asynchronous", "arn:aws:bedrock:us-east-1:1:async-invoke/x", "us-east-1",
         "amazon.nova-reel-v1:0", "alice", "Unknown"),
        ("batch", ARN, "us-east-1", HAIKU, "alice", "Unknown"),
    ]  # fmt: skip
    assert rows(db, "select calls, calls_without_tokens from user_costs") == [(3, 2)]


def test_a_batch_is_of_the_batch_tier_and_takes_no_part_in_an_estimate(
    db: Database, tmp_path: Path
) -> None:
    log = write_log(tmp_path / "log.json", [batch_job(1, userAgent="Batch/1.0"), call(2)])
    load(db, log, write_metrics(tmp_path / "m.csv", [(HAIKU, "InputTokenCount", 1000)]))
    assert rows(db, "select event_id, service_tier from calls order by 1") == [
        (uuid_of(1), "batch"),
        (uuid_of(2), "standard"),
    ]
    assert rows(
        db,
        "select application, data_source, calls, input_tokens from usage_cost order by 1, 2",
    ) == [
        ("Batch", "No token data", 1, None),
        ("Unknown", "CloudWatch (Estimated)", 1, 1000),
    ]


@pytest.mark.parametrize("make", [batch_job, async_call])
def test_what_was_refused_is_no_job_to_look_for(db: Database, tmp_path: Path, make: Any) -> None:
    refused = make(1, errorCode="AccessDeniedException", responseElements=None)
    load(db, write_log(tmp_path / "log.json", [refused]))
    assert rows(db, "select * from uncounted_jobs") == []
    assert rows(db, "select failed_calls from user_costs") == [(1,)]


def test_a_job_is_listed_once_and_goes_with_its_call(db: Database, tmp_path: Path) -> None:
    log = write_log(tmp_path / "log.json", [batch_job(1), batch_job(1)])
    load(db, log)
    load(db, log)
    mended = batch_job(9, addendum={"originalEventID": uuid_of(1)}, userAgent="Mended/1.0")
    load(db, write_log(tmp_path / "mended.json", [mended]))
    assert rows(db, "select application from uncounted_jobs") == [("Mended",)]


def test_nothing_of_the_job_but_its_arn_is_kept() -> None:
    parsed = parse_event(batch_job(1))
    assert parsed.job is not None
    assert parsed.job[2:] == ("batch", ARN)
    assert "nightly" not in str(parsed)
