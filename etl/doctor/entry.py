"""Access to AWS: credentials, clock, the accounts and the regions of each; then every place.

Buckets of log files belong to no place: the caller reads them, or a role that the caller assumes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import NamedTuple, TypeVar

from etl.clock import Clock
from etl.config import ALL_REGIONS, Choice, Folder
from etl.doctor.advice import advise, principal, principal_arn
from etl.doctor.checks import check_place, check_prices
from etl.errors import SourceError
from etl.show.findings import FAILED, NOT_CHECKED, OK, WARNING, Finding
from etl.show.numbers import count
from etl.sources.accounts import (
    UNIT_ACTIONS,
    assume_role,
    bedrock_regions,
    check_regions,
    home_region,
    list_organization,
    open_own_account,
)
from etl.sources.aws import DENIED, Account, Place, date_of
from etl.sources.price_list import API_REGION
from etl.sources.s3 import S3Store

# How often a request is tried before an outage is reported.
ATTEMPTS = 2

# AWS rejects signatures that are five minutes off.
SKEW_WARNING, SKEW_FAILURE = timedelta(seconds=60), timedelta(minutes=5)

_LIST_ACCOUNTS = "organizations:ListAccounts"
_LIST_BUCKET = "s3:ListBucket"

_THREADS = 16

One = TypeVar("One")
Other = TypeVar("Other")


class _Entrance(NamedTuple):
    """An account, and the role that is assumed there; None for the caller's own account."""

    account: Account
    role_arn: str | None = None


def examine(choice: Choice, clock: Clock) -> list[Finding]:
    """Check the credentials, then every account, then every region of each.

    Raises ConfigError for an unknown profile or region.
    """
    try:
        own = open_own_account(choice.profile, clock, attempts=ATTEMPTS)
    except SourceError as error:
        return _failed_entry(error, clock.now(), "credentials")
    if tuple(choice.regions) != ALL_REGIONS:
        check_regions(own, choice.regions)
    home = _home(own, clock)
    findings, caller = _check_caller(home)
    if caller is None:
        return findings
    entrances, found = _entrances(choice, home, caller)
    findings += found
    for folder in choice.buckets:
        findings += _check_bucket(folder, home, caller)
    if choice.price_api:
        findings += check_prices(Place(own, API_REGION, clock), caller)

    def enter(entrance: _Entrance) -> tuple[list[Finding], list[Place], str]:
        return _enter(entrance, choice, home, caller)

    places: list[tuple[Place, str]] = []
    for found, entered, member in _all_at_once(enter, entrances, clock):
        findings += found
        places += [(place, member) for place in entered]
    checked = _all_at_once(lambda one: check_place(one[0], choice, one[1]), places, clock)
    return findings + [finding for some in checked for finding in some]


def _home(account: Account, clock: Clock) -> Place:
    return Place(account, home_region(account.session), clock)


def _entrances(choice: Choice, home: Place, caller: str) -> tuple[list[_Entrance], list[Finding]]:
    own = home.account
    if choice.role_arns:
        return [_Entrance(assume_role(own, arn), arn) for arn in choice.role_arns], []
    if not (choice.organization and choice.role_name):
        return [_Entrance(own)], []
    try:
        accounts, units = list_organization(
            own, choice.role_name, home.clock, skip=choice.skip, with_units=choice.has_units
        )
    except SourceError as error:
        return [], [_failed_list(_LIST_ACCOUNTS, error, home, caller)]
    partition = caller.split(":")[1]
    roles = f"arn:{partition}:iam::{{}}:role/{choice.role_name}"
    entrances = [
        _Entrance(
            one,
            None if one.account_id == own.account_id else roles.format(one.account_id),
        )
        for one in accounts
    ]
    found = count(len(accounts), "account")
    findings = [Finding(_LIST_ACCOUNTS, OK, found, None, own.account_id)]
    if choice.has_units:
        findings += _unit_findings(units, home, caller)
    return entrances, findings


def _unit_findings(
    units: Mapping[str, SourceError | None], home: Place, caller: str
) -> Iterator[Finding]:
    """Yield how reading the units of the accounts went, for each operation that it takes."""
    why = "the units were not read" if any(units.values()) else "no account is in a unit"
    for action in UNIT_ACTIONS:
        if action not in units:
            yield Finding(action, NOT_CHECKED, why, None, home.account_id)
        elif error := units[action]:
            yield _failed_list(action, error, home, caller)
        else:
            yield Finding(action, OK, "", None, home.account_id)


def _check_bucket(folder: Folder, home: Place, caller: str) -> list[Finding]:
    """Try to list a folder of files, with the identity that reads it."""
    source, uri, role_arn = folder
    findings, place = list[Finding](), home
    if role_arn:
        place = _home(assume_role(home.account, role_arn), home.clock)
        findings, member = _check_member(place)
        if member is None:
            return _failed_assume_role(findings, role_arn, caller)
        caller = member
    try:
        listing = S3Store(place).list_folder(uri.rstrip("/") + "/")
    except SourceError as error:
        printed = "" if role_arn else " (`bedrock-usage policy` prints it)"
        return [*findings, _failed_bucket(uri, error, place.account_id, caller, printed)]
    finding = Finding(_LIST_BUCKET, OK, uri, None, place.account_id)
    if not (listing.folders or listing.has_files):
        fix = f"check bucket and prefix: name the folder that holds {source.holds}"
        finding = finding._replace(status=WARNING, detail=f"{uri} is empty", fix=fix)
    return [*findings, finding]


def _failed_bucket(
    uri: str, error: SourceError, account_id: str, caller: str, printed: str
) -> Finding:
    problem, fix = advise(error)
    if error.code in DENIED:
        fix = (
            f"add {_LIST_BUCKET} on the bucket to the policy of {principal(caller)}{printed}; if"
            " the bucket belongs to another account, its bucket policy must allow it too"
        )
    return Finding(_LIST_BUCKET, FAILED, f"{uri}: {problem}", fix, account_id)


def _enter(
    entrance: _Entrance, choice: Choice, home: Place, caller: str
) -> tuple[list[Finding], list[Place], str]:
    """Return the findings about access to an account, its places, and the caller's ARN there."""
    findings: list[Finding] = []
    account, place = entrance.account, _home(entrance.account, home.clock)
    if entrance.role_arn:
        findings, member = _check_member(place)
        if member is None:
            return _failed_assume_role(findings, entrance.role_arn, caller), [], caller
        caller = member
    if tuple(choice.regions) != ALL_REGIONS:
        return findings, [Place(account, name, home.clock) for name in choice.regions], caller
    check = "ec2:DescribeRegions"
    try:
        names = bedrock_regions(account, home.clock)
    except SourceError as error:
        return [*findings, _failed_list(check, error, place, caller)], [], caller
    regions = f"{count(len(names), 'region')} with Bedrock"
    findings.append(Finding(check, OK, regions, None, account.account_id))
    return findings, [Place(account, name, home.clock) for name in names], caller


def _all_at_once(
    work: Callable[[One], Other], items: Iterable[One], clock: Clock
) -> Iterator[Other]:
    """Yield the results in the order of the items; Ctrl-C waits only for running requests."""
    with ThreadPoolExecutor(_THREADS) as pool:
        try:
            yield from pool.map(work, items)
        except BaseException:
            clock.stop.set()
            raise


def _check_caller(place: Place, check: str = "credentials") -> tuple[list[Finding], str | None]:
    """Ask AWS who the caller is; return the findings, clock included, and the caller's ARN.

    Without an ARN there is no access to the account.
    """
    account = {"account_id": place.account_id}
    try:
        answer = place.call("sts", "GetCallerIdentity", {}, requires="Arn")
    except SourceError as error:
        return _failed_entry(error, place.clock.now(), check, place.account_id), None
    arn = str(answer["Arn"])
    skew = _check_clock(date_of(answer), place.clock.now())._replace(**account)
    return [Finding(check, OK, arn, **account), skew], arn


def _check_member(place: Place) -> tuple[list[Finding], str | None]:
    """Ask AWS who the caller is in the role of a place; the clock was checked already."""
    found, arn = _check_caller(place, "sts:AssumeRole")
    return [finding for finding in found if finding.check != "clock"], arn


def _failed_entry(
    error: SourceError, now: datetime, check: str, account_id: str | None = None
) -> list[Finding]:
    """Return the findings of failed credentials; even a refusal carries AWS's time."""
    findings = [Finding(check, FAILED, *advise(error))]
    if error.date:
        findings.append(_check_clock(error.date, now))
    return [finding._replace(account_id=account_id) for finding in findings]


def _check_clock(date: str | None, now: datetime) -> Finding:
    try:
        skew = now - parsedate_to_datetime(date or "").astimezone(UTC)
    except ValueError:
        return Finding("clock", NOT_CHECKED, "the answer has no date")
    apart = (
        f"{abs(skew.total_seconds()):.0f} s {'ahead of' if skew > timedelta() else 'behind'} AWS"
    )
    fix = "set this machine's clock (NTP): AWS rejects requests that are 5 minutes off"
    if abs(skew) > SKEW_FAILURE:
        return Finding("clock", FAILED, apart, fix)
    if abs(skew) > SKEW_WARNING:
        return Finding("clock", WARNING, apart, fix)
    return Finding("clock", OK)


def _failed_assume_role(findings: Iterable[Finding], role_arn: str, caller: str) -> list[Finding]:
    """Return the findings of a role that cannot be assumed, with what both sides need."""
    fix = (
        f"allow sts:AssumeRole on {role_arn} in the policy of {principal(caller)}, and let the role"
        f" trust it: `bedrock-usage policy --trust {principal_arn(caller)}` prints the trust policy"
    )
    return [
        finding._replace(fix=fix) if finding.detail.startswith("denied") else finding
        for finding in findings
    ]


def _failed_list(check: str, error: SourceError, place: Place, caller: str) -> Finding:
    """Return the finding of a list (of accounts, of regions, of units) that AWS denies."""
    problem, fix = advise(error, check, caller)
    if check == _LIST_ACCOUNTS:
        fix += ". Only the management account or a delegated administrator can list accounts"
    return Finding(check, FAILED, problem, fix, place.account_id)
