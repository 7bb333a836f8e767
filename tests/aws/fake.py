"""The fake AWS: its content, the recorded requests, and how a request is handled.

A request is understood (service, operation, account, region, parameters), recorded, checked against
botocore's model, and then passes, in this order: the credentials, the limiter, the faults, the
handler of its operation. Answers are checked against the model too. A request or an answer that
neither a correct program nor AWS would send is a violation: the client gets a 500, and leaving the
``with`` raises.

**The limiter** allows ``lookup_rate`` LookupEvents per second, account and region, in any window of
one second (below one a second: one in any ``1 / rate`` seconds). AWS says "two per second", but not
how it counts. The window is the stricter reading: whatever passes it also passes a token bucket of
that rate and capacity. Refused requests do not count.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from traceback import format_exception
from types import TracebackType
from typing import Any, Self

from tests.aws import (
    answers,
    bedrock,
    cloudtrail,
    cloudwatch,
    identity,
    invocations,
    logs,
    moto_route,
    price_list,
    quotas,
    runtime,
)
from tests.aws.calls import Answer, AwsError, Call, Handler, HttpRequest, Request, Violation
from tests.aws.clock import RealClock, Times
from tests.aws.faults import Fault, fault_error
from tests.aws.identity import Accounts
from tests.aws.invocations import Recording
from tests.aws.place import Place
from tests.aws.price_list import PriceLists
from tests.aws.requests import parse, scope
from tests.aws.server import Wire

ACCOUNT = "111122223333"
REGION = "us-east-1"
_HANDLERS: dict[str, dict[str, Handler]] = {
    "cloudtrail": cloudtrail.OPERATIONS,
    "cloudwatch": cloudwatch.OPERATIONS,
    "logs": logs.OPERATIONS,
    "bedrock": bedrock.OPERATIONS,
    "bedrock-runtime": runtime.OPERATIONS,
    "pricing": price_list.OPERATIONS,
    "service-quotas": quotas.OPERATIONS,
    "sts": identity.STS,
    "organizations": identity.ORGANIZATIONS,
    "ec2": identity.EC2,
}
_ROUNDING = 1e-6


class FakeAws:
    """A context manager: the server runs from entering to leaving."""

    def __init__(self, clock: Times | None = None) -> None:
        self.violations: list[str] = []
        self._lock = threading.RLock()
        self._wire: Wire | None = None
        self.reset(clock)

    def reset(self, clock: Times | None = None) -> None:
        """Forget everything but the port, for the next test; raise if there were violations."""
        self.clock: Times = clock or RealClock()
        self.accounts = Accounts(ACCOUNT)
        self.recording = Recording()
        self.price_lists = PriceLists()
        self.faults: list[Fault] = []
        self.requests: list[Request] = []
        self.lookup_rate: float | None = 2.0
        self.throttled = 0
        self.latency = 0.0
        self.skew = 0.0
        self.refuses_old = False
        self.loses: timedelta = timedelta()
        self._places: dict[tuple[str, str], Place] = {}
        self._lookups: dict[tuple[str, str], deque[float]] = {}
        moto_route.reset()
        self.check()

    def check(self) -> None:
        """Raise AssertionError with the violations since the last check."""
        with self._lock:
            found, self.violations = self.violations, []
        if found:
            raise AssertionError("\n".join(["the fake AWS met violations:", *found]))

    def __enter__(self) -> Self:
        self._wire = Wire(self._respond, date=self._date, report=self._violate)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._running.stop()
        moto_route.reset()
        try:
            self.check()
        except AssertionError as problem:
            if error is None:
                raise
            error.add_note(str(problem))

    @property
    def now(self) -> datetime:
        """The time by AWS's own clock, which is ``skew`` seconds ahead of the tests'."""
        return self.clock.now() + timedelta(seconds=self.skew)

    @property
    def url(self) -> str:
        return self._running.url

    def environment(self, account: str = ACCOUNT, region: str = REGION) -> dict[str, str]:
        """Return the variables that point an unmodified boto3 here, as a user of the account.

        ``AWS_PROFILE`` and ``AWS_SESSION_TOKEN`` must not be set.
        """
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": self.accounts.access_key(account),
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": region,
            "AWS_REGION": region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "NO_PROXY": "127.0.0.1",
        }

    def place(self, account: str = ACCOUNT, region: str = REGION) -> Place:
        """Return the place of this account and region."""
        with self._lock:
            return self._places.setdefault((account, region), Place(account, region))

    def role(self, account: str, name: str, *, external_id: str | None = None) -> str:
        """Make a role that any caller may assume; return its ARN."""
        return self.accounts.role(account, name, external_id)

    def organization(self, accounts: list[str], *, suspended: Iterable[str] = ()) -> None:
        """Make an organization of these accounts; the default account is its management account."""
        self.accounts.suspended = set(suspended)
        others = [account for account in accounts if account != ACCOUNT]
        self.accounts.members = [ACCOUNT, *others]

    def expire_credentials(self) -> None:
        """Expire the keys that AssumeRole has issued so far; later ones are valid."""
        self.accounts.expire()

    def count(
        self,
        operation: str | None = None,
        *,
        region: str | None = None,
        account: str | None = None,
        outcome: str | None = None,
    ) -> int:
        """Return how many requests there were; None matches any."""
        with self._lock:
            return sum(
                operation in (None, request.operation)
                and region in (None, request.region)
                and account in (None, request.account)
                and outcome in (None, request.outcome)
                for request in self.requests
            )

    @property
    def _running(self) -> Wire:
        if self._wire is None:
            raise RuntimeError("FakeAws runs inside its with statement only")
        return self._wire

    def _date(self) -> datetime:
        return self.now

    def _violate(self, text: str) -> None:
        with self._lock:
            self.violations.append(text)

    def _respond(self, http: HttpRequest) -> Answer:
        if http.path.startswith("/offers/"):
            return self.price_lists.answer(http)
        try:
            call = self._understand(http)
            request = self._record(call)
            answer, request.outcome = self._answer(call)
            headers = {"x-amzn-RequestId": call.request_id} | call.headers | answer.headers
            answer = replace(answer, headers=headers)
        except Exception as problem:
            known = isinstance(problem, Violation)
            self._violate(str(problem) if known else "".join(format_exception(problem)))
            answer = Answer(500, b"violation: see FakeAws.violations")
        if self.latency:
            self._running.stopped.wait(self.latency)
        return answer

    def _understand(self, http: HttpRequest) -> Call:
        access_key, region, service = scope(http)
        operation, params = parse(service, http)
        key = self.accounts.find(access_key)
        account = key.account if key else "unknown"
        return Call(self, service, operation, account, region, access_key, params, http)

    def _record(self, call: Call) -> Request:
        request = Request(
            call.service,
            call.name,
            call.account,
            call.region,
            call.params,
            "violation",
            self.clock.now(),
        )
        with self._lock:
            self.requests.append(request)
        return request

    def _answer(self, call: Call) -> tuple[Answer, str]:
        """Return the answer and its outcome."""
        try:
            if call.service != "s3":
                answers.validate(call.name, call.operation.input_shape, call.params)
            self._check_credentials(call)
            self._limit(call)
            fault = self._fault(call)
            if fault is None:
                answer = _perform(call)
                return answer, "ok" if answer.status < 300 else str(answer.status)
            return fault.answer(call, _perform, self._running.stopped), fault.kind
        except AwsError as problem:
            if call.service == "bedrock-runtime":
                invocations.record_failure(call, problem)
            return answers.error(call.operation, problem), problem.code

    def _check_credentials(self, call: Call) -> None:
        key = self.accounts.find(call.access_key)
        if key is None or self.accounts.regions.get(call.region) == "not-opted-in":
            raise fault_error("invalid-credentials", call)
        if key.is_expired:
            raise fault_error("expired-credentials", call)

    def _limit(self, call: Call) -> None:
        if call.name != "LookupEvents" or self.lookup_rate is None:
            return
        most = max(1, int(self.lookup_rate))
        window = most / self.lookup_rate
        with self._lock:
            now = self.clock.monotonic()
            passed = self._lookups.setdefault((call.account, call.region), deque())
            while passed and now - passed[0] >= window - _ROUNDING:
                passed.popleft()
            if len(passed) >= most:
                self.throttled += 1
                raise fault_error("throttle", call)
            passed.append(now)

    def _fault(self, call: Call) -> Fault | None:
        with self._lock:
            return next((fault for fault in self.faults if fault.fires(call)), None)


def _perform(call: Call) -> Answer:
    """Return the true answer."""
    if moto_route.answers(call):
        return moto_route.forward(call)
    handler = _HANDLERS[call.service].get(call.name)
    if handler is None:
        raise Violation(f"{call.service}:{call.name} is not played by the fake AWS")
    value: dict[str, Any] = handler(call)
    return answers.success(call.operation, value)
