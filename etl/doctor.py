"""Does reading AWS work here, and if not, what has to be done?

Each permission is tried once, with the cheapest request that needs it; nothing is written, and what
the answers hold is not kept. A request is not repeated for long: an outage is told. Where a service
does not answer, or the credentials do not work in a region, what is left there is not tried at all.

A *finding* is one thing that was looked at. ``failed``: something will not be read. ``warning``: it
will, but the figures could be better. ``not checked``: there was nothing to try it with.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from etl.errors import AccessError, RejectError, RetriableError, SourceError
from etl.normalise.cloudtrail import parse_event
from etl.normalise.rows import Event, ServiceTokens
from etl.sources.aws import BAD_SIGNATURE, DENIED, SIGNED_OUT, UNKNOWN_CALLER, Place, date_of
from etl.sources.cloudtrail import look_at_newest
from etl.sources.limiter import lookup_limiter

OK, WARNING, FAILED, NOT_CHECKED = "ok", "warning", "failed", "not checked"

# A request is tried so often before an outage is told.
ATTEMPTS = 2

# AWS refuses signatures that are five minutes off.
SKEW_WARNING, SKEW_FAILURE = timedelta(seconds=60), timedelta(minutes=5)

# How far back the newest calls are looked for.
TOKENS_SINCE = timedelta(days=7)

_USELESS_HERE = SIGNED_OUT | UNKNOWN_CALLER | BAD_SIGNATURE

_LOGGED_BODIES = ("text", "image", "embedding", "video", "audio")
_LOGGING_ADVICE = (
    "switch it on in Bedrock's settings with every data type off: it counts the tokens of each call,"
    " cache included, and stores no prompt. This version does not read it yet; it begins when it is"
    " switched on"
)


class Finding(NamedTuple):
    """One thing that was looked at. ``fix``: what to do, None where nothing is to be done."""

    check: str
    status: str
    detail: str = ""
    fix: str | None = None
    account_id: str | None = None
    region: str | None = None


def check_caller(place: Place, check: str = "credentials") -> tuple[list[Finding], str | None]:
    """Ask AWS who calls; return the findings, clock included, and the caller's ARN.

    Without an ARN there is no way into the account.
    """
    account = {"account_id": place.account_id}
    try:
        answer = place.call("sts", "GetCallerIdentity", {}, requires="Arn")
    except SourceError as error:
        return failed_entry(error, place.clock.now(), check, place.account_id), None
    arn = str(answer["Arn"])
    skew = _check_clock(date_of(answer), place.clock.now())._replace(**account)
    return [Finding(check, OK, f"as {arn}", **account), skew], arn


def failed_entry(
    error: SourceError, now: datetime, check: str, account_id: str | None = None
) -> list[Finding]:
    """Return the findings of a way in that is closed; a refusal still has AWS's time."""
    findings = [Finding(check, FAILED, *_explain(error))]
    if error.date:
        findings.append(_check_clock(error.date, now))
    return [finding._replace(account_id=account_id) for finding in findings]


def _check_clock(date: str | None, now: datetime) -> Finding:
    try:
        skew = now - parsedate_to_datetime(date or "").astimezone(UTC)
    except ValueError:
        return Finding("clock", NOT_CHECKED, "the answer has no date")
    apart = f"{abs(skew.total_seconds()):.0f} s {'ahead of' if skew > timedelta() else 'behind'} AWS"
    fix = "set this machine's clock (NTP): AWS refuses requests that are 5 minutes off"
    if abs(skew) > SKEW_FAILURE:
        return Finding("clock", FAILED, apart, fix)
    if abs(skew) > SKEW_WARNING:
        return Finding("clock", WARNING, apart, fix)
    return Finding("clock", OK)


def failed_assume_role(findings: Iterable[Finding], role_arn: str, caller: str) -> list[Finding]:
    """Return the findings of a role that lets nobody in, with what both sides need."""
    fix = (
        f"allow sts:AssumeRole on {role_arn} in the policy of {principal(caller)}, and let the role"
        f" trust it: `bedrock-usage policy --trust {principal_arn(caller)}` prints how"
    )
    return [
        finding._replace(fix=fix) if finding.detail.startswith("denied") else finding
        for finding in findings
    ]


def failed_list(check: str, error: SourceError, place: Place, caller: str) -> Finding:
    """Return the finding of a list (of accounts, of regions) that AWS does not give."""
    return Finding(check, FAILED, *_explain(error, check, caller), place.account_id)


def check_place(place: Place, sources: Sequence[str], caller: str) -> list[Finding]:
    """Try all that reading these sources takes in an account and region, as the caller."""
    tries = _Tries(place, caller)
    for source, check in _CHECKS.items():
        if source in sources:
            check(tries)
    _check_logging(tries)
    return tries.findings


@dataclass
class _Tries:
    """What was tried in a place, and what came of it."""

    place: Place
    caller: str
    findings: list[Finding] = field(default_factory=list)
    silent: dict[str, str] = field(default_factory=dict)

    def add(self, check: str, status: str, detail: str = "", fix: str | None = None) -> None:
        place = self.place
        self.findings.append(Finding(check, status, detail, fix, place.account_id, place.region))

    def ask(
        self, action: str, parameters: Mapping[str, Any], requires: str, detail: str = ""
    ) -> dict[str, Any] | None:
        """Try a permission; return the answer, None if there was none."""
        service, _, operation = action.partition(":")
        reason = self.silent.get(service) or self.silent.get("*")
        if reason:
            self.add(action, NOT_CHECKED, reason)
            return None
        limiter = None
        if operation == "LookupEvents":
            limiter = lookup_limiter(self.place.account_id, self.place.region)
        try:
            answer = self.place.call(
                service, operation, parameters, requires=requires, limiter=limiter
            )
        except SourceError as error:
            self._fail(action, service, error)
            return None
        return answer

    def _fail(self, action: str, service: str, error: SourceError) -> None:
        self.add(action, FAILED, *_explain(error, action, self.caller))
        if isinstance(error, RetriableError):
            self.silent[service] = f"{service} does not answer"
        elif error.code is None or error.code in _USELESS_HERE:
            self.silent["*"] = "the credentials do not work here"


