"""Log files in a folder or bucket: each is read once, and none is missed."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from etl.errors import AccessError, FileGoneError, RetriableError
from etl.load.run import load_files
from etl.sources.stores import Content, LocalStore, StoredFile
from etl.sync.files import Root
from etl.sync.run import SyncOptions, SyncOutcome, sync_places
from etl.warehouse.database import open_warehouse
from tests.support import ACCOUNT, call, dump, logged, rows, uuid_of
from tests.sync.support import DAY, HOUR, MINUTE, World, utc

OTHER = "444455556666"
TRAIL = f"trail/{ACCOUNT}/us-east-1"


class Counting(LocalStore):
    """A local store that counts what is read of it, and fails where configured."""

    def __init__(self) -> None:
        self.read_files: list[str] = []
        self.listed: list[str] = []
        self.faults: dict[str, Exception] = {}

    def read(self, file: StoredFile) -> Content:
        if error := self.faults.get(file.name):
            raise error
        self.read_files.append(file.name)
        return super().read(file)

    def files_below(self, folder: str, after: str = "", before: str | None = None) -> Any:
        self.listed.append(folder)
        return super().files_below(folder, after, before)


class Bucket:
    """A folder in which logs are delivered, and a world that reads them."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world, self.folder, self.store = world, folder, Counting()
        self._number = 0

    def deliver(
        self,
        delivered: datetime,
        *records: dict[str, Any],
        account: str = ACCOUNT,
        region: str = "us-east-1",
        prefix: str = "AWSLogs/",
    ) -> Path:
        """Write a trail's file as CloudTrail does; return its path."""
        self._number += 1
        name = f"{account}_CloudTrail_{region}_{delivered:%Y%m%dT%H%MZ}_{self._number:016}.json.gz"
        path = self.folder / f"{prefix}{account}/CloudTrail/{region}/{delivered:%Y/%m/%d}/{name}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(json.dumps({"Records": records}).encode()))
        return path

    def log(self, delivered: datetime, *records: dict[str, Any]) -> Path:
        """Write a file of invocation logs as Bedrock does."""
        self._number += 1
        path = self.folder / (
            f"AWSLogs/{ACCOUNT}/BedrockModelInvocationLogs/us-east-1/{delivered:%Y/%m/%d/%H}/"
            f"{delivered:%Y%m%dT%H%M%S}000Z_{self._number:016}.json.gz"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = "".join(f"{json.dumps(record)}\n" for record in records)
        path.write_bytes(gzip.compress(lines.encode()))
        return path

    def sync(self, kind: str = "trail", **options: Any) -> SyncOutcome:
        chosen = SyncOptions(**({"sources": (kind,)} | options))
        root = Root(kind, str(self.folder), self.store)  # type: ignore[arg-type]
        with open_warehouse(self.world.path) as db:
            return sync_places(db, [], self.world.clock, chosen, lambda _: None, roots=[root])


@pytest.fixture
def bucket(world: World, tmp_path: Path) -> Bucket:
    folder = tmp_path / "bucket"
    folder.mkdir()
    return Bucket(world, folder)


def at(world: World, ago: timedelta, number: int, **fields: Any) -> dict[str, Any]:
    return call(number, eventTime=utc(world.clock.now() - ago), **fields)


def test_each_file_is_read_once(world: World, bucket: Bucket) -> None:
    now = world.clock.now()
    bucket.deliver(now - HOUR, at(world, HOUR, 1), at(world, HOUR, 2))
    assert bucket.sync().written.calls_new == 2
    world.clock.sleep(600)
    bucket.deliver(world.clock.now(), at(world, MINUTE, 3))
    outcome = bucket.sync()
    assert (outcome.written.calls_new, outcome.written.calls_known) == (1, 0)
    assert len(bucket.store.read_files) == 2
    assert bucket.sync().written.calls_new == 0
    assert len(bucket.store.read_files) == 2
    assert world.event_ids() == [uuid_of(1), uuid_of(2), uuid_of(3)]


def test_the_last_day_comes_first_and_then_history_to_its_end(world: World, bucket: Bucket) -> None:
    now = world.clock.now()
    days = (0, 1, 5, 20, 60, 89, 100)
    for number, ago in enumerate(days):
        bucket.deliver(now - ago * DAY - HOUR, at(world, ago * DAY + HOUR, number))
    outcome = bucket.sync()
    assert outcome.is_complete
    assert world.event_ids() == [uuid_of(number) for number in range(6)]
    read = [name.split("_")[3][:8] for name in bucket.store.read_files]
    assert read[:2] == [f"{now - DAY - HOUR:%Y%m%d}", f"{now - HOUR:%Y%m%d}"]
    state = world.state(TRAIL)
    assert state["watermark"] == utc(now)
    assert state["covered_from"] == utc(now - 90 * DAY)
    bucket.sync(since=now - 120 * DAY)
    assert world.event_ids() == [uuid_of(number) for number in range(7)]


def test_history_stops_with_the_round_and_continues_in_the_next(
    world: World, bucket: Bucket
) -> None:
    now = world.clock.now()
    for number in range(6):
        bucket.deliver(now - number * 14 * DAY, at(world, number * 14 * DAY, number))
    assert bucket.sync(round_seconds=0.0).is_complete
    assert world.rows("select count(*) from sync_runs")[0][0] > 10
    assert len(world.event_ids()) == 6
    assert len(bucket.store.read_files) == 6


def test_accounts_regions_and_organisations_are_streams_of_their_own(
    world: World, bucket: Bucket
) -> None:
    now = world.clock.now()
    bucket.deliver(now - HOUR, at(world, HOUR, 1), prefix="AWSLogs/o-abcdefghij/")
    bucket.deliver(
        now - HOUR,
        at(world, HOUR, 2, recipientAccountId=OTHER, awsRegion="eu-west-1"),
        account=OTHER,
        region="eu-west-1",
        prefix="AWSLogs/o-abcdefghij/",
    )
    bucket.sync()
    assert world.rows("select account_id, region from calls order by 1") == [
        (ACCOUNT, "us-east-1"),
        (OTHER, "eu-west-1"),
    ]
    assert world.rows("select stream from sync_state order by 1") == [
        (TRAIL,),
        (f"trail/{OTHER}/eu-west-1",),
    ]


def test_what_is_no_event_log_is_not_read(world: World, bucket: Bucket) -> None:
    now = world.clock.now()
    kept = bucket.deliver(now - HOUR, at(world, HOUR, 1))
    for other in (
        "CloudTrail-Digest",
        "CloudTrail-Insight",
        "CloudTrail-NetworkActivity",
        "Config",
    ):
        path = Path(str(kept).replace("/CloudTrail/", f"/{other}/"))
        path.parent.mkdir(parents=True)
        shutil.copy(kept, path)
    bucket.sync()
    assert bucket.store.read_files == [kept.name]


def test_a_late_file_is_found_by_the_daily_and_the_weekly_listing(
    world: World, bucket: Bucket
) -> None:
    start = world.clock.now()
    bucket.deliver(start - 30 * DAY, at(world, 30 * DAY, 1))
    bucket.sync()
    world.clock.sleep(26 * 3600)
    bucket.deliver(start - 20 * HOUR, at(world, 46 * HOUR, 2))
    daily = bucket.sync()
    assert (daily.written.calls_new, daily.written.late_events) == (1, 1)
    bucket.deliver(start - 20 * DAY, at(world, 21 * DAY, 3))
    assert bucket.sync().written.calls_new == 0
    world.clock.sleep(7 * 86_400)
    weekly = bucket.sync()
    assert (weekly.written.calls_new, weekly.written.late_events) == (1, 1)
    assert world.state(TRAIL)["late_events"] == 2


def test_a_quiet_run_lists_from_two_hours_before_the_watermark(
    world: World, bucket: Bucket
) -> None:
    bucket.deliver(world.clock.now() - HOUR, at(world, HOUR, 1))
    bucket.sync()
    bucket.store.listed.clear()
    world.clock.sleep(900)
    bucket.sync()
    assert len(bucket.store.listed) == 1


def test_a_replaced_file_is_read_again(world: World, bucket: Bucket) -> None:
    now = world.clock.now()
    path = bucket.deliver(now - HOUR, at(world, HOUR, 1))
    bucket.sync()
    both = {"Records": [at(world, HOUR, 1), at(world, HOUR, 2)]}
    path.write_bytes(gzip.compress(json.dumps(both).encode()))
    outcome = bucket.sync()
    assert (outcome.written.calls_new, outcome.written.calls_known) == (1, 1)


def test_a_half_written_file_is_reported_and_read_again_when_complete(
    world: World, bucket: Bucket
) -> None:
    path = bucket.deliver(world.clock.now() - HOUR, *(at(world, HOUR, n) for n in range(50)))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    outcome = bucket.sync()
    assert outcome.rejected
    assert 0 < len(world.event_ids()) < 50
    assert "truncated" in str(world.rows("select reason from rejects"))
    path.write_bytes(whole)
    assert bucket.sync().is_complete
    assert len(world.event_ids()) == 50
    assert world.rows("select * from rejects") == []


def test_a_damaged_file_is_reported_by_one_sync_and_listed_from_then_on(
    world: World, bucket: Bucket
) -> None:
    path = bucket.deliver(world.clock.now() - HOUR, *(at(world, HOUR, n) for n in range(50)))
    path.write_bytes(path.read_bytes()[:-200])
    assert not bucket.sync().is_complete
    world.clock.sleep(DAY.total_seconds())
    assert bucket.sync().is_complete
    with open_warehouse(world.path) as db:
        ((file, is_refused),) = rows(db, "select file, is_refused from rejected_files")
        assert (file, is_refused) == (str(path), 1)
        # `load` tells of the same file, and may accept it.
        assert not load_files(db, [path]).is_complete
        assert load_files(db, [path], accept_on="2026-11-20").is_complete
    assert bucket.sync().is_complete


def test_a_file_that_disappears_is_reported_and_holds_up_nothing_else(
    world: World, bucket: Bucket
) -> None:
    now = world.clock.now()
    gone = bucket.deliver(now - HOUR, at(world, HOUR, 1))
    bucket.deliver(now - HOUR, at(world, HOUR, 2))
    bucket.store.faults[gone.name] = FileGoneError(f"{gone} is no longer there")
    outcome = bucket.sync()
    assert world.event_ids() == [uuid_of(2)]
    assert "no longer there" in str(world.rows("select reason from rejects"))
    assert not outcome.is_complete
    assert (world.state(TRAIL)["watermark"], world.state(TRAIL)["error"]) == (utc(now), None)


@pytest.mark.parametrize("error", [AccessError("denied: add s3:GetObject"), RetriableError("busy")])
def test_a_file_that_cannot_be_read_keeps_the_watermark_where_it_was(
    world: World, bucket: Bucket, error: Exception
) -> None:
    now = world.clock.now()
    bucket.deliver(now - HOUR, at(world, HOUR, 1))
    bucket.sync()
    world.clock.sleep(3 * 86_400)
    bad = bucket.deliver(world.clock.now() - 2 * DAY, at(world, 2 * DAY, 2))
    bucket.deliver(world.clock.now() - HOUR, at(world, HOUR, 3))
    bucket.store.faults[bad.name] = error
    outcome = bucket.sync()
    assert [str(error)] == outcome.messages
    state = world.state(TRAIL)
    assert (state["watermark"], state["error"]) == (utc(now), str(error))
    assert world.event_ids() == [uuid_of(1), uuid_of(3)]
    bucket.store.faults.clear()
    world.clock.sleep(3600)
    assert bucket.sync().is_complete
    assert world.event_ids() == [uuid_of(1), uuid_of(2), uuid_of(3)]
    assert world.state(TRAIL)["error"] is None
    assert world.rows("select * from rejects") == []


def test_another_root_is_read_from_its_beginning(
    world: World, bucket: Bucket, tmp_path: Path
) -> None:
    now = world.clock.now()
    bucket.deliver(now - HOUR, at(world, HOUR, 1))
    bucket.sync()
    moved = Bucket(world, tmp_path / "moved")
    moved.deliver(now - 40 * DAY, at(world, 40 * DAY, 2))
    moved.sync()
    assert world.event_ids() == [uuid_of(1), uuid_of(2)]


def test_a_root_without_logs_says_what_to_name(world: World, bucket: Bucket) -> None:
    (message,) = bucket.sync().messages
    assert "name the bucket and prefix that contain the folder AWSLogs" in message


def test_invocation_logs_are_joined_to_the_trails_calls(world: World, bucket: Bucket) -> None:
    now = world.clock.now()
    bucket.deliver(now - HOUR, at(world, HOUR, 1))
    bucket.log(
        now - HOUR, logged(1, timestamp=utc(now - HOUR)), logged(2, timestamp=utc(now - HOUR))
    )
    body = bucket.folder / f"AWSLogs/{ACCOUNT}/BedrockModelInvocationLogs/us-east-1/"
    data = body / f"{now - HOUR:%Y/%m/%d/%H}/data/x_input.json.gz"
    data.parent.mkdir()
    data.write_bytes(gzip.compress(b'{"prompt": "secret"}'))
    bucket.sync()
    outcome = bucket.sync("invocation_logs")
    assert (outcome.written.calls_new, outcome.written.calls_logged) == (1, 1)
    assert world.rows("select count(*), sum(input_tokens) from calls") == [(2, 200)]
    assert all("input.json" not in name for name in bucket.store.read_files)
    assert world.state(f"invocation_logs/{ACCOUNT}/us-east-1")["watermark"] == utc(now)


def test_a_stop_loses_nothing(world: World, bucket: Bucket) -> None:
    now = world.clock.now()
    for number in range(30):
        bucket.deliver(now - number * DAY, at(world, number * DAY, number))
    reads: Callable[[StoredFile], Content] = bucket.store.read

    def stopping(file: StoredFile) -> Content:
        if len(bucket.store.read_files) == 10:
            world.clock.stop.set()
        return reads(file)

    bucket.store.read = stopping  # type: ignore[method-assign]
    assert bucket.sync().is_stopped
    world.clock.stop.clear()
    bucket.store.read = reads  # type: ignore[method-assign]
    assert bucket.sync().is_complete
    assert len(world.event_ids()) == 30


def test_the_same_logs_come_to_the_same_rows_by_load_and_by_sync(
    world: World, bucket: Bucket, new_world: Callable[[], World]
) -> None:
    from tests.support import load

    now = world.clock.now()
    for number in range(8):
        bucket.deliver(
            now - number * DAY, *(at(world, number * DAY, 10 * number + n) for n in range(3))
        )
    bucket.sync()
    other = new_world()
    with open_warehouse(other.path) as db:
        load(db, bucket.folder)
        loaded = rows(db, "select * from calls order by event_id")
    assert world.rows("select * from calls order by event_id") == loaded
    assert dump(world.path)["log_files"] != []


def test_a_stream_that_cannot_be_listed_is_reported_and_holds_up_no_other(
    world: World, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = world.clock.now()
    bucket.deliver(now - HOUR, at(world, HOUR, 1))
    bucket.sync()
    world.clock.sleep(3600)
    bucket.deliver(world.clock.now(), at(world, MINUTE, 2))
    bucket.deliver(
        world.clock.now(), at(world, MINUTE, 3, awsRegion="eu-west-1"), region="eu-west-1"
    )
    lists = bucket.store.files_below

    def denied(folder: str, after: str = "", before: str | None = None) -> Any:
        if "us-east-1" in folder:
            raise AccessError("add s3:ListBucket")
        return lists(folder, after, before)

    monkeypatch.setattr(bucket.store, "files_below", denied)
    assert bucket.sync().messages == ["add s3:ListBucket"]
    assert world.event_ids() == [uuid_of(1), uuid_of(3)]
    state = world.state(TRAIL)
    assert (state["watermark"], state["error"]) == (utc(now), "add s3:ListBucket")
    monkeypatch.undo()
    assert bucket.sync().is_complete
    assert world.event_ids() == [uuid_of(1), uuid_of(2), uuid_of(3)]


def test_a_link_to_a_folder_is_not_followed(world: World, bucket: Bucket) -> None:
    day = bucket.deliver(world.clock.now() - HOUR, at(world, HOUR, 1)).parent
    day.rename(bucket.folder.with_name("elsewhere"))
    day.symlink_to(bucket.folder.with_name("elsewhere"))
    bucket.sync()
    assert world.event_ids() == []


def test_a_stream_whose_first_file_is_denied_is_not_asked_for_the_rest(
    world: World, bucket: Bucket
) -> None:
    now = world.clock.now()
    denied = [bucket.deliver(now - HOUR, at(world, HOUR, number)) for number in range(100)]
    bucket.deliver(now - HOUR, at(world, HOUR, 200, awsRegion="eu-west-1"), region="eu-west-1")
    bucket.store.faults = {file.name: AccessError("add s3:GetObject") for file in denied}
    asked: list[str] = []
    read = bucket.store.read

    def counting(file: StoredFile) -> Content:
        asked.append(file.name)
        return read(file)

    bucket.store.read = counting  # type: ignore[method-assign]
    assert bucket.sync().messages == ["add s3:GetObject"]
    assert len(asked) < 60
    assert world.event_ids() == [uuid_of(200)]


def test_one_denied_file_holds_up_no_other(world: World, bucket: Bucket) -> None:
    now = world.clock.now()
    files = [bucket.deliver(now - HOUR, at(world, HOUR, number)) for number in range(50)]
    bucket.store.faults[files[20].name] = AccessError("add kms:Decrypt")
    assert bucket.sync().messages == ["add kms:Decrypt"]
    assert len(world.event_ids()) == 49


def test_two_roots_in_one_run_keep_their_names_apart(world: World, bucket: Bucket) -> None:
    now = world.clock.now()
    for hours in range(1, 20):
        moment = now - hours * DAY
        bucket.deliver(moment, call(hours, user="alice", eventTime=utc(moment)))
        bucket.log(moment, logged(100 + hours, user="bob", timestamp=utc(moment)))
    roots = [Root(kind, str(bucket.folder), bucket.store) for kind in ("trail", "invocation_logs")]
    options = SyncOptions(sources=("trail", "invocation_logs"))
    with open_warehouse(world.path) as db:
        sync_places(db, [], world.clock, options, lambda _: None, roots=roots)
    assert world.rows(
        "select reported_by, user_name, count(*) from calls group by 1, 2 order by 1"
    ) == [("CloudTrail", "alice", 19), ("invocation log", "bob", 19)]
