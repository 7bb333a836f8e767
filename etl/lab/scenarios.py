"""What the lab sends: the built-in scenarios, or those of a file.

A scenario is a number of calls by one application, named by its role or its user agent. The
warehouse's rules must be able to find that name, or the proof would always fail.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from etl.errors import ConfigError
from etl.lab.caller import ROLE_SUFFIX, application_of_role
from etl.normalise.user_agent import parse_application

BUILT_IN = Path(__file__).with_name("scenarios.toml")


class _RetiredModel(NamedTuple):
    """A model that AWS has retired, except in some regions, and its replacement."""

    model: str
    on: date
    still_in: tuple[str, ...]
    instead: str


# Model cards in the Bedrock user guide (checked 2026-11-26).
_RETIRED = (
    _RetiredModel(
        "anthropic.claude-3-haiku-20240307-v1:0",
        date(2026, 9, 10),
        ("ca-central-1", "eu-central-2", "sa-east-1", "ap-northeast-2"),
        "us.anthropic.claude-haiku-4-5-20251001-v1:0",
    ),
)

# More calls or longer answers than a proof needs are a mistake that costs money.
MOST_CALLS, MOST_TOKENS = 1000, 4096

_ROLE = re.compile(rf"[\w+=,.@-]{{1,{64 - len(ROLE_SUFFIX)}}}{ROLE_SUFFIX}", re.ASCII)
_USER_AGENT = re.compile(r"[A-Za-z][\w.-]{0,63}/\d[\w.+-]{0,31}", re.ASCII)
_REGION = re.compile(r"[a-z]{2,6}(?:-[a-z]+)+-[0-9]{1,2}")
_MODEL = re.compile(r"[\w.:/-]{3,2048}", re.ASCII)

Operation = Literal["InvokeModel", "InvokeModelWithResponseStream", "Converse", "ConverseStream"]


class Scenario(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Calls of one application; ``prompts`` take turns."""

    name: str
    model: str
    region: str
    operation: Operation
    calls: int
    prompts: tuple[str, ...]
    max_tokens: int = 100
    role: str | None = None
    user_agent: str | None = None

    def __post_init__(self) -> None:
        if (self.role is None) == (self.user_agent is None):
            raise ValueError("a scenario has either a role or a user_agent")
        for key, value, form, like in (
            ("role", self.role, _ROLE, f"ReportsApp{ROLE_SUFFIX}"),
            ("user_agent", self.user_agent, _USER_AGENT, "ReportsApp/1.0.0"),
            ("region", self.region, _REGION, "us-east-1"),
            ("model", self.model, _MODEL, "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ):
            if value is not None and not form.fullmatch(value):
                raise ValueError(f"{key}: {value!r} is not valid; write it like {like!r}")
        for key, number, most in (
            ("calls", self.calls, MOST_CALLS),
            ("max_tokens", self.max_tokens, MOST_TOKENS),
        ):
            if not 1 <= number <= most:
                raise ValueError(f"{key}: {number} is not between 1 and {most}")
        if not self.name.strip() or not self.prompts or not all(p.strip() for p in self.prompts):
            raise ValueError("name and prompts must not be empty")
        self._check_understood()

    def _check_understood(self) -> None:
        if self.user_agent and parse_application(f"Boto3/1 {self.user_agent}") != self.application:
            raise ValueError(
                f"user_agent: {self.user_agent!r} names an SDK or a library, not an application;"
                " choose another name"
            )
        is_anthropic = self.model.startswith("arn:") or "anthropic." in self.model
        if self.operation.startswith("Invoke") and not is_anthropic:
            raise ValueError(
                f"operation: {self.operation} works with Anthropic models only; use Converse"
            )

    @property
    def application(self) -> str:
        """The application that the warehouse must show."""
        if self.role:
            return application_of_role(self.role)
        return (self.user_agent or "").partition("/")[0]


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    scenarios: tuple[Scenario, ...]

    def __post_init__(self) -> None:
        if not self.scenarios:
            raise ValueError("there are no [[scenarios]]")
        names = [scenario.name for scenario in self.scenarios]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two scenarios are named {name!r}; names must be unique")


def load_scenarios(path: Path | None) -> tuple[Scenario, ...]:
    """Read a file of scenarios, or the built-in ones. Raises ConfigError."""
    file = path or BUILT_IN
    try:
        return msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8")), _File).scenarios
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from None
    except (ValueError, msgspec.ValidationError) as error:
        raise ConfigError(
            f"{file}: {error}; `lab traffic --print-scenarios` prints a valid file"
        ) from None


def roles_of(scenarios: Iterable[Scenario]) -> tuple[str, ...]:
    """Return the roles that send the scenarios, each once."""
    return tuple(dict.fromkeys(scenario.role for scenario in scenarios if scenario.role))


def replace_models(
    scenarios: Iterable[Scenario], replacements: Sequence[str]
) -> tuple[Scenario, ...]:
    """Return the scenarios with other models; a replacement is ``OLD=NEW``. Raises ConfigError."""
    found = tuple(scenarios)
    for replacement in replacements:
        old, is_pair, new = replacement.partition("=")
        if not is_pair or all(scenario.model != old for scenario in found):
            models = ", ".join(dict.fromkeys(scenario.model for scenario in found))
            raise ConfigError(f"--model {replacement}: write OLD=NEW, where OLD is one of {models}")
        try:
            found = tuple(
                Scenario(**msgspec.structs.asdict(one) | {"model": new})
                if one.model == old
                else one
                for one in found
            )
        except ValueError as error:
            raise ConfigError(f"--model {replacement}: {error}") from None
    return found


def retired_models(scenarios: Iterable[Scenario], today: date) -> Iterator[str]:
    """Yield a warning for each retired model in use: its calls will fail, and what to do."""
    uses = {(scenario.model, scenario.region) for scenario in scenarios}
    for retired in _RETIRED:
        regions = sorted(
            region
            for model, region in uses
            if model.endswith(retired.model) and region not in retired.still_in
        )
        if regions and today >= retired.on:
            yield (
                f"{retired.model} was retired in {', '.join(regions)} on {retired.on}:"
                f" its calls will fail. Replace it: --model {retired.model}={retired.instead}"
            )
