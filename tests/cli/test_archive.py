"""``sync --archive`` as a user meets it: kept here and in S3, refused early, loaded again."""

from __future__ import annotations

import json
from pathlib import Path

import boto3
import pytest

from tests.aws import ACCOUNT, FakeAws, Fault
from tests.cli.policies import FREE, allowed, policy, requested
from tests.cli.recent import SMALL, record
from tests.cli.running import run
from tests.rounds import crossed
from tests.support import marked_demo, query

BUCKET = "kept-events"
CALLS = "select event_time, event_id, user_name, application, input_tokens, cost_usd from calls"


@pytest.fixture
def aws(aws: FakeAws) -> FakeAws:
    boto3.client("s3", region_name="us-east-1").create_bucket(Bucket=BUCKET)
    aws.requests.clear()
    return aws


@pytest.mark.parametrize(
    ("folder", "by"), crossed(["kept", f"s3://{BUCKET}/raw"], ["option", "file"])
)
def test_what_is_kept_can_be_loaded(aws: FakeAws, tmp_path: Path, folder: str, by: str) -> None:
    for number in range(3):
        aws.place().deliver(record(number, hours_ago=3 + number, tokens=(number, 1)))
    words = ("--archive", folder) if by == "option" else ()
    if by == "file":
        Path("bedrock_usage.toml").write_text(f'[sync]\narchive = "{folder}"\n')
    said = []
    for _ in range(2):
        status, _, err = run("sync", *SMALL, *words, "--db", tmp_path / "w.db")
        assert status == 0, err
        said.append("Archived          3 events" in err)
    assert said == [True, False]
    status, _, err = run("load", folder, "--db", tmp_path / "again.db")
    assert status == 0, err
    assert "Bedrock calls     3 new (3 with tokens), 0 already known" in err
    assert query(tmp_path / "again.db", CALLS) == query(tmp_path / "w.db", CALLS)


def test_a_place_that_cannot_be_written_is_told_before_anything_is_fetched(
    aws: FakeAws, tmp_path: Path
) -> None:
    aws.place().deliver(record(1))
    (tmp_path / "file").write_text("")
    aws.faults.append(Fault("denied", operation="PutObject", times=None))
    for folder, said in (
        ("file", "the archive"),
        (f"s3://{BUCKET}/raw", "add s3:PutObject on the bucket"),
        ("s3://no-such-bucket", "AccessDenied"),
    ):
        status, _, err = run("sync", *SMALL, "--archive", folder, "--db", tmp_path / "w.db")
        assert status == 1
        assert said in err
        assert aws.count("LookupEvents") == 0
    assert query(tmp_path / "w.db", "select count(*) from sync_state") == [(0,)]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--archive", "https://example.com/x"], "not a folder"),
        (["--archive", "s3://"], "not a folder"),
        (["--archive", "kept", "--source", "cloudwatch"], "add --source cloudtrail"),
    ],
)
def test_wrong_usage(aws: FakeAws, tmp_path: Path, words: list[str], said: str) -> None:
    status, _, err = run("sync", *SMALL, *words, "--db", tmp_path / "w.db")
    assert (status, said in err) == (2, True), err
    assert not (tmp_path / "kept").exists()


def test_the_configured_archive_is_for_runs_that_read_the_event_history(
    aws: FakeAws, tmp_path: Path
) -> None:
    Path("bedrock_usage.toml").write_text('[sync]\narchive = "kept"\n')
    assert run("sync", *SMALL, "--source", "cloudwatch", "--db", tmp_path / "w.db")[0] == 0
    assert not (tmp_path / "kept").exists()


def test_the_demo_is_kept_nowhere(aws: FakeAws, tmp_path: Path) -> None:
    demo = marked_demo(tmp_path / "demo.db")
    status, _, err = run("sync", *SMALL, "--archive", "kept", "--db", demo)
    assert status == 1
    assert "holds the demo's data" in err
    assert not (tmp_path / "kept").exists()


def test_it_asks_for_exactly_what_the_policy_allows(aws: FakeAws, tmp_path: Path) -> None:
    aws.place().deliver(record(1))
    words = ("--archive", f"s3://{BUCKET}/raw", "--source", "cloudtrail")
    status, _, err = run("sync", *SMALL, *words, "--db", tmp_path / "w.db")
    assert status == 0, err
    document = allowed(policy(*words, "--region", "us-east-1", "--no-doctor"))
    assert requested(aws, ACCOUNT) - {FREE} == set(document)
    resource = json.dumps(document["s3:PutObject"])
    for one in aws.requests:
        if one.operation == "PutObject":
            key = one.params["Key"]
            assert f"arn:aws:s3:::{BUCKET}/{key}".startswith(resource.strip('"').rstrip("*"))
