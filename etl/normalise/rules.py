"""A user's own rules: which user made a call, which application and which team it belongs to.

Rules of a kind are ordered. The first that matches wins, over all other evidence. All conditions of
a rule must match. A condition is a glob (``*``, ``?``, ``[...]``), case-sensitive, over the whole
text. If a call lacks that text (no session, for example), not even ``*`` matches.

``{name}`` in a glob matches like ``*``, but at least one character. What it matched may stand in
the name that the rule gives: ``session = "{who}-agent"``, ``user = "{who}@corp.example"``. Each
wildcard takes as little as possible and is never tried again: the time of a match is at most the
length of the text times that of the glob, whatever either holds.

Only what the warehouse stores of a call is evidence, so that stored calls and new ones are treated
alike. Therefore the role is read from the principal's ARN, and a model is matched as it was sent:
an application inference profile by its ARN or id, whatever model is behind it. User rules are
applied before application rules: ``user`` in an application rule is the name that a user rule gave,
before any alias. Team rules come last, and see both.

Each kind is a class below, which says what it gives. The rest of the program treats all ``KINDS``
alike.
"""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache, lru_cache
from typing import ClassVar, NamedTuple, TypeVar

import msgspec

from etl.normalise.fields import text
from etl.normalise.identity import NO_TEAM, UNATTRIBUTED
from etl.normalise.model_ids import NOT_STATED, parse_model_id
from etl.normalise.rows import Event

_ROLE = re.compile(r":(?:assumed-role/|role/(?:.*/)?)([^/]+)$")

_CAPTURE = re.compile(r"\{([a-z][a-z0-9_]{0,31})\}")
# What a glob consists of: sets of characters, named and unnamed wildcards, single characters.
_PIECE = re.compile(r"\[!?\]?[^\]]*\]|\{[a-z][a-z0-9_]{0,31}\}|\*+|.", re.DOTALL)

_Rule = TypeVar("_Rule", bound="Rule")


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Conditions, and the name to give to a call that meets all of them.

    Raises ValueError if there is no condition, a text is empty, the name is reserved, or refers to
    a ``{name}`` that no condition has.
    """

    # The name of the field with the name to give.
    gives: ClassVar[str] = ""

    role: str | None = None
    session: str | None = None
    provider: str | None = None
    principal_arn: str | None = None
    user_agent: str | None = None
    account_id: str | None = None
    region: str | None = None
    model: str | None = None
    project: str | None = None
    tag: str | None = None

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is not None and not value.strip():
                raise ValueError(f"{name} is empty")
        if self.name == UNATTRIBUTED:
            raise ValueError(
                f"{self.gives} {UNATTRIBUTED} is reserved for usage that no call explains"
            )
        if self.name == NO_TEAM:
            raise ValueError(f"{self.gives} {NO_TEAM} is reserved for calls that nothing assigns")
        if not self.conditions:
            raise ValueError(f"no condition; give at least one of {', '.join(conditions_of(self))}")
        self._check_captures()

    def _check_captures(self) -> None:
        captured = [name for glob in self.conditions.values() for name in _CAPTURE.findall(glob)]
        for name in captured:
            if captured.count(name) > 1:
                raise ValueError(f"{{{name}}} is in the conditions twice; use another name")
        for name in _CAPTURE.findall(self.name):
            if name not in captured:
                raise ValueError(f"{self.gives}: {{{name}}} is in none of the conditions")

    @property
    def name(self) -> str:
        """The name to give, which may refer to parts of what the conditions matched."""
        return str(getattr(self, self.gives))

    @property
    def conditions(self) -> Mapping[str, str]:
        """The given globs, by name."""
        names = conditions_of(self)
        return {name: glob for name in names if (glob := getattr(self, name)) is not None}

    def with_texts(
        self: _Rule, of_name: Callable[[str], str], of_glob: Callable[[str], str]
    ) -> _Rule:
        """Return the rule with its texts replaced."""
        globs = {name: of_glob(glob) for name, glob in self.conditions.items()}
        return type(self)(**{self.gives: of_name(self.name)}, **globs)


class ApplicationRule(Rule, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Decides the application of a call."""

    gives: ClassVar[str] = "application"

    application: str
    user: str | None = None


class TeamRule(Rule, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Decides the team of a call. ``profile``: an inference profile by its name, id or ARN."""

    gives: ClassVar[str] = "team"

    team: str
    user: str | None = None
    application: str | None = None
    profile: str | None = None


class UserRule(Rule, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Decides the user of a call."""

    gives: ClassVar[str] = "user"

    user: str


# In the order in which they are applied: a later kind sees what the earlier ones gave.
KINDS: tuple[type[Rule], ...] = (UserRule, ApplicationRule, TeamRule)


def conditions_of(kind: Rule | type[Rule]) -> tuple[str, ...]:
    """Return the names of the conditions that rules of a kind may have."""
    order = ("role", "user", "application", *Rule.__struct_fields__[1:], "profile")
    return tuple(n for n in order if n in kind.__struct_fields__ and n != kind.gives)


# Only what the warehouse keeps, so old and new calls are alike (DECISIONS 30).
class Evidence(NamedTuple):
    """What rules can match; None where the call lacks it. ``request_metadata``: a JSON object.

    For rules of teams alone: the application, the names of the inference profile, and the tags of
    profile and session as ``key=value``.
    """

    account_id: str | None
    region: str | None
    principal_arn: str | None
    role_name: str | None
    session_name: str | None
    user_name: str | None
    user_agent: str | None
    model_id: str | None
    provider: str | None = None
    project: str | None = None
    request_metadata: str | None = None
    application: str | None = None
    profiles: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


# What a glob's named wildcards matched; None if the glob does not match.
Captures = Mapping[str, str]
Test = Callable[[Evidence], Captures | None]


class Glob:
    """A glob that is ready to match."""

    def __init__(self, glob: str) -> None:
        self._match = _pattern(glob).match

    def captures(self, value: str) -> Captures | None:
        """Return what the named wildcards matched; None if the glob does not match."""
        found = self._match(value)
        return None if found is None else found.groupdict()


class CompiledRule(NamedTuple):
    """A rule that is ready to match."""

    name: str
    tests: tuple[Test, ...]

    def name_for(self, evidence: Evidence) -> str | None:
        """Return the name for a call; None unless all conditions are met."""
        captured: dict[str, str] = {}
        for test in self.tests:
            captures = test(evidence)
            if captures is None:
                return None
            captured |= captures
        return filled(self.name, captured) if captured else self.name


def filled(name: str, captures: Captures) -> str | None:
    """Return a name with the parts that it refers to; None if that is no name.

    The parts are what callers wrote: they cannot give the name of usage that no call explains.
    """
    found = text(_CAPTURE.sub(lambda part: captures.get(part[1], part[0]), name))
    return None if found in (UNATTRIBUTED, NO_TEAM) else found


def is_glob(written: str) -> bool:
    """Return whether a text has wildcards."""
    return any(character in written for character in "*?[") or bool(_CAPTURE.search(written))


def captures_in(written: str) -> list[str]:
    """Return the names of the wildcards, or of the parts, in a text."""
    return _CAPTURE.findall(written)


def compile_rules(rules: Iterable[Rule]) -> tuple[CompiledRule, ...]:
    """Compile globs to patterns, once for all calls."""
    return tuple(
        CompiledRule(rule.name, tuple(_test(*condition) for condition in rule.conditions.items()))
        for rule in rules
    )


def find_rule(rules: Iterable[CompiledRule], evidence: Evidence) -> str | None:
    """Return the name that the first matching rule gives; None if none matches."""
    names = (rule.name_for(evidence) for rule in rules)
    return next((name for name in names if name is not None), None)


def make_evidence(
    *,
    account_id: str | None = None,
    region: str | None = None,
    principal_arn: str | None = None,
    session_name: str | None = None,
    user_name: str | None = None,
    user_agent: str | None = None,
    model_id: str | None = None,
    provider: str | None = None,
    project: str | None = None,
    request_metadata: str | None = None,
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
        provider=provider,
        project=project,
        request_metadata=request_metadata,
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
        provider=event.provider,
        project=event.project,
        request_metadata=event.request_metadata,
    )


def role_name_of(principal_arn: str) -> str | None:
    """Return the role in ``...:assumed-role/ROLE`` or ``...:role/PATH/ROLE``; None for others."""
    found = _ROLE.search(principal_arn)
    return found[1] if found else None


def _test(condition: str, glob: str) -> Test:
    captures = Glob(glob).captures
    if texts_of := _SEVERAL.get(condition):
        return lambda evidence: next(
            (found for value in texts_of(evidence) if (found := captures(value)) is not None), None
        )
    field = f"{condition}_name" if condition in ("role", "session", "user") else condition
    at = Evidence._fields.index(field)
    return lambda evidence: captures(value) if isinstance(value := evidence[at], str) else None


@cache
def _pattern(glob: str) -> re.Pattern[str]:
    """Return the pattern of a glob. Each wildcard but the last is matched once and for all."""
    fixed, wildcards = [""], []
    for piece in _PIECE.findall(glob):
        if piece[0] == "*" or _CAPTURE.fullmatch(piece):
            wildcards.append(piece)
            fixed.append("")
        else:
            fixed[-1] += piece
    # translate() gives (?s:...)\Z
    first, *others = [fnmatch.translate(part)[4:-3] for part in fixed]
    parts = [first]
    for number, (wildcard, following) in enumerate(zip(wildcards, others, strict=True), 1):
        name = _CAPTURE.fullmatch(wildcard)
        if number < len(wildcards):
            any_text = f"(?P<{name[1]}>.+?)" if name else ".*?"
            parts.append(f"(?>{any_text}{following})")
        else:
            parts.append((f"(?P<{name[1]}>.+)" if name else ".*") + following)
    return re.compile(f"(?s:{''.join(parts)})\\Z")


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


def _project_names(project: str | None) -> tuple[str, ...]:
    """Return the names that match a project: its ARN and its id."""
    return () if project is None else (project, project.rpartition("/")[2])


@lru_cache(maxsize=4096)
def _tags(request_metadata: str | None) -> tuple[str, ...]:
    """Return the pairs of a request's metadata as ``key=value``, in the order of the keys."""
    if request_metadata is None:
        return ()
    return pairs_of(json.loads(request_metadata))


def keys_of_tags(rules: Iterable[Rule]) -> tuple[str, ...]:
    """Return the keys that the conditions ``tag`` of rules name, as far as they are no patterns."""
    patterns = (dict(rule.conditions).get("tag") for rule in rules)
    keys = (pattern.partition("=")[0] for pattern in patterns if pattern)
    return tuple(dict.fromkeys(key for key in keys if key and not _PATTERN.search(key)))


# What is more than plain text in a pattern.
_PATTERN = re.compile(r"[*?\[{]")


def pairs_of(tags: Mapping[str, object]) -> tuple[str, ...]:
    """Return tags as ``key=value``, as rules match them."""
    return tuple(f"{key}={value}" for key, value in tags.items())


# Conditions that several texts of a call can meet.
_SEVERAL: Mapping[str, Callable[[Evidence], tuple[str, ...]]] = {
    "model": lambda evidence: _model_names(evidence.model_id),
    "project": lambda evidence: _project_names(evidence.project),
    "tag": lambda evidence: (*_tags(evidence.request_metadata), *evidence.tags),
    "profile": lambda evidence: evidence.profiles,
}
