"""Faults on purpose.

A fault replaces the true answer, or corrupts it. Faults are in a list, and only the first one that
fires takes effect. Each matching request uses up a fault's ``skip`` first, then its ``times``; later
faults do not see that request. A request that the limiter or the credentials check refuses meets no
fault.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

from tests.aws.calls import Answer, AwsError, Call, Violation
from tests.aws.paging import token_error
from tests.aws.runtime import STREAMS, action_of

_NEED_A_TOKEN = ("expired-token", "duplicates")
_PAGED = (
    *("LookupEvents", "ListMetrics", "GetMetricData", "ListInferenceProfiles", "ListAccounts"),
    "FilterLogEvents",
)

# Faults that a handler simulates -> the operations that can.
_TWISTS = {"empty-page": _PAGED, "duplicates": _PAGED, "stream-error": STREAMS}

# kind -> code and status per protocol; "*" means all others.
_CODES: dict[str, dict[str, tuple[str, int]]] = {
    "500": {"*": ("InternalFailure", 500)},
    "503": {"*": ("ServiceUnavailable", 503)},
    "throttle": {
        "*": ("ThrottlingException", 400),
        "query": ("Throttling", 400),
        "ec2": ("RequestLimitExceeded", 503),
        "rest-xml": ("SlowDown", 503),
    },
    "denied": {
        "*": ("AccessDeniedException", 400),
        "query": ("AccessDenied", 403),
        "ec2": ("UnauthorizedOperation", 403),
        "rest-xml": ("AccessDenied", 403),
    },
    "kms-denied": {"*": ("AccessDenied", 403)},
    "elsewhere": {"*": ("PermanentRedirect", 301)},
    "expired-credentials": {
        "*": ("ExpiredTokenException", 400),
        "rest-json": ("ExpiredTokenException", 403),
        "query": ("ExpiredToken", 403),
        "ec2": ("RequestExpired", 400),
        "rest-xml": ("ExpiredToken", 400),
    },
    "invalid-credentials": {
        "*": ("UnrecognizedClientException", 400),
        "rest-json": ("UnrecognizedClientException", 403),
        "query": ("InvalidClientTokenId", 403),
        "ec2": ("AuthFailure", 401),
        "rest-xml": ("InvalidAccessKeyId", 403),
    },
}
_MESSAGES = {
    "500": "The request processing has failed because of an unknown error, exception or failure.",
    "503": "The request has failed due to a temporary failure of the server.",
    "throttle": "Rate exceeded",
    "denied": (
        "User: {who} is not authorized to perform: {action} "
        "because no identity-based policy allows the {action} action"
    ),
    "kms-denied": (
        "User: {who} is not authorized to perform: kms:Decrypt on the resource associated with this "
        "ciphertext because no identity-based policy allows the kms:Decrypt action"
    ),
    "elsewhere": "The bucket you are attempting to access must be addressed using another endpoint.",
    "expired-credentials": "The security token included in the request is expired",
    "invalid-credentials": "The security token included in the request is invalid.",
}


@dataclass
class Fault:
    """One fault; None as operation, region or account matches any.

    ``times`` None: always; the fault is inactive before ``after`` (by the server's clock);
    ``seconds``: how long "slow" takes. ``seen`` counts the requests it matched.
    """

    kind: str
    operation: str | None = None
    region: str | None = None
    account: str | None = None
    skip: int = 0
    times: int | None = 1
    after: datetime | None = None
    seconds: float = 1.0
    seen: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"no such fault: {self.kind!r}; one of {', '.join(KINDS)}")

    def fires(self, call: Call) -> bool:
        """Return whether this request fails, and count it."""
        if not self._matches(call):
            return False
        self.seen += 1
        return self.seen > self.skip and (self.times is None or self.seen <= self.skip + self.times)

    def _matches(self, call: Call) -> bool:
        return (
            self.operation in (None, call.name)
            and self.region in (None, call.region)
            and self.account in (None, call.account)
            and (self.after is None or call.aws.clock.now() >= self.after)
            and (self.kind not in _NEED_A_TOKEN or call.token is not None)
        )

    def answer(
        self, call: Call, perform: Callable[[Call], Answer], stopped: threading.Event
    ) -> Answer:
        """Return the corrupted answer, or raise the error; ``perform`` makes the true one."""
        if self.kind in _CODES:
            raise fault_error(self.kind, call)
        if self.kind == "expired-token":
            raise token_error(call)
        if self.kind in ("reset", "hang"):
            return Answer(ending=self.kind)
        if self.kind in _TWISTS:
            if call.name not in _TWISTS[self.kind]:
                raise Violation(f"the fault {self.kind!r} is not made for {call.name}")
            call.twist = self.kind
        if self.kind == "slow":
            stopped.wait(self.seconds)
        true = perform(call)
        return _SPOILERS[self.kind](true) if self.kind in _SPOILERS else true


def fault_error(kind: str, call: Call) -> AwsError:
    """Return the error of this kind as this call's protocol names it."""
    codes = _CODES[kind]
    code, status = codes.get(call.operation.service_model.resolved_protocol, codes["*"])
    who = call.aws.accounts.arn_of(call.access_key)
    return AwsError(code, _MESSAGES[kind].format(who=who, action=action_of(call)), status)


def _truncated(true: Answer) -> Answer:
    is_json = "json" in true.headers.get("Content-Type", "")
    return replace(true, body=b"{}" if is_json else b"<Response/>")


def _cut(true: Answer) -> Answer:
    return replace(true, body=true.body[: len(true.body) // 2])


def _garbage(true: Answer) -> Answer:
    body = b"<html><body>Welcome to Hotel Wi-Fi</body></html>"
    return replace(true, body=body, headers={"Content-Type": "text/html"})


def _reset_in_body(true: Answer) -> Answer:
    return replace(true, ending="reset-in-body")


_SPOILERS: dict[str, Callable[[Answer], Answer]] = {
    "truncated": _truncated,
    "cut": _cut,
    "garbage": _garbage,
    "reset-in-body": _reset_in_body,
}
KINDS = (*_CODES, *_SPOILERS, *_TWISTS, "expired-token", "reset", "hang", "slow")
