"""What a folder of AWS's layouts means, from its path alone."""

from __future__ import annotations

from datetime import date

import pytest

from etl.errors import ConfigError
from etl.sources.layouts import (
    LogDelivery,
    day_of,
    day_prefix,
    delivered_at,
    is_skipped_below,
    is_skipped_file,
    is_skipped_folder,
    locate,
    parse_s3_uri,
)
from tests.cases import cases

A, ORG = "111122223333", "o-abcdefghij"
TRAIL = f"s3://b/p/AWSLogs/{ORG}/{A}/CloudTrail/us-east-1/"
LOGS = f"/x/AWSLogs/{A}/BedrockModelInvocationLogs/eu-west-1/"


@cases(
    ("folder", "level", "kind", "account", "region"),
    [
        ("s3://b/", "root", None, None, None),
        ("s3://b/p/AWSLogs/", "AWSLogs", None, None, None),
        (f"s3://b/AWSLogs/{ORG}/", "organization", None, None, None),
        (f"s3://b/AWSLogs/{ORG}/{A}/", "account", None, None, None),
        (f"s3://b/AWSLogs/{A}/CloudTrail/", "service", "trail", A, None),
        (TRAIL, "region", "trail", A, "us-east-1"),
        (f"{TRAIL}2026/", "year", "trail", A, "us-east-1"),
        (f"{TRAIL}2026/11/", "month", "trail", A, "us-east-1"),
        (f"{TRAIL}2026/11/02/", "day", "trail", A, "us-east-1"),
        (LOGS, "region", "invocation_logs", A, "eu-west-1"),
        (f"{LOGS}2026/11/02/09/", "hour", "invocation_logs", A, "eu-west-1"),
        (f"{TRAIL}2026/02/31/", "root", None, None, None),
        (f"{TRAIL}2026/13/", "root", None, None, None),
    ],
)
def test_what_a_folder_is(
    folder: str, level: str, kind: str | None, account: str | None, region: str | None
) -> None:
    meaning = locate(folder)
    assert (meaning.level, meaning.kind, meaning.account_id, meaning.region) == (
        level, kind, account, region,
    )  # fmt: skip


def test_what_a_folder_can_hold() -> None:
    month = locate(f"{TRAIL}2024/02/")
    assert (month.first_day, month.last_day) == (date(2024, 2, 1), date(2024, 2, 29))
    assert month.overlaps(date(2024, 2, 29), None)
    assert not month.overlaps(date(2024, 3, 1), None)
    assert not month.overlaps(None, date(2024, 1, 31))
    assert locate(TRAIL).overlaps(date(2024, 3, 1), None)
    assert day_of(f"{LOGS}2026/11/02/09/") == date(2026, 11, 2)
    assert day_of(f"{LOGS}2026/11/") is None


def test_the_folder_of_a_day_of_a_part_of_a_stream() -> None:
    stream = LogDelivery("trail", A, "us-east-1", f"{TRAIL}2026/11/")
    assert day_prefix(stream, date(2026, 11, 9)) == f"{TRAIL}2026/11/09/"


@cases(
    ("folder", "is_skipped"),
    [
        (f"s3://b/AWSLogs/{A}/CloudTrail-Digest/", True),
        (f"s3://b/AWSLogs/{A}/CloudTrail-Insight/", True),
        (f"s3://b/AWSLogs/{A}/CloudTrail-NetworkActivity/", True),
        (f"s3://b/AWSLogs/{A}/CloudTrail-Aggregated/", True),
        (f"s3://b/AWSLogs/{A}/Config/", True),
        (f"{LOGS}2026/11/02/09/data/", True),
        ("/home/.cache/", True),
        ("/logs/data/", False),
        (f"s3://b/AWSLogs/{A}/CloudTrail/", False),
    ],
)
def test_which_folders_are_left_out(folder: str, is_skipped: bool) -> None:
    assert is_skipped_folder(folder) is is_skipped


def test_a_root_that_was_asked_for_is_never_left_out() -> None:
    root = f"s3://b/AWSLogs/{A}/CloudTrail-Digest/"
    assert not is_skipped_below(root, f"{root}us-east-1/")
    assert is_skipped_below("s3://b/", f"{root}us-east-1/")


def test_which_files_are_left_out() -> None:
    assert is_skipped_file("")
    assert is_skipped_file(".part")
    assert is_skipped_file("amazon-bedrock-logs-permission-check")
    assert not is_skipped_file("a.json.gz")


@pytest.mark.parametrize(
    ("name", "moment"),
    [
        (f"{A}_CloudTrail_us-east-1_20261101T1555Z_x.json.gz", "20261101T1555Z"),
        ("20261101T155500123Z_x.json.gz", "20261101T155500123Z"),
        ("log.json", ""),
    ],
)
def test_when_a_file_was_delivered(name: str, moment: str) -> None:
    assert delivered_at(name) == moment


@pytest.mark.parametrize("uri", ["s3://", "s3:///x", "http://b/x", "s3://a/b".replace("a", "A B")])
def test_what_is_no_address(uri: str) -> None:
    with pytest.raises(ConfigError, match="s3://bucket/prefix/"):
        parse_s3_uri(uri)


def test_an_address() -> None:
    assert parse_s3_uri("s3://bucket/a/b c+ü") == ("bucket", "a/b c+ü")
    assert parse_s3_uri("s3://bucket") == ("bucket", "")
