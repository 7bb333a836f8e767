"""The archive: every raw event once, before it is claimed, and a warehouse can be built from it."""

from __future__ import annotations

import gzip
import json
import os
import random
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest

from etl.errors import AccessError, SourceError
from etl.sources.accounts import assume_role, find_places
from etl.sources.archive import Archive, LocalArchive, S3Archive
from etl.sources.listing import find_streams
from etl.sources.stores import LocalStore
from etl.sql_files import sql_names
from etl.sync.run import SyncOptions, sync_places
from etl.warehouse.database import open_warehouse
from etl.warehouse.upkeep.vacuum import cutoff, drop_calls
from tests.aws import ACCOUNT, REGION, FakeAws, Fault
from tests.rounds import long, rounds
from tests.support import (
    HAIKU,
    OF_THE_READING,
    answer_of,
    call,
    load,
    logged,
    rows,
    service_event,
    uuid_of,
    write_invocation_log,
)
from tests.sync.support import DAY, HOUR, MINUTE, NOW, World, utc

MARKER = "AWSLogs/.bedrock-usage"
BUCKET = "kept-events"
OTHER = "444455556666"


def kept(folder: Path) -> list[dict[str, Any]]:
    """Return the events of all files, also of those that no reader would look at."""
    return [record for file in files(folder) for record in read(file)["Records"]]


def read(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(gzip.decompress(file.read_bytes()))
    return content


def files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file() and file.name != MARKER[8:])


def archive(tmp_path: Path) -> LocalArchive:
    return LocalArchive(str(tmp_path / "kept"))


def views(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Return every mart that does not describe the reading itself, as users see it."""
    with open_warehouse(path) as db:
        marts = {*sql_names("marts")} - {*OF_THE_READING}
        return {name: answer_of(db, name) for name in marts}


def loaded(world: World, folder: Path, path: Path) -> Path:
    with open_warehouse(path, create=True) as db:
        load(db, folder)
    return path


def test_files_are_as_cloudtrail_names_and_writes_them(world: World, tmp_path: Path) -> None:
    world.deliver(1, 3 * HOUR)
    world.deliver(2, 3 * HOUR + MINUTE)
    world.deliver(3, 30 * HOUR)
    world.sync(archive=archive(tmp_path))
    folder = tmp_path / "kept"
    streams, problems = find_streams(LocalStore(), f"{folder}/")
    assert [(s.kind, s.account_id, s.region) for s in streams] == [("trail", ACCOUNT, REGION)]
    assert problems == []
    names = [file.relative_to(folder).as_posix() for file in files(folder)]
    parents = [name.rpartition("/")[0] for name in names]
    base = f"AWSLogs/{ACCOUNT}/CloudTrail/{REGION}/2026/11"
    assert parents == [f"{base}/19", f"{base}/20"]
    start = f"{ACCOUNT}_CloudTrail_{REGION}_20261120T0900Z_"
    assert names[1].rpartition("/")[2].startswith(start)
    assert len(names[1].rpartition("_")[2]) == len("0123456789abcdef.json.gz")
    assert sorted(record["eventID"] for record in kept(folder)) == [uuid_of(n) for n in (1, 2, 3)]


def test_no_file_spans_two_days(world: World, tmp_path: Path) -> None:
    for number, age in enumerate((11 * HOUR, 12 * HOUR, 12 * HOUR + MINUTE, 13 * HOUR)):
        world.deliver(number, age)
    world.sync(archive=archive(tmp_path))
    days = {file.parent.name: read(file)["Records"] for file in files(tmp_path / "kept")}
    assert {day: len(records) for day, records in days.items()} == {"19": 2, "20": 2}
    for day, records in days.items():
        assert {record["eventTime"][8:10] for record in records} == {day}


def test_an_event_is_kept_byte_for_byte(world: World, tmp_path: Path) -> None:
    record = call(1, eventTime=utc(NOW - 3 * HOUR))
    text = json.dumps(record, indent=3).replace('"InvokeModel"', '"\\u0049nvokeModel"')
    text = text.replace("{", '{ "zzz": 1.50, "half": "\\ud83d",', 1)
    world.place.deliver(record, text=text)
    world.sync(archive=archive(tmp_path))
    (file,) = files(tmp_path / "kept")
    assert gzip.decompress(file.read_bytes()) == b'{"Records":[' + text.encode() + b"]}"


def test_half_a_surrogate_pair_is_kept_as_its_escape(world: World, tmp_path: Path) -> None:
    record = call(1, eventTime=utc(NOW - 3 * HOUR), userAgent="x")
    world.place.deliver(record, text=json.dumps(record).replace('"x"', '"\ud83d"'))
    world.sync(archive=archive(tmp_path))
    assert [record["userAgent"] for record in kept(tmp_path / "kept")] == ["\ud83d"]


def test_what_is_no_call_is_kept_and_what_is_no_json_is_not(world: World, tmp_path: Path) -> None:
    when = utc(NOW - 3 * HOUR)
    world.place.deliver(call(1, eventName="ListFoundationModels", eventTime=when))
    world.place.deliver(call(2, eventName="SomethingNew", eventTime=when))
    world.place.deliver(call(3, eventTime=when), text="{")
    outcome = world.sync(archive=archive(tmp_path))
    assert outcome.rejected == 1
    names = [record["eventName"] for record in kept(tmp_path / "kept")]
    assert sorted(names) == ["ListFoundationModels", "SomethingNew"]


def test_many_pages_make_few_files(world: World, tmp_path: Path) -> None:
    for number in range(400):
        world.deliver(number, 2 * HOUR + number * timedelta(seconds=10))
    world.sync(archive=archive(tmp_path))
    assert world.lookups() >= 8
    assert len(files(tmp_path / "kept")) == 1
    assert len(kept(tmp_path / "kept")) == 400


def test_a_file_does_not_wait_longer_than_a_minute(world: World, tmp_path: Path) -> None:
    world.aws.lookup_rate = 0.05  # a page takes twenty seconds
    for number in range(400):
        world.deliver(number, 2 * HOUR + number * timedelta(seconds=10))
    world.sync(archive=archive(tmp_path))
    assert 2 <= len(files(tmp_path / "kept")) <= 4
    assert len(kept(tmp_path / "kept")) == 400


def test_what_is_read_again_is_not_written_again(world: World, tmp_path: Path) -> None:
    world.deliver(1, 10 * MINUTE)
    world.deliver(2, 3 * HOUR, eventName="ListFoundationModels")
    for _ in range(3):
        world.sync(archive=archive(tmp_path))
        world.clock.advance(5 * MINUTE)
    world.clock.advance(25 * HOUR)
    world.sync(archive=archive(tmp_path))  # with the last two days once more
    assert len(kept(tmp_path / "kept")) == 2


def test_what_comes_late_or_with_more_in_it_is_written(world: World, tmp_path: Path) -> None:
    when = NOW - 10 * MINUTE
    world.place.deliver(call(1, eventTime=utc(when)))
    world.sync(archive=archive(tmp_path))
    world.clock.advance(5 * MINUTE)
    world.place.deliver(call(1, eventTime=utc(when), tokens=(5, 6)))
    world.place.deliver(call(2, eventTime=utc(when)))
    correction = {"reason": "UPDATED_DATA", "originalEventID": uuid_of(2)}
    world.place.deliver(call(3, eventTime=utc(when), addendum=correction, user="bob"))
    world.sync(archive=archive(tmp_path))
    ids = sorted(record["eventID"] for record in kept(tmp_path / "kept"))
    assert ids == [uuid_of(n) for n in (1, 1, 2, 3)]


def test_another_archive_gets_what_this_one_has(world: World, tmp_path: Path) -> None:
    world.deliver(1, 10 * MINUTE)
    world.sync(archive=archive(tmp_path))
    world.sync(archive=LocalArchive(str(tmp_path / "other")))
    assert len(kept(tmp_path / "other")) == 1


def test_entries_are_forgotten_with_the_events_themselves(world: World, tmp_path: Path) -> None:
    world.deliver(1, HOUR)
    world.sync(archive=archive(tmp_path))
    assert len(world.rows("select * from archived_events")) == 1
    world.clock.advance(91 * DAY)
    world.sync(archive=archive(tmp_path))
    assert world.rows("select * from archived_events") == []


def test_loading_the_archive_gives_what_the_sync_gave(world: World, tmp_path: Path) -> None:
    """Late and corrected events, streams with their service events in either order, failures."""
    for number in range(150):
        tokens = (number, 2) if number % 3 else None
        model = {"modelId": HAIKU if number % 2 else "us.amazon.nova-pro-v1:0"}
        world.deliver(number, number * 2 * HOUR, late=(number % 5) * 10 * MINUTE,
                      tokens=tokens, requestParameters=model, user=f"user-{number % 4}")  # fmt: skip
    world.deliver(200, 2 * HOUR, eventName="ConverseStream")
    for number, parent, late in ((300, 200, HOUR), (301, 400, MINUTE)):
        event = service_event(number, parent, {"inputTokens": 5, "outputTokens": 7},
                              eventTime=utc(NOW - 2 * HOUR))  # fmt: skip
        world.place.deliver(event, NOW + late)
    world.deliver(201, 5 * HOUR, errorCode="ThrottlingException")
    world.deliver(202, 20 * MINUTE, late=30 * HOUR, tokens=(1, 1))
    world.place.deliver(
        call(203, eventTime=utc(NOW - 60 * HOUR), addendum={"originalEventID": uuid_of(30)},
             user="corrected"), NOW + 10 * MINUTE,
    )  # fmt: skip
    for _ in range(6):
        world.clock.advance(9 * HOUR)
        assert world.sync(archive=archive(tmp_path)).problems == []
    other = loaded(world, tmp_path / "kept", tmp_path / "loaded.db")
    assert views(world.path) == views(other)
    assert len(views(other)["calls"]) == 153
    assert world.rows("select count(*) from calls where raw_user_name = 'corrected'") == [(1,)]
    assert world.rows("select count(*) from pending_tokens") == [(1,)]
    assert world.state()["late_events"] > 0
    with open_warehouse(world.path) as one, open_warehouse(other) as two:
        for table in ("pending_tokens", "jobs", "dropped_calls"):
            counts = [
                db.conn.execute(f"select count(*) from {table}").fetchone() for db in (one, two)
            ]
            assert counts[0] == counts[1]


def two_accounts(world: World, folder: Archive) -> None:
    """Sync the copies of the same calls from two accounts, the other one's under ids of its own."""
    for number in range(20):
        fields: dict[str, Any] = {"sharedEventID": uuid_of(5000 + number), "tokens": (number, 1)}
        record = world.deliver(number, number * 12 * HOUR, **fields)
        copied = {"eventID": uuid_of(7000 + number), "recipientAccountId": OTHER}
        world.aws.place(OTHER, REGION).deliver(record | copied)
    accounts = [world.own, assume_role(world.own, world.aws.role(OTHER, "Reader"))]
    places, _ = find_places(accounts, (REGION,), world.clock)
    options = SyncOptions(sources=("cloudtrail",), archive=folder)
    with open_warehouse(world.path) as db:
        assert sync_places(db, places, world.clock, options).problems == []


def test_two_accounts_logs_and_dropped_calls_are_no_matter(world: World, tmp_path: Path) -> None:
    two_accounts(world, archive(tmp_path))
    times = {n: utc(world.clock.now() - n * 12 * HOUR) for n in range(0, 20, 4)}
    logs = write_invocation_log(
        tmp_path / "i.json", [logged(n, tokens=(n + 1, 5), timestamp=times[n]) for n in times]
    )
    with open_warehouse(world.path) as db:
        load(db, logs)
    synced = views(world.path)
    assert len(synced["calls"]) == 20
    with open_warehouse(world.path) as db:
        drop_calls(db, cutoff(world.clock.now(), 3 * DAY), dropped_at=utc(world.clock.now()))
    dropped = views(world.path)
    assert 0 < len(dropped["calls"]) < 20
    for name, order in (("a", (tmp_path / "kept", logs)), ("b", (logs, tmp_path / "kept"))):
        path = tmp_path / f"{name}.db"
        with open_warehouse(path, create=True) as db:
            for one in order:
                load(db, one)
        assert views(path) == synced
    with open_warehouse(world.path) as db:
        load(db, tmp_path / "kept")
    assert views(world.path) == dropped


class Failing(LocalArchive):
    """An archive that takes so many files and then no more."""

    left = 0

    def write(self, name: str, data: bytes) -> None:
        if self.left == 0:
            raise AccessError("the archive is full")
        self.left -= 1
        super().write(name, data)


def test_what_cannot_be_kept_is_not_claimed_and_comes_next_time(
    world: World, tmp_path: Path
) -> None:
    for number in range(10):
        world.deliver(number, DAY / 4 + number * DAY)
    failing = Failing(str(tmp_path / "kept"))
    failing.left = 3
    outcome = world.sync(archive=failing)
    assert [problem.message for problem in outcome.problems] == ["the archive is full"]
    assert len(kept(tmp_path / "kept")) == 3
    claimed = set(world.event_ids())
    assert claimed <= {record["eventID"] for record in kept(tmp_path / "kept")}
    world.sync(archive=archive(tmp_path))
    assert sorted({record["eventID"] for record in kept(tmp_path / "kept")}) == world.event_ids()
    assert len(world.event_ids()) == 10


def test_before_anything_was_kept_the_bookmark_does_not_move(world: World, tmp_path: Path) -> None:
    world.deliver(1, 2 * HOUR)
    world.sync(archive=Failing(str(tmp_path / "kept")))
    assert world.state().get("watermark") is None
    assert world.event_ids() == []


def test_what_was_read_before_a_failure_is_kept_and_claimed(world: World, tmp_path: Path) -> None:
    for number in range(200):
        world.deliver(number, 2 * HOUR + number * MINUTE)
    world.aws.faults.append(Fault("denied", operation="LookupEvents", skip=2, times=1))
    outcome = world.sync(archive=archive(tmp_path))
    assert len(outcome.problems) == 1
    stored = world.event_ids()
    assert stored
    assert stored == sorted(record["eventID"] for record in kept(tmp_path / "kept"))


def test_a_crash_between_file_and_commit_repeats_an_event_and_loses_none(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.deliver(1, 2 * HOUR, tokens=(1, 2))

    def crash(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr("etl.warehouse.write.batch.save_archived", crash)
        with pytest.raises(MemoryError):
            world.sync(archive=archive(tmp_path))
    assert (len(kept(tmp_path / "kept")), world.event_ids()) == (1, [])
    world.sync(archive=archive(tmp_path))
    assert len(kept(tmp_path / "kept")) == 2
    other = loaded(world, tmp_path / "kept", tmp_path / "loaded.db")
    assert views(other) == views(world.path)


def test_a_local_file_is_never_seen_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []
    settle = os.fsync

    def look(descriptor: int) -> None:
        seen.append([f.name for f in (tmp_path / "kept").rglob("*.gz")])
        settle(descriptor)

    monkeypatch.setattr(os, "fsync", look)
    place = archive(tmp_path)
    place.write("AWSLogs/a.json.gz", b"whole")
    # The folders' names, the content under a name that readers ignore, the new name.
    assert [name for names in seen[:-1] for name in names if not name.startswith(".")] == []
    assert seen[-1] == ["a.json.gz"]

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(AccessError, match="No space left on device"):
        place.write("AWSLogs/b.json.gz", b"half")
    assert [file.name for file in (tmp_path / "kept").rglob("*") if file.is_file()] == ["a.json.gz"]


def test_an_impossible_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AccessError, match="cannot be written"):
        LocalArchive(str(tmp_path / "file" / "below")).check()
    with pytest.raises(AccessError, match="name another folder"):
        LocalArchive(str(tmp_path / "file")).check()


@pytest.fixture
def bucket(world: World) -> Any:
    client = boto3.client("s3", region_name=REGION)
    client.create_bucket(Bucket=BUCKET)
    return client


def s3(world: World, prefix: str = "raw") -> Archive:
    return S3Archive(world.places()[0], f"s3://{BUCKET}/{prefix}")


def keys(client: Any) -> list[str]:
    return [one["Key"] for one in client.list_objects_v2(Bucket=BUCKET).get("Contents", [])]


@pytest.mark.parametrize("prefix", ["raw", "raw/", ""])
def test_in_s3_it_is_the_same(world: World, bucket: Any, prefix: str) -> None:
    world.deliver(1, 2 * HOUR, tokens=(1, 2))
    place = s3(world, prefix)
    for _ in range(2):
        place.check()  # the second time the marker is there
        world.sync(archive=place)
    marker, *events = sorted(keys(bucket), key=lambda key: MARKER not in key)
    start = f"{prefix.rstrip('/')}/".lstrip("/")
    assert marker == start + MARKER
    assert len(events) == 1
    assert events[0].startswith(f"{start}AWSLogs/{ACCOUNT}/CloudTrail/{REGION}/2026/11/20/")
    body = bucket.get_object(Bucket=BUCKET, Key=events[0])["Body"].read()
    assert [r["eventID"] for r in json.loads(gzip.decompress(body))["Records"]] == [uuid_of(1)]


def test_looking_whether_s3_lets_us_in_leaves_one_version_of_the_marker(
    world: World, bucket: Any
) -> None:
    bucket.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    for _ in range(3):
        s3(world).check()
    versions = bucket.list_object_versions(Bucket=BUCKET)["Versions"]
    assert [one["Key"] for one in versions] == [f"raw/{MARKER}"]


def test_s3_s_refusals_say_what_to_do(world: World, bucket: Any) -> None:
    with pytest.raises(SourceError, match="there is no bucket no-such-bucket"):
        S3Archive(world.places()[0], "s3://no-such-bucket/x").check()
    world.aws.faults.append(Fault("denied", operation="PutObject", times=None))
    with pytest.raises(SourceError, match="AccessDenied on s3:PutObject"):
        s3(world).check()
    world.aws.faults[:] = [Fault("kms-denied", operation="PutObject", times=None)]
    with pytest.raises(SourceError, match="allow kms:"):
        s3(world).check()
    world.deliver(1, 2 * HOUR)
    outcome = world.sync(archive=s3(world))
    assert "kms:" in outcome.problems[0].message
    assert world.state().get("watermark") is None


def test_a_put_is_tried_again_where_that_may_help(world: World, bucket: Any) -> None:
    world.deliver(1, 2 * HOUR)
    world.aws.faults += [
        Fault("503", operation="PutObject"),
        Fault("throttle", operation="PutObject"),
    ]
    assert world.sync(archive=s3(world)).problems == []
    assert len(keys(bucket)) == 1


SYNC = """
import sys
from pathlib import Path
from etl.clock import Clock
from etl.sources import limiter
from etl.sources.accounts import find_places, open_own_account
from etl.sources.archive import LocalArchive
from etl.sync import cloudtrail
from etl.sync.run import SyncOptions, sync_places
from etl.warehouse.database import open_warehouse
from etl.config import parse_duration
limiter.LOOKUP_SECONDS = 0.0
cloudtrail._ARCHIVE_EVENTS = 100
clock = Clock()
places, _ = find_places([open_own_account(None, clock)], ["us-east-1"], clock)
options = SyncOptions(sources=("cloudtrail",), since=clock.now() - parse_duration("20d"),
                      archive=LocalArchive(sys.argv[2]))
with open_warehouse(Path(sys.argv[1]), create=True) as db:
    print("ready", flush=True)
    sync_places(db, places, clock, options)
"""


CALLS = rounds(400, 1500)


@long
def test_killed_at_random_moments_nothing_claimed_is_missing(tmp_path: Path) -> None:
    rng, now = random.Random(5), datetime.now(UTC)
    path, folder, kills = tmp_path / "w.db", tmp_path / "kept", 0
    with FakeAws() as aws:
        aws.lookup_rate = None
        for number in range(CALLS):
            moment = now - timedelta(seconds=rng.uniform(7200, 19 * 86_400))
            aws.place().deliver(call(number, eventTime=utc(moment), tokens=(number, 2)))

        def start() -> subprocess.Popen[bytes]:
            clean = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
            return subprocess.Popen(
                [sys.executable, "-c", SYNC, str(path), str(folder)],
                cwd=Path(__file__).parents[2],
                env=clean | aws.environment(),
                stdout=subprocess.PIPE,
            )

        for _ in range(rounds(2, 10)):
            process = start()
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(rng.uniform(0.05, 0.3))
            process.kill()
            process.communicate()
            kills += process.returncode == -signal.SIGKILL
            stored = set(query(path, "select event_id from calls"))
            with open_warehouse(tmp_path / "look.db", create=True) as db:
                if folder.exists():
                    load(db, folder)
                assert stored <= set(rows(db, "select event_id from calls"))
        process = start()
        process.communicate(timeout=120)
    assert kills >= 1
    assert process.returncode == 0
    with open_warehouse(tmp_path / "again.db", create=True) as db:
        result = load(db, folder)
    assert result.rejected == 0
    assert views(tmp_path / "again.db") == views(path)
    assert len(query(path, "select 1 from calls")) == CALLS


def query(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with open_warehouse(path, create=True) as db:
        return rows(db, sql)
