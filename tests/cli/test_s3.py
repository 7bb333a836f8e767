"""Logs in S3, as a user reads them: ``load s3://`` and ``sync`` with a configuration."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.aws import ACCOUNT, FakeAws, Fault
from tests.bill.exports import HAIKU, NOVA, usage, write_export
from tests.cli.running import run
from tests.support import call, dump, logged, query, uuid_of

BUCKET = "example-logs"


@pytest.fixture
def aws(aws: FakeAws) -> FakeAws:
    boto3.client("s3", region_name="us-east-1").create_bucket(Bucket=BUCKET)
    return aws


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def put(key: str, content: bytes) -> None:
    boto3.client("s3", region_name="us-east-1").put_object(Bucket=BUCKET, Key=key, Body=content)


def trail_file(number: int, ago: timedelta, *records: dict[str, Any], prefix: str = "") -> str:
    moment = now() - ago
    key = (
        f"{prefix}AWSLogs/{ACCOUNT}/CloudTrail/us-east-1/{moment:%Y/%m/%d}/"
        f"{ACCOUNT}_CloudTrail_us-east-1_{moment:%Y%m%dT%H%MZ}_{number:016}.json.gz"
    )
    put(key, gzip.compress(json.dumps({"Records": records}).encode()))
    return key


def log_file(number: int, ago: timedelta, *records: dict[str, Any]) -> str:
    moment = now() - ago
    key = (
        f"AWSLogs/{ACCOUNT}/BedrockModelInvocationLogs/us-east-1/{moment:%Y/%m/%d/%H}/"
        f"{moment:%Y%m%dT%H%M%S}000Z_{number:016}.json.gz"
    )
    put(key, gzip.compress("\n".join(json.dumps(record) for record in records).encode()))
    return key


def at(ago: timedelta) -> str:
    return (now() - ago).strftime("%Y-%m-%dT%H:%M:%SZ")


HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def test_a_bucket_is_loaded_and_loaded_again_without_reading(aws: FakeAws, tmp_path: Path) -> None:
    for number in range(5):
        trail_file(number, number * DAY, call(number, eventTime=at(number * DAY)))
    put(f"AWSLogs/{ACCOUNT}/CloudTrail-Digest/us-east-1/2026/11/01/x.json.gz", b"digest")
    status, out, err = run("load", f"s3://{BUCKET}", "--db", tmp_path / "w.db")
    assert (status, out) == (0, ""), err
    assert err.splitlines()[:3] == [
        "Files             5",
        "Events read       5",
        "Bedrock calls     5 new (0 with tokens), 0 already known",
    ]
    first, read = dump(tmp_path / "w.db"), aws.count("GetObject")
    assert read == 5
    status, _, err = run("load", f"s3://{BUCKET}/AWSLogs/", "--db", tmp_path / "w.db")
    assert (status, aws.count("GetObject")) == (0, read)
    assert "Files             0, 5 read before" in err
    status, _, err = run("load", f"s3://{BUCKET}", "--reread", "--db", tmp_path / "w.db")
    assert (status, aws.count("GetObject")) == (0, 2 * read)
    assert dump(tmp_path / "w.db") == first


def test_one_object(aws: FakeAws, tmp_path: Path) -> None:
    key = trail_file(1, HOUR, call(1))
    trail_file(2, HOUR, call(2))
    status, _, err = run("load", f"s3://{BUCKET}/{key}", "--db", tmp_path / "w.db")
    assert status == 0, err
    assert query(tmp_path / "w.db", "select event_id from calls") == [(uuid_of(1),)]


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("s3://no-such-bucket/x", "there is no bucket no-such-bucket"),
        (f"s3://{BUCKET}/nothing/here", "there is nothing at"),
        ("s3://", "not an S3 address"),
    ],
)
def test_what_is_not_there_is_told(aws: FakeAws, tmp_path: Path, address: str, said: str) -> None:
    status, _, err = run("load", address, "--db", tmp_path / "w.db")
    assert status == (2 if address == "s3://" else 1)
    assert said in err


def test_denied_says_what_to_add(aws: FakeAws, tmp_path: Path) -> None:
    trail_file(1, HOUR, call(1))
    aws.faults.append(Fault("denied", operation="GetObject", times=100))
    status, _, err = run("load", f"s3://{BUCKET}", "--db", tmp_path / "w.db")
    assert status == 1
    assert "add s3:GetObject" in err


def test_sync_reads_the_trail_and_the_invocation_logs(aws: FakeAws, tmp_path: Path) -> None:
    (tmp_path / "bedrock_usage.toml").write_text(
        f'[sources.trail]\nuri = "s3://{BUCKET}/org"\n'
        f'[sources.invocation_logs]\nuri = "s3://{BUCKET}"\n'
    )
    words = ("sync", "--source", "trail", "--source", "invocation_logs", "--db", tmp_path / "w.db")
    trail_file(1, HOUR, call(1, eventTime=at(HOUR)), prefix="org/")
    trail_file(2, 40 * DAY, call(2, eventTime=at(40 * DAY)), prefix="org/")
    log_file(3, HOUR, logged(1, timestamp=at(HOUR)), logged(3, timestamp=at(HOUR)))
    status, out, err = run(*words)
    assert (status, out) == (0, ""), err
    assert "Bedrock calls     3 new" in err
    assert query(tmp_path / "w.db", "select count(*), sum(input_tokens) from calls") == [(3, 200)]
    assert query(tmp_path / "w.db", "select stream from sync_status order by 1") == [
        (f"invocation_logs/{ACCOUNT}/us-east-1",),
        (f"trail/{ACCOUNT}/us-east-1",),
    ]
    read = aws.count("GetObject")
    trail_file(4, timedelta(), call(4, eventTime=at(timedelta(minutes=5))), prefix="org/")
    status, _, err = run(*words)
    assert (status, aws.count("GetObject")) == (0, read + 1)
    assert "Bedrock calls     1 new" in err
    assert aws.count("LookupEvents") == 0
    status, out, _ = run("status", "--db", tmp_path / "w.db")
    assert "invocation_logs" in out


def test_sync_of_a_local_folder_asks_aws_nothing(aws: FakeAws, tmp_path: Path) -> None:
    folder = tmp_path / f"logs/AWSLogs/{ACCOUNT}/CloudTrail/us-east-1/{now():%Y/%m/%d}"
    folder.mkdir(parents=True)
    (folder / "a.json").write_text(json.dumps({"Records": [call(1, eventTime=at(HOUR))]}))
    (tmp_path / "bedrock_usage.toml").write_text('[sources.trail]\nuri = "logs"\n')
    status, _, err = run("sync", "--source", "trail", "--db", tmp_path / "w.db")
    assert status == 0, err
    assert "Bedrock calls     1 new" in err
    assert [request.operation for request in aws.requests] == ["CreateBucket"]


def test_a_source_that_is_not_configured_says_which_key_to_set(
    aws: FakeAws, tmp_path: Path
) -> None:
    status, _, err = run("sync", "--source", "trail", "--db", tmp_path / "w.db")
    assert status == 2
    assert "set uri under [sources.trail]" in err


def test_a_bucket_that_is_denied_stops_no_other_source(aws: FakeAws, tmp_path: Path) -> None:
    aws.place().deliver(call(1, eventTime=at(3 * HOUR)))
    trail_file(1, HOUR, call(2, eventTime=at(HOUR)))
    (tmp_path / "bedrock_usage.toml").write_text(
        f'[sync]\nregions = ["us-east-1"]\nsince = "2d"\n[sources.trail]\nuri = "s3://{BUCKET}"\n'
    )
    aws.faults.append(Fault("denied", operation="ListObjectsV2", times=100))
    status, _, err = run("sync", "--db", tmp_path / "w.db")
    assert status == 1
    assert "add s3:ListBucket" in err
    assert query(tmp_path / "w.db", "select event_id from calls") == [(uuid_of(1),)]


def test_a_role_that_does_not_let_us_in_is_told_as_that(aws: FakeAws, tmp_path: Path) -> None:
    trail_file(1, HOUR, call(1))
    (tmp_path / "bedrock_usage.toml").write_text(
        f'[sources.trail]\nuri = "s3://{BUCKET}"\n'
        'role_arn = "arn:aws:iam::444455556666:role/Closed"\n'
    )
    status, _, err = run("sync", "--source", "trail", "--db", tmp_path / "w.db")
    assert status == 1
    assert "AccessDenied on sts:AssumeRole" in err
    assert "in the role's trust policy" in err
    assert "s3:ListBucket" not in err
    words = ("--role-arn", "arn:aws:iam::444455556666:role/Closed", "--db", tmp_path / "w.db")
    status, _, err = run("load", f"s3://{BUCKET}", *words)
    assert status == 1
    assert "AccessDenied on sts:AssumeRole" in err


def test_a_bill_is_read_from_a_bucket_as_from_a_folder(aws: FakeAws, tmp_path: Path) -> None:
    folder, database = tmp_path / "copy", tmp_path / "w.db"
    used = [usage(NOVA, "input", 3_000, "2026-11-02"), usage(HAIKU, "output", 2_000, "2026-11-02")]
    manifest = write_export(folder, used, month="2026-11", parts=2)
    write_export(folder, used, style="legacy", form="csv.gz", name="old", month="2026-11")
    for file in folder.rglob("*.*"):
        put(str(file.relative_to(folder)), file.read_bytes())
    status, _, err = run("load", f"s3://{BUCKET}", "--db", database)
    assert status == 0, err
    assert "AWS bill          2 months new or changed (4 lines of Bedrock)" in err
    billed = "select sum(billed_tokens), sum(lines) from billed_usage"
    assert query(database, billed) == [(5_000, 2)]
    status, _, err = run("load", folder, "--db", database)
    assert (status, query(database, billed)) == (0, [(5_000, 2)])
    assert "AWS bill          0 months new or changed, 2 unchanged" in err
    # A new run, of which one file is not there.
    text = manifest.read_text().replace("run-1", "run-2").replace("00002", "00007")
    put(str(manifest.relative_to(folder)), text.encode())
    status, _, err = run("load", f"s3://{BUCKET}", "--db", database)
    assert status == 1
    assert "bedrock-00007.snappy.parquet, which is not there: nothing of it is used" in err
    assert query(database, billed) == [(5_000, 2)]


def test_sync_reads_the_months_of_a_bill_that_changed(aws: FakeAws, tmp_path: Path) -> None:
    folder, database = tmp_path / "copy", tmp_path / "w.db"
    (tmp_path / "bedrock_usage.toml").write_text(f'[sources.bill]\nuri = "s3://{BUCKET}/exports"\n')

    def deliver(month: str, tokens: int) -> None:
        lines = [usage(NOVA, "input", tokens, f"{month}-02")]
        write_export(folder, lines, month=month, form="csv.gz", run=str(tokens))
        for file in folder.rglob("*.*"):
            put(str(file.relative_to(folder)), file.read_bytes())

    def sync() -> tuple[int, str, int]:
        before = aws.count("GetObject")
        status, _, err = run("sync", "--source", "bill", "--db", database)
        return status, err, aws.count("GetObject") - before

    put("exports/of/other-things", b"")
    status, err, _ = sync()
    assert status == 1
    assert f"no export of a bill below s3://{BUCKET}/exports" in err
    deliver("2026-10", 3_000)
    deliver("2026-11", 4_000)
    # Each manifest is read before and after its file.
    assert sync()[::2] == (0, 6)
    status, err, requests = sync()
    assert (status, requests) == (0, 0)
    assert "AWS bill" not in err
    put("exports/bedrock/metadata/BILLING_PERIOD=2026-10/bedrock-Manifest.json", b'{"cut')
    put("exports/bedrock/data/BILLING_PERIOD=2026-12/bedrock-00001.csv.gz", b"not finished")
    status, err, _ = sync()
    assert status == 1
    assert "2026-10/bedrock-Manifest.json: is not the manifest of a bill's export" in err
    assert "exports/bedrock/2026-12: data of a bill's export without its manifest" in err
    state = "select source, read_at is not null, error is not null from sync_status"
    assert query(database, state) == [("bill", 1, 1)]
    billed = "select substr(day, 1, 7), sum(billed_tokens) from billed_usage group by 1"
    assert query(database, billed) == [("2026-10", 3_000), ("2026-11", 4_000)]
    deliver("2026-10", 5_000)
    deliver("2026-12", 6_000)
    status, err, requests = sync()
    assert (status, requests) == (0, 6), err
    assert "AWS bill          2 months new or changed (2 lines of Bedrock)" in err
    assert query(database, billed)[0] == ("2026-10", 5_000)
    assert query(database, state) == [("bill", 1, 0)]
    status, out, _ = run("status", "--db", database)
    assert "bill" in out
    assert query(database, "select count(*) from rejects") == [(0,)]
