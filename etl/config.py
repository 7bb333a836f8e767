"""The configuration file, ``bedrock_usage.toml``.

Anything that cannot be right is refused when the file is read, with the file, the key and what is
allowed. An unknown key is never ignored: a setting without effect is worse than none. Nothing here
reads AWS, the warehouse or the clock. ``docs/bedrock_usage.toml`` explains every key.
"""

from __future__ import annotations

import ipaddress
import os
import re
import stat
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import msgspec

from etl.config_errors import explain
from etl.errors import ConfigError
from etl.normalise.addresses import DEFAULT_DETAIL, AddressDetail
from etl.normalise.application import APPLICATION_KEY, KeyNames, key_names
from etl.normalise.budgets import Budget, check_budgets
from etl.normalise.discounts import Discount, check_order
from etl.normalise.identity import UNATTRIBUTED
from etl.normalise.rollups import MOST_CALLERS
from etl.normalise.rules import ApplicationRule, Rule, TeamRule, UserRule, captures_in
from etl.normalise.team_shares import TeamShare, check_shares
from etl.normalise.teams import TEAM_KEY, AccountEvidence, TeamSettings
from etl.normalise.toml_depth import is_deep
from etl.registry import NAMES, SOURCES, STANDARD, Source, source_of, sources_of

DEFAULT_PATH = Path("bedrock_usage.toml")
ALL_REGIONS = ("all",)

if TYPE_CHECKING:
    SourceName = str
else:
    # msgspec refuses any other name, and says where it is.
    SourceName = Literal[NAMES]

# Longer than Bedrock has existed; more is a typo, and could overflow the calendar.
MAX_DURATION = timedelta(days=3660)

_LONGEST_FILE = 1 << 20
_TOO_DEEP = "nested more deeply than any setting"

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_DURATION = re.compile(r"([0-9]{1,9})([smhd])")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_REGION = re.compile(r"[a-z]{2,6}(?:-[a-z]+)+-[0-9]{1,2}")
_ACCOUNT_ID = re.compile(r"[0-9]{12}")
_ROLE_NAME = re.compile(r"[A-Za-z0-9_+=,.@/-]{1,576}")
_ROLE_ARN = re.compile(rf"arn:aws[a-z-]*:iam::[0-9]{{12}}:role/{_ROLE_NAME.pattern}")
_S3_ADDRESS = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](?:/[^\x00-\x1f]*)?")
_PATH = re.compile(r"(?!arn:)(?![A-Za-z][A-Za-z0-9+.-]*://)[^\x00-\x1f]*[^\x00-\x20][^\x00-\x1f]*")
_LOG_GROUP = re.compile(r"[A-Za-z0-9._/#-]{1,512}")
# In restrictions: visitors without a restriction of their own, and all applications.
EVERY = "*"
_NAME = "letters, digits and any of _.@+-|:/\\"
_VISITOR = re.compile(r"[A-Za-z0-9_.@+|:/\\-]{1,100}")
# What `datasette hash-password` prints; with fewer rounds a password is soon guessed.
_PASSWORD_HASH = re.compile(
    r"pbkdf2_sha256\$[1-9][0-9]{5,6}\$[A-Za-z0-9]{8,64}\$[A-Za-z0-9+/]{43}="
)
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{0,99}")
_HEADER = re.compile(r"[A-Za-z0-9-]{1,100}")
_HOST_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]")
_NOT_A_ROLE_ARN = 'not the ARN of a role, like "arn:aws:iam::444455556666:role/NAME"'


def parse_duration(text: str) -> timedelta:
    """Read a number and a unit: ``90s``, ``60m``, ``36h``, ``90d``. Raises ConfigError."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ConfigError(f"{text!r} is not a duration; write a number with s, m, h or d, like 36h")
    duration = timedelta(**{_UNITS[found[2]]: int(found[1])})
    if duration > MAX_DURATION:
        raise ConfigError(f"{text!r} is too long; the most is {MAX_DURATION.days}d")
    return duration


def parse_since(text: str) -> timedelta | datetime:
    """Read how far back: a duration, or a date, which begins at midnight UTC. Raises ConfigError.

    Callers with a clock check that the date is not in the future.
    """
    if _DURATION.fullmatch(text):
        return parse_duration(text)
    try:
        if _DATE.fullmatch(text):
            return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        pass  # 2026-02-30
    raise ConfigError(
        f"{text!r} is neither a duration like 90d (or s, m, h) nor a date like 2026-09-01"
    )


def is_visitor(name: str) -> bool:
    """Return whether this could be the name of a visitor."""
    return _VISITOR.fullmatch(name) is not None


def _check_all(key: str, values: Iterable[str], form: re.Pattern[str], complaint: str) -> None:
    for value in values:
        if not form.fullmatch(value):
            raise ValueError(f"{key}: {value!r} is {complaint}")


def _check_unique(key: str, values: Iterable[str]) -> None:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise ValueError(f"{key}: {value!r} is listed twice")
        seen.add(value)


def _check_parsed(key: str, value: str, parse: Callable[[str], object]) -> None:
    try:
        parse(value)
    except ConfigError as error:
        # msgspec adds the place only to a ValueError.
        raise ValueError(f"{key}: {error}") from None


def _check_uri(uri: str | None, role_arn: str | None) -> None:
    """Refuse what is neither an S3 address nor a path, and a role that would not be used."""
    if uri is not None:
        _check_folder("uri", uri)
    if role_arn is not None:
        _check_all("role_arn", [role_arn], _ROLE_ARN, _NOT_A_ROLE_ARN)
        if uri is None or not uri.startswith("s3://"):
            raise ValueError("role_arn: a role is only assumed for s3:// addresses; leave it out")


def _check_folder(key: str, uri: str) -> None:
    form = _S3_ADDRESS if uri.startswith("s3://") else _PATH
    _check_all(key, [uri], form, 'not a folder: neither like "s3://bucket/prefix" nor a path')


def check_archive(uri: str) -> str:
    """Return a folder, local or in S3, unchanged. Raises ConfigError if it cannot be one."""
    try:
        _check_folder("archive", uri)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    return uri


class TrailFiles(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A trail's log files: ``uri`` is the folder that contains ``AWSLogs/``, or any folder below.

    ``role_arn``: the role to assume for reading it in S3, None for the caller itself.
    """

    uri: str
    role_arn: str | None = None

    def __post_init__(self) -> None:
        _check_uri(self.uri, self.role_arn)


class Bill(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Exports of AWS's bill: ``uri`` is the folder of one, or any above with several.

    ``role_arn``: the role to assume for reading it in S3, None for the caller itself.
    """

    uri: str
    role_arn: str | None = None

    def __post_init__(self) -> None:
        _check_uri(self.uri, self.role_arn)


class InvocationLogs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where Bedrock logs its calls: files like a trail's, a group in CloudWatch Logs, or both.

    The group is read in every account and region that is read.
    """

    uri: str | None = None
    log_group: str | None = None
    role_arn: str | None = None

    def __post_init__(self) -> None:
        if self.uri is None and self.log_group is None:
            raise ValueError("uri or log_group is missing; `bedrock-usage doctor` shows both")
        _check_uri(self.uri, self.role_arn)
        if self.log_group is not None:
            not_a_group = 'not the name of a log group, like "/bedrock/invocations" (not its ARN)'
            _check_all("log_group", [self.log_group], _LOG_GROUP, not_a_group)


class Sources(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the sources are that not every account has, by name; None if not configured.

    A ``uri`` is a folder, ``role_arn`` the role that may read it.
    """

    trail: TrailFiles | None = None
    invocation_logs: InvocationLogs | None = None
    bill: Bill | None = None

    def value(self, source: Source, key: str) -> Any:
        """Return the value of a source's key; None if not set."""
        return getattr(getattr(self, source.name, None), key, None)


class Sync(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What ``sync`` reads. ``since`` and ``settle`` are texts that the parse functions accept.

    ``sources`` None: all that are available. ``since`` None: as before, or the default of the first
    run. ``archive``: the folder, local or in S3, that raw events are kept in; None for nowhere.
    ``archive_bodies``: keep the prompts and answers of events that have them.
    """

    regions: tuple[str, ...] = ALL_REGIONS
    sources: tuple[SourceName, ...] | None = None
    since: str | None = None
    settle: str = "60m"
    archive: str | None = None
    archive_bodies: bool = False

    def __post_init__(self) -> None:
        if self.regions != ALL_REGIONS:
            not_a_region = 'not a region; list regions like "us-east-1", or only "all"'
            _check_all("regions", self.regions, _REGION, not_a_region)
        for key, values in (("regions", self.regions), ("sources", self.sources)):
            if values is None:
                continue
            if not values:
                raise ValueError(f"{key} is empty; leave it out for all")
            _check_unique(key, values)
        if self.since is not None:
            _check_parsed("since", self.since, parse_since)
        _check_parsed("settle", self.settle, parse_duration)
        if self.archive is not None:
            _check_folder("archive", self.archive)


class Accounts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose usage is read: the profile's own account, each role's account, or an organisation's.

    Without ``organization``, ``role_name`` and ``skip`` apply once --organization is given.
    """

    profile: str | None = None
    role_arns: tuple[str, ...] = ()
    organization: bool = False
    role_name: str | None = None
    skip: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.profile is not None and not self.profile.strip():
            raise ValueError("profile is empty")
        _check_all("role_arns", self.role_arns, _ROLE_ARN, _NOT_A_ROLE_ARN)
        _check_all(
            "skip", self.skip, _ACCOUNT_ID, 'not an account id: 12 digits, like "999988887777"'
        )
        if self.role_name is not None:
            not_a_name = "not the name of a role (not its ARN)"
            _check_all("role_name", [self.role_name], _ROLE_NAME, not_a_name)
        _check_unique("role_arns", self.role_arns)
        # Both would read the same streams and move the same bookmarks.
        if len({arn.split(":")[4] for arn in self.role_arns}) < len(self.role_arns):
            raise ValueError(
                "role_arns: two roles in one account; keep only the one that may read it"
            )
        if self.organization and self.role_arns:
            raise ValueError("organization and role_arns cannot be combined; keep one of them")
        if self.organization and self.role_name is None:
            raise ValueError("organization needs role_name, the role to assume in each account")


class BehindProxy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A proxy that handles the login and names the visitor in ``header``.

    Only requests from its ``addresses`` (or networks) are trusted and answered.
    """

    header: str
    addresses: tuple[str, ...]

    def __post_init__(self) -> None:
        _check_all("header", [self.header], _HEADER, 'not a header, like "X-Forwarded-User"')
        if not self.addresses:
            raise ValueError(
                "addresses is empty; list the addresses that the proxy's requests come from"
            )
        _check_unique("addresses", self.addresses)
        for address in self.addresses:
            _check_address(address)

    def trusts(self, address: str) -> bool:
        """Return whether requests from this address are the proxy's."""
        try:
            client = ipaddress.ip_address(address)
        except ValueError:
            return False
        # A dual-stack listener sees IPv4 as ::ffff:10.0.0.5.
        client = getattr(client, "ipv4_mapped", None) or client
        return any(client in ipaddress.ip_network(network) for network in self.addresses)


# 10.0.0.0/8 may be a whole company's; no one has more, and a few of those cover the Internet.
_SMALLEST_PREFIX = {4: 8, 6: 16}

# IPv4 as a dual-stack listener sees it; `trusts` converts it back.
_MAPPED = ipaddress.ip_network("::ffff:0:0/96")


def _check_address(address: str) -> None:
    try:
        network = ipaddress.ip_network(address)
    except ValueError:
        raise ValueError(
            f"addresses: {address!r} is neither an address nor a network,"
            ' like "10.0.0.5" or "10.0.0.0/28"'
        ) from None
    if network.version == 6 and network.overlaps(_MAPPED):
        raise ValueError(
            f"addresses: {address!r}: write IPv4 addresses in their own form, like 10.0.0.5"
        )
    if network.prefixlen < _SMALLEST_PREFIX[network.version]:
        covered = "every address" if network.prefixlen == 0 else "far more than a proxy has"
        raise ValueError(f"addresses: {address!r} is {covered}; list the proxy's own")


class Restriction(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The applications and teams that a visitor may see; ``*`` is anyone not named elsewhere.

    A single application or team ``*`` means all of them. With both, the visitor sees what belongs
    to one of the applications and to one of the teams. ``user``: the user that the visitor is, who
    also has a page of their own usage; without applications and teams, that is all they see.
    """

    visitor: str
    applications: tuple[str, ...] | None = None
    teams: tuple[str, ...] | None = None
    user: str | None = None

    def __post_init__(self) -> None:
        if self.visitor != EVERY:
            _check_all("visitor", [self.visitor], _VISITOR, f"not a visitor's name: {_NAME}, or *")
        if self.user is not None and self.visitor == EVERY:
            raise ValueError("user: * is everyone else, and not one user")
        if self.user is not None and not self.user.strip():
            raise ValueError("user is empty; leave it out if the visitor is none")
        if self.applications is None and self.teams is None and self.user is None:
            raise ValueError("applications is missing, or teams, or user")
        for key, names in (("applications", self.applications), ("teams", self.teams)):
            if names is None:
                continue
            if not names:
                raise ValueError(f'{key} is empty; list some, like "Search", or "*" for all')
            if EVERY in names and len(names) > 1:
                raise ValueError(f"{key}: * means all of them; list nothing else, or leave it out")
            _check_unique(key, names)


class Serve(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who may visit the pages of ``serve``, and under which host names.

    ``passwords``: user to hash. ``tokens``: visitor to the environment variable that contains the
    token. Without either and without a proxy, anyone who reaches the server is let in, so it then
    serves this machine only.
    """

    host_names: tuple[str, ...] = ()
    passwords: dict[str, str] = {}
    tokens: dict[str, str] = {}
    behind_proxy: BehindProxy | None = None
    restrictions: tuple[Restriction, ...] = ()

    def __post_init__(self) -> None:
        not_a_host = 'not a host name, like "usage.example.com" (without a port)'
        _check_all("host_names", self.host_names, _HOST_NAME, not_a_host)
        for key, names in (("passwords", self.passwords), ("tokens", self.tokens)):
            _check_all(key, names, _VISITOR, f"not a visitor's name: {_NAME}")
        _check_secrets(self.passwords, self.tokens)
        visitors = [restriction.visitor.casefold() for restriction in self.restrictions]
        _check_unique("restrictions", visitors)
        self._check_known()
        if self.behind_proxy and (self.passwords or self.tokens):
            raise ValueError(
                "behind_proxy cannot be combined with passwords or tokens; the proxy names visitors"
            )

    def _check_known(self) -> None:
        """Refuse a restriction for an unknown visitor: a typo would leave the real one free."""
        known = {*self.passwords, *self.tokens}
        if not known or self.behind_proxy:
            return  # only the proxy knows the visitors
        folded = {EVERY, *(name.casefold() for name in known)}
        for restriction in self.restrictions:
            if restriction.visitor.casefold() not in folded:
                raise ValueError(
                    f"restrictions: {restriction.visitor!r} has neither a password nor a token;"
                    f" known visitors are {', '.join(sorted(known))}, and * for everyone else"
                )

    def __repr__(self) -> str:
        """Show nothing: tracebacks print variables, and hashes must not be among them."""
        return "Serve(...)"

    @property
    def has_login(self) -> bool:
        """Whether visitors have to log in."""
        return bool(self.passwords or self.tokens or self.behind_proxy)


def _check_secrets(passwords: Mapping[str, str], tokens: Mapping[str, str]) -> None:
    # The values themselves are never quoted: one put there by mistake may be a secret.
    for user, password_hash in passwords.items():
        if not _PASSWORD_HASH.fullmatch(password_hash):
            raise ValueError(
                f"passwords: the value for {user!r} is not the hash of a password; use the output"
                " of `datasette hash-password`"
            )
    for visitor, variable in tokens.items():
        if not _VARIABLE.fullmatch(variable):
            raise ValueError(
                f"tokens: the value for {visitor!r} is not the name of an environment variable"
                " (A-Z, 0-9 and _); never write the token itself into this file"
            )


METRICS = (
    *("InputTokens", "OutputTokens", "CacheReadTokens", "CacheWriteTokens"),
    *("CostUSD", "Calls", "FailedCalls"),
)


METRIC_DIMENSIONS = ("application", "team")


class Monitor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What ``monitor`` publishes to CloudWatch, and up to which price.

    ``region`` None: the region of the AWS configuration. ``by``: whether a metric is an
    application's or a team's. ``applications``, ``teams`` empty: all.
    ``accept_usd_a_month``: a price up to this is accepted without asking. ``settle`` and
    ``correct`` are durations: how long after its end a period is published, and for how long it is
    checked for corrections.
    """

    publish_after_sync: bool = False
    region: str | None = None
    metrics: tuple[str, ...] = ("InputTokens", "OutputTokens", "CostUSD")
    by: str = "application"
    applications: tuple[str, ...] = ()
    teams: tuple[str, ...] = ()
    include_estimates: bool = True
    max_metrics: int = 100
    accept_usd_a_month: float = 0.0
    settle: str = "15m"
    correct: str = "2d"

    def __post_init__(self) -> None:
        if self.region is not None:
            _check_all("region", [self.region], _REGION, 'not a region, like "us-east-1"')
        if not self.metrics:
            raise ValueError(f"metrics is empty; choose from {', '.join(METRICS)}")
        for metric in self.metrics:
            if metric not in METRICS:
                raise ValueError(f"metrics: {metric!r} is not one of {', '.join(METRICS)}")
        _check_unique("metrics", self.metrics)
        if self.by not in METRIC_DIMENSIONS:
            raise ValueError(f"by: {self.by!r} is not one of {', '.join(METRIC_DIMENSIONS)}")
        for dimension in METRIC_DIMENSIONS:
            if dimension != self.by and getattr(self, f"{dimension}s"):
                raise ValueError(
                    f'{dimension}s has no effect with by = "{self.by}": remove it, or set'
                    f' by = "{dimension}"'
                )
        for key in ("applications", "teams"):
            _check_unique(key, getattr(self, key))
        if self.max_metrics < 1:
            raise ValueError("max_metrics must be at least 1")
        if not 0 <= self.accept_usd_a_month < float("inf"):
            raise ValueError("accept_usd_a_month must be a price in dollars, 0 or more")
        for key in ("settle", "correct"):
            _check_parsed(key, getattr(self, key), parse_duration)

    @property
    def names(self) -> tuple[str, ...]:
        """The applications, or teams, to publish; empty for all."""
        return self.teams if self.by == "team" else self.applications


PRICE_SYNCS = ("off", "weekly")


class Prices(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether ``sync`` also reads AWS's Price List, and how.

    ``api``: through the API, which needs permissions, rather than from the public files.
    """

    sync: str = "off"
    api: bool = False

    def __post_init__(self) -> None:
        if self.sync not in PRICE_SYNCS:
            raise ValueError(f"sync: {self.sync!r} is not one of {', '.join(PRICE_SYNCS)}")


ALLOCATIONS = ("calibrated", "calls")


class Estimate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How ``calibrate`` has CloudWatch's totals shared: by tokens per call, or by calls alone."""

    allocation: str = "calibrated"

    def __post_init__(self) -> None:
        if self.allocation not in ALLOCATIONS:
            raise ValueError(
                f"allocation: {self.allocation!r} is not one of {', '.join(ALLOCATIONS)}"
            )


class Rollup(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The rollup that ``sync`` brings up to date and loads: which logs, into which folder.

    Without ``inputs``, another job makes it, and ``sync`` only loads it. ``most_callers``: those of
    a day that keep their names.
    """

    output: str | None = None
    inputs: tuple[str, ...] = ()
    engine: Literal["local", "spark"] = "local"
    most_callers: int = MOST_CALLERS

    def __post_init__(self) -> None:
        if self.most_callers < 1:
            raise ValueError(f"most_callers: {self.most_callers} is not above 0")
        if self.inputs and not self.output:
            raise ValueError("output: it is missing; name the folder or address of the rollup")


class Reconcile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far a month of the bill may be off and still agree: in percent of it, or in dollars."""

    percent: int | float = 1
    usd: int | float = 1

    def __post_init__(self) -> None:
        if not 0 <= self.percent <= 100:
            raise ValueError(f"percent: {self.percent} is not between 0 and 100")
        if not 0 <= self.usd <= 1_000_000:
            raise ValueError(f"usd: {self.usd} is not between 0 and 1000000")

    @property
    def millionths(self) -> int:
        """The percentage as a part of the bill, in millionths."""
        return int(Decimal(repr(self.percent)) * 10_000)

    @property
    def picodollars(self) -> int:
        """The dollars in whole pico-dollars."""
        return int(Decimal(repr(self.usd)) * 10**12)


class Metadata(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The keys of the request metadata by whose values usage is shown.

    ``max_values``: so many values of a key are named, the others are one row.
    """

    keys: tuple[str, ...] = ()
    max_values: int = 100

    def __post_init__(self) -> None:
        if not all(key.strip() for key in self.keys):
            raise ValueError("keys: a key is empty")
        _check_unique("keys", self.keys)
        if not 1 <= self.max_values <= _MOST_VALUES:
            raise ValueError(f"max_values must be between 1 and {_MOST_VALUES:,}")


# More rows are no report.
_MOST_VALUES = 10_000


# What a target may be told.
Topic = Literal["budgets", "anomalies", "digest"]
TOPICS: tuple[str, ...] = get_args(Topic)

TOPIC_ARN = re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256}")
_WAYS = ("variable", "file", "sns")


class Target(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where messages go. Exactly one of ``variable``, ``file`` and ``sns``.

    ``variable``: an environment variable with the addresses, as apprise writes them, one a line;
    ``file``: a file with them that only its owner may read; ``sns``: the ARN of a topic of SNS.
    ``topics``: what it is told.
    """

    name: str
    variable: str | None = None
    file: str | None = None
    sns: str | None = None
    topics: tuple[Topic, ...] = TOPICS  # type: ignore[assignment]

    def __post_init__(self) -> None:
        _check_all("name", [self.name], _VISITOR, f"not a target's name: {_NAME}")
        given = [key for key in _WAYS if getattr(self, key) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of {', '.join(_WAYS)}, not {len(given)}")
        # The value itself is never quoted: one put there by mistake may be a secret.
        if self.variable is not None and not _VARIABLE.fullmatch(self.variable):
            raise ValueError(
                "variable: it is not the name of an environment variable (A-Z, 0-9 and _); never"
                " write the address itself into this file"
            )
        if self.file is not None and not _PATH.fullmatch(self.file):
            raise ValueError(
                "file: it is not the path of a file; never write the address itself into this file"
            )
        if self.sns is not None and not TOPIC_ARN.fullmatch(self.sns):
            raise ValueError(
                'sns: it is not the ARN of a topic, like "arn:aws:sns:us-east-1:111122223333:costs"'
            )
        if not self.topics:
            raise ValueError(f"topics is empty; choose from {', '.join(TOPICS)}")
        _check_unique("topics", self.topics)


class Notify(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom the program tells what happened. ``url``: the address of the pages, for links."""

    targets: tuple[Target, ...] = ()
    url: str | None = None

    def __post_init__(self) -> None:
        _check_unique("targets", [target.name for target in self.targets])
        if self.url is not None and not _PAGES.fullmatch(self.url):
            raise ValueError(
                f'url: {self.url!r} is not the address of the pages, like "https://usage.example.com"'
            )


_PAGES = re.compile(r"https?://[A-Za-z0-9._:\[\]-]+(?:/[A-Za-z0-9._~/-]*)?")

_KEYS_OF_TAGS = ("application_tag", "application_metadata_key", "team_tag", "team_metadata_key")


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file.

    ``application_tag``, ``application_metadata_key``, ``team_tag``, ``team_metadata_key``: one key,
    or several in order. ``team_from_account``: whether an account's name is a team, or its
    organizational unit's.
    ``user_aliases`` maps a user's name, or a glob, to the name to show, ``project_names`` a
    project's ARN or id.
    """

    application_tag: KeyNames = APPLICATION_KEY
    application_metadata_key: KeyNames = APPLICATION_KEY
    team_tag: KeyNames = TEAM_KEY
    team_metadata_key: KeyNames = TEAM_KEY
    team_from_account: AccountEvidence = "name"
    source_addresses: AddressDetail = DEFAULT_DETAIL
    metadata: Metadata = Metadata()
    sync: Sync = Sync()
    accounts: Accounts = Accounts()
    sources: Sources = Sources()
    serve: Serve = Serve()
    monitor: Monitor = Monitor()
    prices: Prices = Prices()
    estimate: Estimate = Estimate()
    reconcile: Reconcile = Reconcile()
    rollup: Rollup = Rollup()
    application_rules: tuple[ApplicationRule, ...] = ()
    user_rules: tuple[UserRule, ...] = ()
    team_rules: tuple[TeamRule, ...] = ()
    team_shares: tuple[TeamShare, ...] = ()
    user_aliases: dict[str, str] = {}
    project_names: dict[str, str] = {}
    discounts: tuple[Discount, ...] = ()
    budgets: tuple[Budget, ...] = ()
    notify: Notify = Notify()

    def __post_init__(self) -> None:
        check_order(self.discounts)
        check_budgets(self.budgets)
        check_shares(self.team_shares)
        for key in _KEYS_OF_TAGS:
            names = key_names(getattr(self, key))
            if not names or not all(name.strip() for name in names):
                raise ValueError(f"{key} is empty")
            _check_unique(key, names)
        _check_configured("sync.sources", self.sync.sources or (), self.sources)
        for table in ("user_aliases", "project_names"):
            _check_names(table, getattr(self, table))

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules of all kinds."""
        return (*self.user_rules, *self.application_rules, *self.team_rules)

    @property
    def team_settings(self) -> TeamSettings:
        """What may name a team."""
        return TeamSettings(
            key_names(self.team_tag), key_names(self.team_metadata_key), self.team_from_account
        )

    def with_proxy(self, proxy: BehindProxy) -> Config:
        """Return the same with this proxy. Raises ValueError if passwords are configured."""
        serve = Serve(**{**msgspec.structs.asdict(self.serve), "behind_proxy": proxy})
        return msgspec.structs.replace(self, serve=serve)

    def with_archive_bodies(self) -> Config:
        """Return the same for an archive that keeps prompts and answers."""
        sync = msgspec.structs.replace(self.sync, archive_bodies=True)
        return msgspec.structs.replace(self, sync=sync)

    def choose_sources(self, names: Sequence[str] = ()) -> tuple[str, ...]:
        """Return the sources to read: those named, else the file's choice, else all available.

        Raises ConfigError for a source that is not configured.
        """
        try:
            _check_configured("--source", names, self.sources)
        except ValueError as error:
            raise ConfigError(str(error)) from None
        configured = [one.name for one in SOURCES if getattr(self.sources, one.name, None)]
        return tuple(names) or self.sync.sources or (*STANDARD, *configured)


def _check_names(table: str, names: Mapping[str, str]) -> None:
    for name, shown in names.items():
        if not name.strip() or not shown.strip():
            raise ValueError(f"{table}: {name!r} = {shown!r} has an empty name")
        if UNATTRIBUTED in (name, shown):
            raise ValueError(
                f"{table}: {UNATTRIBUTED} means usage that no call explains;"
                " it cannot be renamed, and nothing else can have its name"
            )
        captured = captures_in(name)
        for part in captures_in(shown):
            if part not in captured:
                raise ValueError(f"{table}: {name!r} = {shown!r}: {{{part}}} is not in the first")
        if len(set(captured)) < len(captured):
            raise ValueError(f"{table}: {name!r} has the same {{name}} twice")


def _check_configured(key: str, names: Iterable[str], sources: Sources) -> None:
    for name in names:
        keys = source_of(name).located_by
        if keys and getattr(sources, name) is None:
            raise ValueError(
                f"{key}: {name!r} is not configured; set {' or '.join(keys)} under [sources.{name}]"
            )


class Folder(NamedTuple):
    """Where files of a source are, and the role that reads them; None for the caller itself."""

    source: Source
    uri: str
    role_arn: str | None

    @property
    def is_s3(self) -> bool:
        return self.uri.startswith("s3://")


@dataclass(frozen=True)
class Choice:
    """What to read, with the options applied over the file. ``regions`` may be ``("all",)``.

    Without ``role_arns`` or ``organization`` it is the account of the current credentials.
    ``located``: where the sources are, according to the file. ``price_api``: whether prices are
    read through the API. ``has_units``: whether the units of an organization's accounts are read.
    """

    regions: Sequence[str]
    sources: Sequence[str]
    profile: str | None = None
    role_arns: Sequence[str] = ()
    organization: bool = False
    role_name: str | None = None
    skip: Sequence[str] = ()
    located: Sources = field(default_factory=Sources)
    price_api: bool = False
    has_units: bool = False

    @property
    def asked(self) -> list[Source]:
        """The sources read in every account and region; files alone need neither."""
        return [
            one
            for one in sources_of(self.sources)
            if one.grants and (not one.place_key or self.located.value(one, one.place_key))
        ]

    @property
    def place_settings(self) -> dict[str, str]:
        """The settings of those sources, by key of the file: log_group."""
        keys = {one: one.place_key for one in self.asked}
        return {key: self.located.value(one, key) for one, key in keys.items() if key}

    @property
    def folders(self) -> list[Folder]:
        """The folders of the selected sources."""
        return [
            Folder(one, uri, self.located.value(one, "role_arn"))
            for one in sources_of(self.sources)
            if (uri := self.located.value(one, "uri"))
        ]

    @property
    def buckets(self) -> list[Folder]:
        """The folders that are in S3."""
        return [folder for folder in self.folders if folder.is_s3]


def load_config(path: Path | None) -> Config:
    """Read and check the file; None means no file and all defaults.

    Raises ConfigError if the file is missing, cannot be read, or is invalid.
    """
    if path is None:
        return Config()
    try:
        text = _read(path).decode("utf-8-sig")
        # Line ends as in a text file.
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        if is_deep(text):
            raise ConfigError(f"{path}: {_TOO_DEEP}")
        raw = tomllib.loads(text)
        return msgspec.convert(raw, Config)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; name another with --config") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        # tomllib names a line unless it is the last.
        end = f"at line {len(text.splitlines())}, the last"
        raise ConfigError(
            f"{path}: not TOML: {str(error).replace('at end of document', end)}"
        ) from None
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {explain(str(error), raw, Config)}") from None
    except RecursionError:
        raise ConfigError(f"{path}: {_TOO_DEEP}") from None
    except ValueError:
        raise ConfigError(f"{path}: not TOML: a number is longer than any setting") from None


def _read(path: Path) -> bytes:
    """Return the content. Raises OSError, and ConfigError if it is not a file, or huge."""
    # Non-blocking, in case it is a pipe.
    with os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ConfigError(f"{path} is not a regular file; name another with --config")
        data = file.read(_LONGEST_FILE + 1)
    if len(data) > _LONGEST_FILE:
        raise ConfigError(
            f"{path} is larger than {_LONGEST_FILE >> 20} MB, too large for a configuration; name"
            " another with --config"
        )
    return data
