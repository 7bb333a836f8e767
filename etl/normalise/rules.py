"""A user's own rules that assign calls to applications.

Rules are ordered. The first that matches wins, over all other evidence. All conditions of a rule
must match. A condition is a glob (``*``, ``?``, ``[...]``), case-sensitive, over the whole text. If
a call lacks that text (no session, for example), not even ``*`` matches.

Only what the warehouse stores of a call is evidence, so that stored calls and new ones are treated
alike. Therefore the role is read from the principal's ARN, the user is the name before any alias,
and a model is matched as it was sent: an application inference profile by its ARN or id, whatever
model is behind it.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache, lru_cache
from typing import NamedTuple

import msgspec

from etl.normalise.identity import UNATTRIBUTED
from etl.normalise.model_ids import NOT_STATED, parse_model_id
from etl.normalise.rows import Event

_ROLE = re.compile(r":(?:assumed-role/|role/(?:.*/)?)([^/]+)$")


class ApplicationRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Conditions, and the application of a call that meets all of them.

    Raises ValueError if there is no condition, a text is empty, or the application's name is
    reserved.
    """

    application: str
    role: str | None = None
    user: str | None = None
    session: str | None = None
    principal_arn: str | None = None
    user_agent: str | None = None
    account_id: str | None = None
    region: str | None = None
    model: str | None = None

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is not None and not value.strip():
                raise ValueError(f"{name} is empty")
        if self.application == UNATTRIBUTED:
            raise ValueError(
                f"application {UNATTRIBUTED} is reserved for usage that no call explains"
            )
        if not self.conditions:
            raise ValueError(f"no condition; give at least one of {', '.join(CONDITIONS)}")

    @property
    def conditions(self) -> Mapping[str, str]:
        """The given globs, by name."""
        return {name: glob for name in CONDITIONS if (glob := getattr(self, name)) is not None}


CONDITIONS = ApplicationRule.__struct_fields__[1:]


# Only what the warehouse keeps, so old and new calls are alike (DECISIONS 30).
class Evidence(NamedTuple):
    """What rules can match; None where the call lacks it."""

    account_id: str | None
    region: str | None
    principal_arn: str | None
    role_name: str | None
    session_name: str | None
    user_name: str | None
    user_agent: str | None
    model_id: str | None


Test = Callable[[Evidence], bool]


class CompiledRule(NamedTuple):
    """A rule that is ready to match."""

    application: str
    tests: tuple[Test, ...]

    def matches(self, evidence: Evidence) -> bool:
        """Say whether all conditions are met."""
        return all(test(evidence) for test in self.tests)


def compile_rules(rules: Iterable[ApplicationRule]) -> tuple[CompiledRule, ...]:
    """Compile globs to patterns, once for all calls."""
    return tuple(
        CompiledRule(
            rule.application,
            tuple(_test(name, glob) for name, glob in rule.conditions.items()),
        )
        for rule in rules
    )


def find_rule(rules: Iterable[CompiledRule], evidence: Evidence) -> str | None:
    """Return the application of the first rule that matches; None if none does."""
    matching = (rule for rule in rules if rule.matches(evidence))
    return next((rule.application for rule in matching), None)


def make_evidence(
    *,
    account_id: str | None = None,
    region: str | None = None,
    principal_arn: str | None = None,
    session_name: str | None = None,
    user_name: str | None = None,
    user_agent: str | None = None,
    model_id: str | None = None,
) -> Evidence:
    """Return the evidence from the stored texts of a call, or some of them."""
    return Evidence(
        account_id=account_id,
        region=region,
        principal_arn=principal_arn or None,
        role_name=role_name_of(principal_arn or ""),
        session_name=session_name,
        user_name=user_name,
        user_agent=user_agent,
        model_id=None if model_id == NOT_STATED else model_id,
    )


def evidence_of(event: Event) -> Evidence:
    """Return the evidence of a call that was just read."""
    return make_evidence(
        account_id=event.account_id,
        region=event.region,
        principal_arn=event.principal_arn,
        session_name=event.session_name,
        user_name=event.user_name,
        user_agent=event.user_agent,
        model_id=event.model_id,
    )


def role_name_of(principal_arn: str) -> str | None:
    """Return the role in ``...:assumed-role/ROLE`` or ``...:role/PATH/ROLE``; None for others."""
    found = _ROLE.search(principal_arn)
    return found[1] if found else None


def _test(condition: str, glob: str) -> Test:
    match = _pattern(glob).match
    if condition == "model":
        return lambda evidence: any(map(match, _model_names(evidence.model_id)))
    field = f"{condition}_name" if condition in ("role", "session", "user") else condition
    at = Evidence._fields.index(field)
    return lambda evidence: (value := evidence[at]) is not None and match(value) is not None


@cache
def _pattern(glob: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(glob))


@lru_cache(maxsize=4096)
def _model_names(model_id: str | None) -> tuple[str, ...]:
    """Return the names that match a model: as sent, without its ARN, canonical."""
    if model_id is None:
        return ()
    names = parse_model_id(model_id)
    return tuple(
        dict.fromkeys(
            (
                names.model_id,
                names.model_tail,
                names.cloudwatch_model_id,
                names.canonical_model_id,
            )
        )
    )
