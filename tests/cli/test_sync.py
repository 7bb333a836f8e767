"""``bedrock-usage sync`` as a user meets it, against a fake AWS in real time."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from etl.sql_files import sql_names
from etl.warehouse.database import open_warehouse
from tests.aws import ACCOUNT, FakeAws, Fault
from tests.cases import cases
from tests.cli.recent import SMALL, record
from tests.cli.running import ROOT, run
from tests.rounds import long
from tests.support import (
    HAIKU,
    OF_THE_READING,
    answer_of,
    logged,
    marked_demo,
    query,
    role_identity,
    uuid_of,
    write_log,
)


def test_the_first_sync_and_the_next(aws: FakeAws, tmp_path: Path) -> None:
    aws.place().deliver(record(1, tokens=(1, 2)))
    aws.place().deliver(record(2))
    aws.place().metric("AWS/Bedrock", "InputTokenCount", {"ModelId": HAIKU},
                       {datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=5): 10})  # fmt: skip
    status, out, err = run("sync", *SMALL, "--db", tmp_path / "w.db")
    assert (status, out) == (0, "")
    assert "cloudtrail/111122223333/us-east-1: done, 2 read" in err
    assert err.splitlines()[-3:] == [
        "Bedrock calls     2 new (1 with tokens)",
        "CloudWatch values 1 new or changed",
        "Profiles, models  0 new or changed",
    ]
    status, _, err = run("sync", *SMALL, "--db", tmp_path / "w.db")
    assert status == 0
    assert "Bedrock calls     0 new (0 with tokens)" in err


def test_a_log_group_of_the_configuration_is_read(aws: FakeAws, tmp_path: Path) -> None:
    when = datetime.now(UTC) - timedelta(hours=3)
    logged_call = logged(
        1, timestamp=when.isoformat(), tokens=(7, 8), requestMetadata={"team": "Search"}
    )
    aws.place().log_invocation(logged_call)
    aws.place().deliver(record(1))
    (tmp_path / "bedrock_usage.toml").write_text(
        'application_metadata_key = "team"\n'
        '[sources.invocation_logs]\nlog_group = "/bedrock/invocations"\n'
    )
    status, _, err = run("sync", *SMALL, "--region", "eu-west-1", "--db", tmp_path / "w.db")
    assert status == 0, err
    assert "log_group/111122223333/us-east-1: done, 1 read" in err
    assert query(tmp_path / "w.db", "select event_id, input_tokens, application from calls") == [
        (uuid_of(1), 7, "Search")
    ]
    words = ("--source", "cloudtrail", "--db", tmp_path / "other.db")
    assert run("sync", *SMALL, *words)[0] == 0
    assert query(tmp_path / "other.db", "select input_tokens from calls") == [(None,)]
    wrong = ("--source", "trail", "--db", tmp_path / "other.db")
    status, _, err = run("sync", *SMALL, *wrong)
    assert status != 0
    assert "--source: 'trail' is not configured; set uri under [sources.trail]" in err


def test_with_faults_on_it_ends_in_the_views_that_load_makes(aws: FakeAws, tmp_path: Path) -> None:
    records = [
        record(n, hours_ago=2 + n / 20, tokens=(n, 1) if n % 2 else None) for n in range(420)
    ]
    for one in records:
        aws.place().deliver(one)
    for skip, kind in enumerate(
        ("throttle", "500", "truncated", "reset-in-body", "expired-token", "duplicates")
    ):
        aws.faults.append(Fault(kind, operation="LookupEvents", skip=skip))
    status, _, err = run("sync", *SMALL, "--source", "cloudtrail", "--db", tmp_path / "synced.db")
    assert status == 0, err
    assert sum(fault.seen > fault.skip for fault in aws.faults) >= 5
    run("load", write_log(tmp_path / "log.json", records), "--db", tmp_path / "loaded.db")
    for view in sql_names("marts"):
        if view not in OF_THE_READING:
            both = []
            for name in ("synced", "loaded"):
                with open_warehouse(tmp_path / f"{name}.db") as db:
                    both.append(answer_of(db, view))
            assert both[0] == both[1], view


def test_what_could_not_be_read_is_said_and_the_status_is_1(aws: FakeAws, tmp_path: Path) -> None:
    aws.place().deliver(record(1))
    aws.faults.append(Fault("denied", operation="GetMetricData", times=None))
    aws.place().metric("AWS/Bedrock", "Invocations", {"ModelId": HAIKU}, {datetime.now(UTC): 1})
    status, _, err = run("sync", *SMALL, "--db", tmp_path / "w.db")
    assert status == 1
    assert (
        "Not read          AccessDenied on cloudwatch:GetMetricData in us-east-1 (account 111122223333): add"
        " cloudwatch:GetMetricData to the policy" in err
    )
    assert query(tmp_path / "w.db", "select count(*) from events") == [(1,)]


def test_the_configuration_file_is_obeyed_and_options_go_before_it(
    aws: FakeAws, tmp_path: Path
) -> None:
    (tmp_path / "bedrock_usage.toml").write_text("""
        [sync]
        regions = ["eu-west-1"]
        sources = ["cloudtrail"]
        since = "2d"
        [[application_rules]]
        application = "Search"
        role = "search-*"
        [user_aliases]
        "search-indexer" = "Search indexer"
    """)
    for number, region in enumerate(("eu-west-1", "us-east-1")):
        identity = role_identity("search-indexer")
        aws.place(region=region).deliver(record(number, awsRegion=region, userIdentity=identity))
    assert run("sync", "--db", tmp_path / "w.db")[0] == 0
    who = "select region, application, application_source, user_name from calls order by 1"
    expected = ("Search", "config rule", "Search indexer")
    assert query(tmp_path / "w.db", who) == [("eu-west-1", *expected)]
    assert aws.count("ListMetrics") == 0
    assert run("sync", "--region", "us-east-1", "--db", tmp_path / "w.db")[0] == 0
    assert query(tmp_path / "w.db", who) == [("eu-west-1", *expected), ("us-east-1", *expected)]


@cases(
    ("words", "message"),
    [
        (["--region", "mars-north-1"], "mars-north-1 is not an AWS region"),
        (["--since", "soon"], "neither a duration"),
        (["--since", "2999-01-01"], "is in the future"),
        (["--settle", "1"], "is not a duration"),
        (["--every", "1s"], "must be at least 1m"),
        (["--organization"], "--organization needs --role-name"),
        (["--organization", "--role-name", "R", "--role-arn", "arn:aws:iam::444455556666:role/R"], "cannot be combined with --role-arn"),
        (["--region", "all", "--region", "us-east-1"], "cannot be combined with other regions"),
        (["--profile", "nobody"], "no AWS profile 'nobody'"),
        (["--role-arn", "Reader"], "not the ARN of a role"),
        (["--config", "missing.toml"], "missing.toml"),
    ],
)  # fmt: skip
def test_wrong_usage_is_told_with_status_2(
    aws: FakeAws, tmp_path: Path, words: list[str], message: str
) -> None:
    status, _, err = run("sync", *words, "--db", tmp_path / "w.db")
    assert (status, message in err) == (2, True), err
    assert aws.count("LookupEvents") == 0


def test_nothing_of_a_prompt_is_stored_or_printed(aws: FakeAws, tmp_path: Path) -> None:
    canary = "canary-prompt"
    parameters = {"modelId": HAIKU, "messages": [canary], "requestMetadata": {"note": canary}}
    good = record(
        1, requestParameters=parameters, errorMessage=canary, responseElements={"output": canary}
    )
    aws.place().deliver(good)
    aws.place().deliver(record(2), text=f'{{"{canary}": ')
    aws.place().deliver(record(3), text=f'{{"eventID": "x", "eventTime": "{canary}", "eventName": "InvokeModel",'
                                       ' "eventSource": "bedrock.amazonaws.com"}')  # fmt: skip
    status, out, err = run("sync", *SMALL, "--db", tmp_path / "w.db")
    assert status == 1
    assert "Rejected          2" in err
    status, shown, _ = run("status", "--format", "json", "--db", tmp_path / "w.db")
    files = b"".join(file.read_bytes() for file in tmp_path.glob("w.db*"))
    assert canary not in out + err + shown
    assert canary.encode() not in files


def test_an_organisation_is_read_account_by_account(aws: FakeAws, tmp_path: Path) -> None:
    other = "444455556666"
    aws.organization([other])
    aws.role(other, "Reader")
    aws.place(other, "us-east-1").deliver(record(1, recipientAccountId=other))
    aws.place().deliver(record(2))
    words = ("--source", "cloudtrail", "--db", tmp_path / "w.db")
    assert run("sync", *SMALL, *words)[0] == 0
    words = ("--organization", "--role-name", "Reader", *words)
    status, _, err = run("sync", *SMALL, *words)
    assert status == 0, err
    # The first sync did not know the account's name.
    assert "Reattributed      1 stored call, to another team" in err
    found = query(tmp_path / "w.db", "select account_id, event_id from calls order by 1")
    assert found == [(ACCOUNT, uuid_of(2)), (other, uuid_of(1))]


def test_the_demo_is_left_alone(aws: FakeAws, tmp_path: Path) -> None:
    status, _, err = run("sync", *SMALL, "--db", marked_demo(tmp_path / "demo.db"))
    assert status == 1
    assert "holds the demo's data" in err


def start(aws: FakeAws, database: Path, *words: str) -> subprocess.Popen[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    return subprocess.Popen(
        [sys.executable, "-m", "etl", "sync", *SMALL, "--db", str(database), *words],
        cwd=ROOT, env=clean | aws.environment(), stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def wait_for(aws: FakeAws, requests: int) -> None:
    deadline = time.monotonic() + 30
    while aws.count("LookupEvents") < requests:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_every_so_often_until_sigterm_and_no_second_one_beside_it(
    aws: FakeAws, tmp_path: Path
) -> None:
    aws.place().deliver(record(1))
    database = tmp_path / "w.db"
    process = start(aws, database, "--every", "1m")
    try:
        wait_for(aws, 2)
        status, _, err = run("sync", *SMALL, "--db", database)
        assert status == 1
        assert f"is being synced by process {process.pid} on " in err
    finally:
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Stopped." in err
    assert query(database, "pragma integrity_check") == [("ok",)]
    assert query(database, "select count(*) from events") == [(1,)]


@long
def test_a_crash_leaves_no_lock(aws: FakeAws, tmp_path: Path) -> None:
    aws.place().deliver(record(1))
    process = start(aws, tmp_path / "w.db", "--every", "1m")
    wait_for(aws, 1)
    process.kill()
    process.communicate()
    status, _, err = run("sync", *SMALL, "--db", tmp_path / "w.db")
    assert status == 0, err
    assert query(tmp_path / "w.db", "select count(*) from events") == [(1,)]


def test_stopped_before_it_was_done_the_status_is_1(aws: FakeAws, tmp_path: Path) -> None:
    for number in range(300):
        aws.place().deliver(record(number, hours_ago=2 + number / 20))
    process = start(aws, tmp_path / "w.db")
    wait_for(aws, 2)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "run it again to continue from here" in err
    assert "Traceback" not in err


def test_on_a_terminal_each_stream_has_a_line(aws: FakeAws, tmp_path: Path) -> None:
    for number in range(120):
        aws.place().deliver(record(number, hours_ago=26))
    master, slave = pty.openpty()
    words = [
        sys.executable,
        "-m",
        "etl",
        "sync",
        *SMALL,
        "--source",
        "cloudtrail",
        "--db",
        str(tmp_path / "w.db"),
    ]
    process = subprocess.Popen(
        words, cwd=ROOT, stderr=slave, env=os.environ | {"TERM": "xterm-256color", "COLUMNS": "120"}
    )
    os.close(slave)
    shown = b""
    while True:
        try:
            part = os.read(master, 4096)
        except OSError:
            break
        if not part:
            break
        shown += part
    process.wait()
    os.close(master)
    text = shown.decode()
    assert process.returncode == 0
    assert "cloudtrail/111122223333/us-east-1" in text
    assert "history" in text
    assert "done, 120 read" in text
