"""Send the scenarios' calls, one after another, and write each into the ledger.

A call that AWS refused for a temporary reason (throttled, unavailable) is retried a few times. A
call with any other answer, with no answer, or with an internal error of AWS is not retried: it may
have cost money. A failed call does not stop the run; a stop request ends it between two calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import uuid4

import msgspec

from etl.clock import Clock
from etl.errors import AccessError, SourceError, StoppedError
from etl.lab.caller import LabCaller, application_of_role
from etl.lab.scenarios import Scenario
from etl.lab.sent_calls import CallStatus, Entry, Ledger
from etl.sources.accounts import assume_role
from etl.sources.aws import DENIED, Account, Place
from etl.sources.runtime import ModelAnswer, Question, ask
from etl.times import utc_text

# Only a call that AWS says was not made is sent again (DECISIONS 69).
MAX_TRIES = 4
_FIRST_PAUSE = 2.0

# A refusal of this action means that no model was called.
_ASSUME_ROLE = "sts:AssumeRole"

# Codes with status 500 or above of calls that AWS did not accept.
_UNAVAILABLE = ("ServiceUnavailable", "ServiceUnavailableException")

# Codes for a model that is retired, mistyped or not allowed.
_NO_MODEL = ("ValidationException", "ResourceNotFoundException")
_ANOTHER_MODEL = (
    "; if the model is retired, or the account may not use it there, choose another:"
    " --model OLD=NEW, or --print-scenarios and --scenarios FILE"
)


@dataclass(frozen=True)
class PlannedCall:
    """A call to make; ``number`` counts from 1 over all scenarios."""

    number: int
    scenario: Scenario
    prompt: str


@dataclass
class TrafficOutcome:
    """The result of a run: the numbers of the calls that succeeded."""

    run_id: str
    calls: Sequence[PlannedCall]
    succeeded: set[int] = field(default_factory=set)
    is_stopped: bool = False

    @property
    def scenarios(self) -> tuple[int, int]:
        """How many scenarios succeeded completely, and how many there are."""
        failed = {c.scenario.name for c in self.calls if c.number not in self.succeeded}
        names = {call.scenario.name for call in self.calls}
        return len(names - failed), len(names)

    @property
    def is_complete(self) -> bool:
        """Whether every call succeeded."""
        return len(self.succeeded) == len(self.calls)


def plan_calls(scenarios: Iterable[Scenario]) -> list[PlannedCall]:
    """Return every call of the scenarios, in order."""
    wanted = [
        (scenario, scenario.prompts[turn % len(scenario.prompts)])
        for scenario in scenarios
        for turn in range(scenario.calls)
    ]
    return [PlannedCall(number, *one) for number, one in enumerate(wanted, 1)]


def open_ways(
    own: Account, scenarios: Iterable[Scenario], role_arns: Mapping[str, str]
) -> dict[str, Account]:
    """Return the account that each scenario calls as; nothing is requested yet."""
    return {
        scenario.name: assume_role(own, role_arns[scenario.role]).calling_as(None)
        if scenario.role
        else own.calling_as(scenario.user_agent)
        for scenario in scenarios
    }


def send(
    calls: Sequence[PlannedCall],
    ways: Mapping[str, Account],
    caller: LabCaller,
    ledger: Ledger,
    clock: Clock,
    report: Callable[[PlannedCall, Entry, str | None], None] = lambda call, entry, problem: None,
) -> TrafficOutcome:
    """Make the calls; return the result. ``report`` is called after each."""
    outcome = TrafficOutcome(_run_id(clock.now()), calls)
    for call in calls:
        try:
            entry, problem = _make(call, ways[call.scenario.name], caller, ledger, clock, outcome)
        except StoppedError:
            outcome.is_stopped = True
            break
        if problem is None:
            outcome.succeeded.add(call.number)
        report(call, entry, problem)
    return outcome


def _run_id(now: datetime) -> str:
    return f"{now:%Y%m%dT%H%M%SZ}-{uuid4().hex[:6]}"


def _make(
    call: PlannedCall,
    way: Account,
    caller: LabCaller,
    ledger: Ledger,
    clock: Clock,
    outcome: TrafficOutcome,
) -> tuple[Entry, str | None]:
    """Make a call until its result is final; return its last entry, and what is wrong."""
    attempt = 0
    while True:
        attempt += 1
        clock.check()
        sent = _entry(call, caller, outcome, attempt, clock.now())
        ledger.write(sent)
        entry, problem = _attempt(call, way, clock, sent)
        ledger.write(entry)
        if entry.status != "throttled" or attempt == MAX_TRIES:
            return entry, problem
        clock.sleep(_FIRST_PAUSE * 2 ** (attempt - 1))


def _entry(
    call: PlannedCall, caller: LabCaller, outcome: TrafficOutcome, attempt: int, now: datetime
) -> Entry:
    scenario = call.scenario
    # A role's name takes precedence over a user agent, even if it is the caller's own role.
    role = caller.role_name or ""
    application = application_of_role(role)
    is_named_by_role = scenario.role is None and application not in ("", role)
    return Entry(
        run_id=outcome.run_id,
        call=call.number,
        attempt=attempt,
        planned=len(outcome.calls),
        scenario=scenario.name,
        application=application if is_named_by_role else scenario.application,
        user_name=scenario.role or caller.user_name,
        account_id=caller.account_id,
        region=scenario.region,
        model_id=scenario.model,
        operation=scenario.operation,
        time=utc_text(now),
        status="sent",
    )


def _attempt(
    call: PlannedCall, way: Account, clock: Clock, sent: Entry
) -> tuple[Entry, str | None]:
    scenario = call.scenario
    question = Question(scenario.model, call.prompt, scenario.max_tokens)
    try:
        answer = ask(Place(way, scenario.region, clock), scenario.operation, question)
    except SourceError as error:
        return _refused(sent, error), _explain(error)
    return _answered(sent, answer), answer.problem


def _answered(sent: Entry, answer: ModelAnswer) -> Entry:
    usage = answer.usage._asdict() if answer.usage else None
    status: CallStatus = "ok" if usage else "broken"
    return msgspec.structs.replace(sent, status=status, request_id=answer.request_id, usage=usage)


def _refused(sent: Entry, error: SourceError) -> Entry:
    # If AssumeRole was refused, the id is that of another request.
    request_id = None if error.action == _ASSUME_ROLE else error.request_id
    return msgspec.structs.replace(
        sent, status=_status(error), request_id=request_id, error_code=error.code
    )


def _status(error: SourceError) -> CallStatus:
    if isinstance(error, AccessError):
        return "failed"
    if error.code in _UNAVAILABLE or (error.code and error.is_undone):
        return "throttled"
    return "failed" if error.is_undone else "unknown"


def _explain(error: SourceError) -> str:
    if error.code in DENIED and error.action == _ASSUME_ROLE:
        return f"{error}; `bedrock-usage policy --lab` prints the policy"
    if error.code in DENIED or error.code in _NO_MODEL:
        return f"{error}{_ANOTHER_MODEL}"
    if _status(error) == "unknown":
        return f"{error}. AWS may have made the call; it is not repeated"
    return str(error)
