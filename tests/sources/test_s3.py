"""Objects in S3, over the real wire: complete listings, complete objects, and what to do about errors."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest

from etl.errors import (
    AccessError,
    BedrockUsageError,
    FileGoneError,
    RejectError,
    RetriableError,
    StoppedError,
)
from etl.sources import s3 as s3_module
from etl.sources.accounts import open_own_account
from etl.sources.aws import Place
from etl.sources.listing import each_file, find_streams, stream_files, survey
from etl.sources.prefetch import fetch_ahead
from etl.sources.s3 import S3Store
from etl.sources.stores import Content, StoredFile
from tests.aws import ACCOUNT, FakeAws, FakeClock, Fault
from tests.rounds import crossed, some
from tests.sync.support import environment

BUCKET, OTHER = "example-logs", "logs-elsewhere"
ROOT = f"s3://{BUCKET}/"
STREAM = f"AWSLogs/{ACCOUNT}/CloudTrail/us-east-1/"


@pytest.fixture
def aws() -> Iterator[FakeAws]:
    with FakeAws() as fake, environment(fake.environment()):
        fake.reset(FakeClock(datetime(2026, 11, 20, tzinfo=UTC)))
        client.cache_clear()
        client().create_bucket(Bucket=BUCKET)
        yield fake


@functools.cache
def client(region: str = "us-east-1") -> Any:
    return boto3.client("s3", region_name=region)


def put(key: str, content: bytes = b"x", bucket: str = BUCKET) -> None:
    client().put_object(Bucket=bucket, Key=key, Body=content)


def store_in(region: str, clock: FakeClock | None = None) -> S3Store:
    clock = clock or FakeClock(datetime(2026, 11, 20, tzinfo=UTC))
    return S3Store(Place(open_own_account(None, clock), region, clock), page_keys=3)


@pytest.fixture
def store(aws: FakeAws) -> S3Store:
    return store_in("us-east-1")


def names(store: S3Store, folder: str, after: str = "") -> list[str]:
    return [file.uri.removeprefix(ROOT) for file in store.files_below(folder, after)]


def test_a_listing_of_many_pages_is_whole(store: S3Store) -> None:
    keys = [f"a/{number:02}.json" for number in range(11)]
    for key in keys:
        put(key)
    assert names(store, ROOT) == keys
    assert [file.name for file in store.files(f"{ROOT}a/")] == [k[2:] for k in keys]
    assert names(store, ROOT, f"{ROOT}a/07.json") == keys[8:]


def test_folders_and_files_of_a_folder(store: S3Store) -> None:
    for key in ("b/1", "b/c/2", "d/3", "top", f"{STREAM}2026/11/02/x", "e/"):
        put(key)
    assert store.list_folder(ROOT) == (["AWSLogs", "b", "d", "e"], True)
    assert store.list_folder(f"{ROOT}b/") == (["c"], True)
    assert store.list_folder(f"{ROOT}nothing/") == ([], False)


@pytest.mark.parametrize("key", ["a b/c+d.json", "ü/é%20.json", "x/'quoted'&.json"])
def test_keys_may_have_any_letters(store: S3Store, key: str) -> None:
    put(key, b"content")
    (file,) = store.files_below(ROOT)
    assert file.uri == ROOT + key
    assert store.read(file).data == b"content"
    assert store.find(file.uri) == file


def test_what_is_no_log_is_left_out(store: S3Store) -> None:
    put(f"AWSLogs/{ACCOUNT}/CloudTrail-Digest/us-east-1/2026/11/02/d.json.gz")
    put(f"AWSLogs/{ACCOUNT}/BedrockModelInvocationLogs/us-east-1/2026/11/02/09/data/prompt.json.gz")
    put("amazon-bedrock-logs-permission-check")
    put(f"{STREAM}2026/11/02/a.json.gz")
    assert names(store, ROOT) == [f"{STREAM}2026/11/02/a.json.gz"]
    found = survey(store, ROOT)
    assert [file.name for file in each_file(store, found)] == ["a.json.gz"]


def test_days_before_are_not_listed(aws: FakeAws, store: S3Store) -> None:
    for month in range(1, 12):
        put(
            f"{STREAM}2026/{month:02}/05/{ACCOUNT}_CloudTrail_us-east-1_2026{month:02}05T0000Z_x.gz"
        )
    streams, problems = find_streams(store, ROOT)
    assert (len(streams), problems) == (1, [])
    before = aws.count("ListObjectsV2")
    files = list(stream_files(store, streams[0], since=datetime(2026, 10, 5, tzinfo=UTC).date()))
    assert [file.folder[-11:] for file in files] == ["2026/10/05/", "2026/11/05/"]
    assert aws.count("ListObjectsV2") == before + 1
    files = list(stream_files(store, streams[0], until=datetime(2026, 2, 4, tzinfo=UTC).date()))
    assert [file.folder[-11:] for file in files] == ["2026/01/05/"]
    assert aws.count("ListObjectsV2") == before + 2


def test_a_day_of_several_regions_comes_in_the_order_of_delivery(store: S3Store) -> None:
    for number, region in enumerate(["us-east-1", "eu-west-1", "us-east-1", "eu-west-1"]):
        put(
            f"AWSLogs/{ACCOUNT}/CloudTrail/{region}/2026/11/05/"
            f"{ACCOUNT}_CloudTrail_{region}_20261105T0{number}00Z_x.json.gz"
        )
    found = [file.name.split("_")[3] for file in each_file(store, survey(store, ROOT))]
    assert found == [f"20261105T0{number}00Z" for number in range(4)]


@pytest.mark.parametrize(
    ("kind", "operation"),
    some(
        crossed(
            ["throttle", "500", "503", "reset", "reset-in-body", "truncated", "cut", "garbage"],
            ["ListObjectsV2", "GetObject"],
        ),
        4,
    ),
)
def test_what_passes_is_tried_again(
    aws: FakeAws, store: S3Store, kind: str, operation: str
) -> None:
    for number in range(5):
        put(f"a/{number}", b"content" * 1000)
    aws.faults.append(Fault(kind, operation=operation, skip=1))
    files = list(store.files_below(ROOT))
    assert len(files) == 5
    assert all(store.read(file).data == b"content" * 1000 for file in files)
    assert aws.faults[0].seen > 1


def test_a_service_that_stays_down_is_reported(aws: FakeAws, store: S3Store) -> None:
    aws.faults.append(Fault("503", times=None))
    with pytest.raises(RetriableError):
        list(store.files_below(ROOT))


def test_an_object_that_is_gone(store: S3Store) -> None:
    put("a/1")
    (file,) = store.files_below(ROOT)
    client().delete_object(Bucket=BUCKET, Key="a/1")
    with pytest.raises(FileGoneError, match="no longer there"):
        store.read(file)


def test_an_object_that_was_replaced_has_the_etag_of_what_was_read(store: S3Store) -> None:
    put("a/1", b"before")
    (file,) = store.files_below(ROOT)
    put("a/1", b"and after")
    content = store.read(file)
    assert content.data == b"and after"
    (now,) = store.files_below(ROOT)
    assert (content.etag, content.etag == file.etag) == (now.etag, False)


def test_a_response_that_stays_damaged_is_reported_without_its_content(
    aws: FakeAws, store: S3Store
) -> None:
    put("a/1", b"a secret prompt")
    (file,) = store.files_below(ROOT)
    aws.faults.append(Fault("cut", operation="GetObject", times=None))
    with pytest.raises(RetriableError, match=f"^{file.uri}: ") as caught:
        store.read(file)
    assert "secret" not in str(caught.value)
    aws.faults[:] = [Fault("truncated", operation="ListObjectsV2", times=None)]
    with pytest.raises(RetriableError, match="KeyCount is missing"):
        store.list_folder(ROOT)


def test_a_listing_that_does_not_say_whether_it_is_whole_is_damaged(
    store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        put(f"a/{number}")
    s3 = store._place.account.client("s3", "us-east-1")
    listed, spoilt = s3.list_objects_v2, list[str]()

    def spoil(**parameters: Any) -> Any:
        answer = listed(**parameters)
        for key in ("IsTruncated", "NextContinuationToken"):
            if key not in spoilt and answer.pop(key, None) is not None:
                spoilt.append(key)
                return answer
        return answer

    monkeypatch.setattr(s3, "list_objects_v2", spoil)
    assert names(store, ROOT) == [f"a/{number}" for number in range(4)]
    assert spoilt == ["IsTruncated", "NextContinuationToken"]


def test_a_body_of_the_right_length_and_the_wrong_bytes_is_damaged(
    aws: FakeAws, store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("a/1", b"as it was sent")
    (file,) = store.files_below(ROOT)
    spoil = Fault("cut", operation="GetObject")
    monkeypatch.setitem(
        sys.modules["tests.aws.faults"].__dict__["_SPOILERS"],
        "cut",
        lambda true: type(true)(true.status, b"AS IT WAS SENT", true.headers),
    )
    aws.faults.append(spoil)
    assert store.read(file).data == b"as it was sent"
    assert spoil.seen == 2


def test_a_large_object_is_kept_in_a_file_without_a_name(
    store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_module, "SMALL_BYTES", 1000)
    put("a/1", b"x" * 5000)
    (file,) = store.files_below(ROOT)
    content = store.read(file)
    assert not isinstance(content.data, bytes)
    for _ in range(2):
        assert b"".join(content.pieces()) == b"x" * 5000


def test_an_archived_object_is_reported_and_affects_no_other(store: S3Store) -> None:
    client().put_object(Bucket=BUCKET, Key="a/1", Body=b"x", StorageClass="GLACIER")
    put("a/2")
    results = [result for _, result in fetch_ahead(store, store.files_below(ROOT))]
    assert isinstance(results[0], RejectError)
    assert "restore it (aws s3api restore-object)" in str(results[0])
    assert isinstance(results[1], Content)


def test_a_stop_ends_the_reading(aws: FakeAws) -> None:
    clock = FakeClock(datetime(2026, 11, 20, tzinfo=UTC))
    store = store_in("us-east-1", clock)
    for number in range(10):
        put(f"a/{number}")
    results = fetch_ahead(store, store.files_below(ROOT), ahead=2)
    next(results)
    clock.stop.set()
    with pytest.raises(StoppedError):
        list(results)
    assert aws.count("GetObject") < 10


@pytest.mark.parametrize(
    ("kind", "said"),
    [("denied", "add s3:GetObject on the bucket"), ("kms-denied", "allow kms:Decrypt")],
)
def test_what_is_denied_says_what_to_allow(
    aws: FakeAws, store: S3Store, kind: str, said: str
) -> None:
    put("a/1")
    (file,) = store.files_below(ROOT)
    aws.faults.append(Fault(kind, operation="GetObject", times=None))
    with pytest.raises(AccessError, match=said):
        store.read(file)


def test_a_bucket_that_is_not_there_and_a_folder_without_anything(store: S3Store) -> None:
    with pytest.raises(AccessError, match="there is no bucket no-such-bucket"):
        store.find("s3://no-such-bucket/x")
    with pytest.raises(RejectError, match="there is nothing at"):
        store.find(f"{ROOT}nothing")


def test_a_bucket_of_another_region_is_found(aws: FakeAws, store: S3Store) -> None:
    client("eu-west-1").create_bucket(
        Bucket=OTHER, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    client("eu-west-1").put_object(Bucket=OTHER, Key="a/1", Body=b"there")
    (file,) = store.files_below(f"s3://{OTHER}/")
    assert store.read(file).data == b"there"


def test_a_bucket_of_another_region_is_found_by_a_redirect_and_remembered(aws: FakeAws) -> None:
    put("a/1", b"there")
    put("a/2", b"there")
    store = store_in("us-west-2")
    files = list(store.files_below(ROOT))
    assert aws.count("ListObjectsV2", region="us-west-2") == 1
    assert aws.count("ListObjectsV2", region="us-east-1") == 1
    assert [store.read(file).data for file in files] == [b"there", b"there"]
    assert aws.count("GetObject", region="us-west-2") == 0


def test_the_user_is_asked_for_a_region_that_s3_does_not_state(
    aws: FakeAws, store: S3Store
) -> None:
    put("a/1")
    aws.faults.append(Fault("elsewhere", operation="ListObjectsV2", times=None))
    with pytest.raises(AccessError, match=f"get-bucket-location --bucket {BUCKET}"):
        store.list_folder(ROOT)


def test_a_listing_that_is_denied_names_the_permission_not_the_operation(
    aws: FakeAws, store: S3Store
) -> None:
    aws.faults.append(Fault("denied"))
    with pytest.raises(AccessError, match=f"AccessDenied on s3:ListBucket for {ROOT}") as caught:
        store.list_folder(ROOT)
    assert caught.value.code == "AccessDenied"


@pytest.mark.parametrize("name", ["typo", "typo/", "AWSLog"])
def test_a_missing_object_is_reported(store: S3Store, name: str) -> None:
    put("AWSLogs/x")
    with pytest.raises(RejectError, match=f"there is nothing at {ROOT}{name}: check the name"):
        store.find(ROOT + name)


def test_a_name_is_an_object_or_a_folder(store: S3Store) -> None:
    for key in ("logs-old/1", "logs/2", "logs.json"):
        put(key)
    for name in ("logs", "logs/"):
        assert store.find(ROOT + name) == f"{ROOT}logs/"
    assert store.find(ROOT) == store.find(ROOT[:-1]) == ROOT
    found = store.find(f"{ROOT}logs.json")
    assert isinstance(found, StoredFile)
    assert (found.folder, found.name, found.size) == (ROOT, "logs.json", 1)


ORGANIZATION = "p/AWSLogs/o-abcdefghij/"
DAY = f"{ORGANIZATION}{ACCOUNT}/CloudTrail/us-east-1/2026/11/02/"
HOUR = f"p/AWSLogs/{ACCOUNT}/BedrockModelInvocationLogs/us-east-1/2026/11/02/13/"


@pytest.mark.parametrize(
    ("root", "files"),
    some(
        [
            ("", ["a", "b", "c"]),
            ("p/AWSLogs/", ["a", "b", "c"]),
            (ORGANIZATION, ["a", "b"]),
            (f"{ORGANIZATION}{ACCOUNT}/", ["a"]),
            (DAY[:-6], ["a"]),
            (DAY, ["a"]),
            (HOUR[:-14], ["c"]),
            (HOUR, ["c"]),
        ],
        3,
    ),
)
def test_an_organization_is_read_from_any_level_and_nothing_outside_of_it(
    aws: FakeAws, store: S3Store, root: str, files: list[str]
) -> None:
    put(f"{DAY}a")
    put(f"{ORGANIZATION}444455556666/CloudTrail/eu-west-1/2026/11/02/b")
    put(f"{HOUR}c")
    put(f"{HOUR}data/prompt")
    put(f"{ORGANIZATION}{ACCOUNT}/CloudTrail-Insight/us-east-1/2026/11/02/x")
    found = survey(store, ROOT + root)
    assert sorted(file.name for file in each_file(store, found)) == files
    assert found.loose == []
    listed = [one.params["Prefix"] for one in aws.requests if one.operation == "ListObjectsV2"]
    assert all(prefix.startswith(root) for prefix in listed)
    assert not any("Insight" in prefix or "data" in prefix for prefix in listed)
    streams, _ = find_streams(store, ROOT + root)
    assert len(streams) == len(files)


def test_the_command_line_starts_without_boto3() -> None:
    code = "import sys, etl.cli.main, etl.sources.stores, etl.sources.listing; print('boto3' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert shown.stdout.strip() == b"False"


def test_downloads_come_in_order_and_errors_among_them(aws: FakeAws, store: S3Store) -> None:
    for number in range(30):
        put(f"a/{number:02}", str(number).encode())
    files = list(store.files_below(ROOT))
    gone = StoredFile(f"{ROOT}a/", "gone", "x", 1)
    results = list(fetch_ahead(store, [*files[:10], gone, *files[10:]], threads=4, ahead=6))
    assert isinstance(results[10][1], FileGoneError)
    contents = [c.data for _, c in results if isinstance(c, Content)]
    assert contents == [str(number).encode() for number in range(30)]


def test_a_folder_that_cannot_be_listed_stops_no_other(aws: FakeAws, store: S3Store) -> None:
    put(f"{STREAM}2026/11/02/a.json.gz")
    put("other/b.json")
    found = survey(store, ROOT)
    aws.faults.append(Fault("denied", operation="ListObjectsV2"))
    files = [file.name for file in each_file(store, found)]
    assert len(files) == 1
    assert [type(problem.error) for problem in found.problems] == [AccessError]
    assert issubclass(AccessError, BedrockUsageError)
