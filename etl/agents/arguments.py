"""What a tool takes: the JSON schema that an agent sees, and the reading of what it sends.

A schema says what is accepted; what an agent gets wrong, it is told in words that say what to send
instead. So arguments are read here, not by a validator of schemas.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Any

from etl.errors import DataError

MAX_NAMES = 100
MAX_NAME = 500
MAX_SQL = 20_000
MAX_TOP = 500
DEFAULT_TOP = 50

_MONTH = re.compile(r"[0-9]{4}-(?:0[1-9]|1[0-2])", re.ASCII)


@dataclass(frozen=True)
class Argument:
    """One argument: its name, its JSON schema, and the function that reads it.

    ``read`` takes the value and raises DataError, whose message goes on after the name.
    """

    name: str
    schema: Mapping[str, Any]
    read: Callable[[Any], Any]
    default: Any = None
    is_required: bool = False


def day(name: str, description: str) -> Argument:
    """Return an argument that is a UTC day."""
    schema = {"type": "string", "format": "date", "description": description}
    return Argument(name, schema, _read_day)


def names(name: str, description: str) -> Argument:
    """Return an argument that is a list of exact names."""
    schema = {
        "type": "array",
        "items": {"type": "string", "maxLength": MAX_NAME},
        "maxItems": MAX_NAMES,
        "description": description,
    }
    return Argument(name, schema, _read_names, ())


def months(name: str, description: str) -> Argument:
    """Return an argument that is a list of months."""
    schema = {
        "type": "array",
        "items": {"type": "string", "pattern": f"^{_MONTH.pattern}$"},
        "maxItems": MAX_NAMES,
        "description": description,
    }
    return Argument(name, schema, _read_months, ())


def choice(name: str, description: str, values: Sequence[str], default: str = "") -> Argument:
    """Return an argument that is one of some words; without a default it is required."""
    schema: dict[str, Any] = {"type": "string", "enum": list(values), "description": description}
    if default:
        schema["default"] = default
    return Argument(
        name, schema, partial(_read_choice, values), default or None, is_required=not default
    )


def text(name: str, description: str, most: int = MAX_NAME) -> Argument:
    """Return a required argument that is a text."""
    schema = {"type": "string", "minLength": 1, "maxLength": most, "description": description}
    return Argument(name, schema, partial(_read_text, most), is_required=True)


def flag(name: str, description: str) -> Argument:
    """Return an argument that is true or false."""
    return Argument(
        name, {"type": "boolean", "default": False, "description": description}, _read_flag, False
    )


def number(name: str, description: str, most: int, default: int | None = None) -> Argument:
    """Return an argument that is a whole number from 1."""
    schema = {"type": "integer", "minimum": 1, "maximum": most, "description": description}
    if default is not None:
        schema["default"] = default
    return Argument(name, schema, partial(_read_number, most), default)


def schema_of(arguments: Sequence[Argument]) -> dict[str, Any]:
    """Return the JSON schema of all arguments of a tool."""
    return {
        "type": "object",
        "properties": {one.name: dict(one.schema) for one in arguments},
        "required": [one.name for one in arguments if one.is_required],
        "additionalProperties": False,
    }


def read_arguments(arguments: Sequence[Argument], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the value of every argument. Raises DataError that says what to send instead."""
    known = {one.name for one in arguments}
    if unknown := sorted(set(given) - known):
        raise DataError(
            f"{_short(unknown[0])} is no argument of this tool: it takes"
            f" {', '.join(one.name for one in arguments) or 'none'}"
        )
    values = {}
    for one in arguments:
        value = given.get(one.name)
        if value is None and one.is_required:
            raise DataError(f"{one.name} is missing: {one.schema['description']}")
        try:
            values[one.name] = one.default if value is None else one.read(value)
        except DataError as error:
            raise DataError(f"{one.name}: {error}") from None
    if values.get("since") and values.get("until") and values["since"] > values["until"]:
        raise DataError("since is after until: exchange them")
    return values


def _short(value: Any) -> str:
    """Return a value for a message."""
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def _read_day(value: Any) -> str:
    try:
        found = date.fromisoformat(value)
    except (TypeError, ValueError):
        found = date.min
    # Not the other forms that Python reads.
    if found.year < 2000 or found.isoformat() != value:
        raise DataError(f"{_short(value)} is not a day; write it like 2026-09-01")
    return found.isoformat()


def _read_names(value: Any) -> tuple[str, ...]:
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise DataError('send a list of names, ["one", "another"]')
    if len(found) > MAX_NAMES or any(len(name) > MAX_NAME for name in found):
        raise DataError(f"at most {MAX_NAMES} names of {MAX_NAME} characters; choose fewer")
    return tuple(dict.fromkeys(found))


def _read_months(value: Any) -> tuple[str, ...]:
    found = _read_names(value)
    for month in found:
        if not _MONTH.fullmatch(month):
            raise DataError(f"{_short(month)} is not a month; write it like 2026-10")
    return found


def _read_choice(values: Sequence[str], value: Any) -> str:
    if value not in values:
        raise DataError(f"{_short(value)} is not one of {', '.join(values)}")
    return str(value)


def _read_text(most: int, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"send a text, not {_short(value)}")
    if len(value) > most:
        raise DataError(f"{len(value):,} characters; at most {most:,}")
    return value.strip()


def _read_flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise DataError(f"send true or false, not {_short(value)}")
    return value


def _read_number(most: int, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise DataError(f"send a whole number from 1 to {most:,}, not {_short(value)}")
    return value


TOP = number("top", "The most rows of each table; the answer says how many more there are.",
             MAX_TOP, DEFAULT_TOP)  # fmt: skip
DAYS = (
    day("since", "First day, UTC, YYYY-MM-DD. Left out: everything loaded."),
    day("until", "Last day, UTC, included, YYYY-MM-DD. Left out: everything loaded."),
)
PLACES = (
    names("regions", "Only these AWS regions."),
    names("models", "Only these models, by any of their ids."),
)
FILTERS = (
    *DAYS,
    *PLACES,
    names("users", "Only these users, by their exact names (tool list_names)."),
    names("applications", "Only these applications, by their exact names."),
    names("teams", "Only these teams, by their exact names."),
)
