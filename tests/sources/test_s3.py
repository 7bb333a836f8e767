"""Objects in S3, over the real wire: whole listings, whole objects, and what to do about refusals."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest

from etl.errors import AccessError, BedrockUsageError, FileGoneError, RejectError, RetriableError
from etl.sources.accounts import open_own_account
from etl.sources.aws import Place
from etl.sources.download import download
from etl.sources.s3 import S3Store
from etl.sources.stores import Content, StoredFile
from etl.sources.survey import each_file, find_streams, stream_files, survey
from tests.aws import ACCOUNT, FakeAws, FakeClock, Fault
from tests.sync.support import environment

BUCKET, OTHER = "example-logs", "logs-elsewhere"
ROOT = f"s3://{BUCKET}/"
STREAM = f"AWSLogs/{ACCOUNT}/CloudTrail/us-east-1/"


@pytest.fixture
def aws() -> Iterator[FakeAws]:
    with FakeAws() as fake, environment(fake.environment()):
        fake.reset(FakeClock(datetime(2026, 11, 20, tzinfo=UTC)))
        client().create_bucket(Bucket=BUCKET)
        yield fake


def client(region: str = "us-east-1") -> Any:
    return boto3.client("s3", region_name=region)


def put(key: str, content: bytes = b"x", bucket: str = BUCKET) -> None:
    client().put_object(Bucket=bucket, Key=key, Body=content)


@pytest.fixture
def store(aws: FakeAws) -> S3Store:
    clock = FakeClock(datetime(2026, 11, 20, tzinfo=UTC))
    return S3Store(Place(open_own_account(None, clock), "us-east-1", clock), page_keys=3)


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


def test_a_day_of_several_regions_comes_in_the_order_of_delivery(store: S3Store) -> None:
    for number, region in enumerate(["us-east-1", "eu-west-1", "us-east-1", "eu-west-1"]):
        put(
            f"AWSLogs/{ACCOUNT}/CloudTrail/{region}/2026/11/05/"
            f"{ACCOUNT}_CloudTrail_{region}_20261105T0{number}00Z_x.json.gz"
        )
    found = [file.name.split("_")[3] for file in each_file(store, survey(store, ROOT))]
    assert found == [f"20261105T0{number}00Z" for number in range(4)]


@pytest.mark.parametrize("kind", ["throttle", "500", "503", "reset-in-body", "truncated"])
@pytest.mark.parametrize("operation", ["ListObjectsV2", "GetObject"])
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


def test_what_stays_out_of_service_is_told(aws: FakeAws, store: S3Store) -> None:
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


def test_downloads_come_in_order_and_errors_among_them(aws: FakeAws, store: S3Store) -> None:
    for number in range(30):
        put(f"a/{number:02}", str(number).encode())
    files = list(store.files_below(ROOT))
    gone = StoredFile(f"{ROOT}a/", "gone", "x", 1)
    results = list(download(store, [*files[:10], gone, *files[10:]], threads=4, ahead=6))
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
