"""What a folder of AWS's two log layouts means, from its path alone.

    [prefix/]AWSLogs/[o-id/]ACCOUNT/CloudTrail/REGION/YYYY/MM/DD/
    [prefix/]AWSLogs/[o-id/]ACCOUNT/BedrockModelInvocationLogs/REGION/YYYY/MM/DD/HH/

A folder is text that ends with ``/``: an absolute path, or ``s3://bucket/prefix/``. The service
name alone identifies a layout, so a partial copy (``logs/CloudTrail/us-east-1/...``) is recognized
too. What the path does not name is None. The date is the day of delivery: a file may hold calls of
the day before.

Source: CloudTrail user guide, "Finding your CloudTrail log files"; Bedrock user guide, "Model
invocation logging" (checked 2026-11-25).
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Mapping
from datetime import date, datetime
from typing import Literal, NamedTuple

from etl.errors import ConfigError

LogKind = Literal["trail", "invocation_logs"]
FolderLevel = Literal[
    "root", "AWSLogs", "organization", "account", "service", "region", "year", "month", "day",
    "hour",
]  # fmt: skip

_KINDS: Mapping[str, LogKind] = {
    "CloudTrail": "trail",
    "BedrockModelInvocationLogs": "invocation_logs",
}

# Next to a trail's events in its bucket. None of them holds calls.
SKIPPED_FOLDERS = frozenset(
    {
        "CloudTrail-Digest",
        "CloudTrail-Insight",
        "CloudTrail-NetworkActivity",
        "CloudTrail-Aggregated",
    }
)
# Bedrock writes it when logging is enabled, to check its permission.
SKIPPED_FILES = frozenset({"amazon-bedrock-logs-permission-check"})

_ORGANIZATION = "(?P<organization>o-[a-z0-9]{10,32})/"
_ACCOUNT = "(?P<account>[0-9]{12})/"
_ABOVE = re.compile(rf"/AWSLogs/(?:{_ORGANIZATION})?(?:{_ACCOUNT})?\Z")
_LOGS = re.compile(
    rf"/(?:{_ACCOUNT})?(?P<service>{'|'.join(_KINDS)})/"
    r"(?:(?P<region>[a-z]{2,6}(?:-[a-z]+)+-[0-9]{1,2})/"
    r"(?:(?P<year>[0-9]{4})/(?:(?P<month>[0-9]{2})/(?:(?P<day>[0-9]{2})/(?P<hour>[0-9]{2}/)?)?)?)?"
    r")?\Z"
)

# Bodies too large for an invocation log: prompts, which are never read here.
_BODIES = re.compile(r"/[0-9]{4}/[0-9]{2}/[0-9]{2}/[0-9]{2}/data/\Z")
# Load balancers, flow logs, Config: AWS delivers them to the same bucket. They hold no calls.
_OTHER_SERVICE = re.compile(
    rf"/AWSLogs/(?:{_ORGANIZATION})?{_ACCOUNT}(?!(?:{'|'.join(_KINDS)})/)[^/]+/\Z"
)

# ACCOUNT_CloudTrail_REGION_20261101T1555Z_RANDOM.json.gz, 20261101T155500123Z_RANDOM.json.gz
_DELIVERED = re.compile(r"_\d{8}T\d{4}Z|\A\d{8}T\d{6,9}Z")

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")


class LogFolder(NamedTuple):
    """The meaning of a folder. ``level`` root: it belongs to neither layout.

    ``first_day`` and ``last_day`` bound the days it can hold, None above the years.
    ``stream_folder`` is the region's folder, None above it.
    """

    level: FolderLevel
    kind: LogKind | None = None
    account_id: str | None = None
    region: str | None = None
    first_day: date | None = None
    last_day: date | None = None
    stream_folder: str | None = None

    def overlaps(self, since: date | None, until: date | None) -> bool:
        """Say whether it may hold a day from ``since`` to ``until``, both included."""
        if self.first_day is None or self.last_day is None:
            return True
        return (since is None or self.last_day >= since) and (
            until is None or self.first_day <= until
        )


class LogDelivery(NamedTuple):
    """What one account's service delivers in one region.

    ``prefix`` is its folder: the region's, or the requested part of it.
    """

    kind: LogKind
    account_id: str | None
    region: str
    prefix: str


class DayFolder(NamedTuple):
    """A folder with the files that one stream got in a day, or in one hour of it."""

    kind: LogKind
    account_id: str | None
    region: str
    day: date
    folder: str


class S3Address(NamedTuple):
    """A bucket and what follows it: the key of an object, or a prefix, or nothing."""

    bucket: str
    key: str


def locate(folder: str) -> LogFolder:
    """Return the meaning of a folder. A folder that fits neither layout is a root."""
    match = _LOGS.search(folder)
    if match is None:
        return LogFolder(_level_above(folder))
    kind, account, region = _KINDS[match["service"]], match["account"], match["region"]
    if region is None:
        return LogFolder("service", kind, account)
    if match["year"] is None:
        return LogFolder("region", kind, account, region, stream_folder=folder)
    try:
        level, first, last = _days(match)
    except ValueError:  # a 31 February
        return LogFolder("root")
    return LogFolder(level, kind, account, region, first, last, folder[: match.start("year")])


def _level_above(folder: str) -> FolderLevel:
    match = _ABOVE.search(folder)
    if match is None:
        return "root"
    if match["account"]:
        return "account"
    return "organization" if match["organization"] else "AWSLogs"


def _days(match: re.Match[str]) -> tuple[FolderLevel, date, date]:
    """Return the level of a dated folder, and its first and last day; raise ValueError."""
    year = int(match["year"])
    if match["month"] is None:
        return "year", date(year, 1, 1), date(year, 12, 31)
    month = int(match["month"])
    if match["day"] is None:
        first = date(year, month, 1)
        return "month", first, first.replace(day=calendar.monthrange(year, month)[1])
    day = date(year, month, int(match["day"]))
    return "hour" if match["hour"] else "day", day, day


def day_of(folder: str) -> date | None:
    """Return the day of the files in a folder, None if it is not a day or hour folder."""
    meaning = locate(folder)
    return meaning.first_day if meaning.level in ("day", "hour") else None


def day_prefix(stream: LogDelivery, day: date) -> str:
    """Return the folder of a day of the stream. Files of that day and later sort after it."""
    folder = locate(stream.prefix).stream_folder or stream.prefix
    return f"{folder}{day:%Y/%m/%d}/"


def delivered_at(name: str) -> str:
    """Return the time in a log file's name, in a form that sorts; empty if there is none."""
    match = _DELIVERED.search(name)
    return match[0].strip("_") if match else ""


def is_skipped_folder(folder: str) -> bool:
    """Say whether a folder found in a listing holds nothing to read."""
    name = folder[:-1].rpartition("/")[2]
    return (
        name.startswith(".")
        or name in SKIPPED_FOLDERS
        or _BODIES.search(folder) is not None
        or _OTHER_SERVICE.search(folder) is not None
    )


def is_skipped_below(root: str, folder: str) -> bool:
    """Say whether a folder, or one between it and ``root``, is skipped. The root itself is not."""
    end = len(root)
    while (slash := folder.find("/", end)) >= 0:
        end = slash + 1
        if is_skipped_folder(folder[:end]):
            return True
    return False


def is_skipped_file(name: str) -> bool:
    """Say whether a file is skipped. An object without a name is a folder made in the console."""
    return not name or name.startswith(".") or name in SKIPPED_FILES


def trail_file(account_id: str, region: str, moment: datetime, unique: str) -> str:
    """Return the path of a trail's log file below the folder that holds ``AWSLogs/``.

    ``moment`` is UTC. ``unique``: 16 letters and digits, unique among the files of that minute.
    """
    folder = f"AWSLogs/{account_id}/CloudTrail/{region}/{moment:%Y/%m/%d}"
    name = f"{account_id}_CloudTrail_{region}_{moment:%Y%m%dT%H%MZ}_{unique}.json.gz"
    return f"{folder}/{name}"


def parse_s3_uri(uri: str) -> S3Address:
    """Return the parts of ``s3://bucket/prefix``. Raises ConfigError for anything else."""
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme != "s3" or not _BUCKET.fullmatch(bucket):
        what = "a bucket name, not an ARN" if bucket.startswith("arn:") else "bucket and prefix"
        raise ConfigError(f"{uri!r} is not an S3 address: give {what}, as in s3://bucket/prefix/")
    return S3Address(bucket, key)
