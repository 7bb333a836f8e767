"""What is wrong with a configuration file, in the words of the file.

msgspec says what it found at which place: ``Expected `str`, got `int` - at `$.sync.regions[1]```.
The tables and lists that a place can be in, and what a key may be, follow from the type of the
whole file, so that no section has to be listed here.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import msgspec

_PLACE = re.compile(r"(.*?)(?: - at `\$\.?(.*)`)?", re.DOTALL)
_UNKNOWN_KEY = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MISSING_KEY = re.compile(r"Object missing required field `(.*)`")
_WRONG_TYPE = re.compile(r"Expected `(.*?)(?: \| null)?`, got `(.*)`")
_WRONG_CHOICE = re.compile(r"Invalid enum value '(.*)'", re.DOTALL)
_TYPES = {
    "str": "text in quotes",
    "int": "a number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list, [...]",
    "object": "a table",
    "date": "a bare date",
    "datetime": "a time",
}
_QUOTES = "; a name with a dot, or with anything but A-Z a-z 0-9 _ -, must be in quotes"


class _Table(NamedTuple):
    """A table of the file. ``types``: the type of each key, by its name in the file.

    ``is_list``: there may be several, [[...]]. A table whose keys the user chooses has no types.
    """

    types: Mapping[str, Any]
    is_list: bool = False

    def advice(self, name: str) -> str:
        """Return how to write the table, for who wrote something else."""
        if self.is_list:
            return f"; begin each with [[{name}]]"
        return "" if self.types else _QUOTES


def _tables(type_: Any, name: str = "", *, is_list: bool = False) -> Iterator[tuple[str, _Table]]:
    """Yield the tables in a type, each with its name: the type's own is the first."""
    if get_origin(type_) is dict:
        yield name, _Table({})
    elif isinstance(type_, type) and issubclass(type_, msgspec.Struct):
        hints = get_type_hints(type_)
        keys = zip(type_.__struct_encode_fields__, type_.__struct_fields__, strict=True)
        types = {key: hints[field] for key, field in keys}
        yield name, _Table(types, is_list)
        for key, inner in types.items():
            yield from _tables(inner, f"{name}.{key}".strip("."))
    else:
        # One that may be missing, or a list of tables.
        for inner in get_args(type_):
            yield from _tables(inner, name, is_list=get_origin(type_) is tuple)


def explain(message: str, raw: Mapping[str, Any], file: type[msgspec.Struct]) -> str:
    """Turn msgspec's message about ``raw`` into one in the words of the file.

    ``file``: the type of the whole file.
    """
    text, place = _PLACE.fullmatch(message).groups("")  # type: ignore[union-attr]
    tables = dict(_tables(file))
    name = _table_of(place, tables)
    if found := _UNKNOWN_KEY.fullmatch(text):
        return _explain_unknown(found[1], place, tables)
    wrong = _WRONG_TYPE.fullmatch(text)
    where = _words(place, raw, int if wrong and wrong[1] == "int" else str)
    if found := _MISSING_KEY.fullmatch(text):
        return f"{where}: {found[1]} is missing"
    if wrong:
        wanted, got = map(_type_in_words, wrong.groups())
        if wanted == got:
            wanted, got = "a whole number", "a fraction"
        advice = tables[name].advice(name) if name == _path(place) else ""
        return f"{where} must be {wanted}, not {got}{advice}"
    if text.startswith("Invalid RFC3339"):
        return f"{where}: not a date; write one like 2026-11-01"
    if found := _WRONG_CHOICE.fullmatch(text):
        key = _path(place).removeprefix(name).strip(".")
        choices = ", ".join(_choices_in(tables[name].types[key]))
        return f"{where}: {found[1]!r} is not one of {choices}"
    own_key = text.partition(": ")[0] in tables[name].types
    return f"{where}{'.' if own_key else ': '}{text}" if where else text


def _path(place: str) -> str:
    """Return a place without the numbers of lists."""
    return re.sub(r"\[.*?\]", "", place)


def _table_of(place: str, tables: Mapping[str, _Table]) -> str:
    """Return the table that a place is, or is in; for a list of tables, the list's name."""
    path = _path(place)
    while path not in tables:
        path = path.rpartition(".")[0]
    return path


def _choices_in(type_: object) -> tuple[str, ...]:
    """Return the texts that a type, or what it holds, allows."""
    if get_origin(type_) is Literal:
        return get_args(type_)
    return tuple(choice for part in get_args(type_) for choice in _choices_in(part))


def _type_in_words(names: str) -> str:
    return " or ".join(dict.fromkeys(_TYPES.get(name, name) for name in names.split(" | ")))


def _explain_unknown(key: str, place: str, tables: Mapping[str, _Table]) -> str:
    known = tables[_table_of(place, tables)].types
    if close := difflib.get_close_matches(key, known, n=1, cutoff=0.65):
        advice = f"did you mean {close[0]}? "
    else:
        places = [_heading(name, table) for name, table in tables.items() if key in table.types]
        advice = f"it belongs {' or '.join(places)}. " if places else ""
    where = f"{_words(place, {})}: " if place else ""
    return f"{where}unknown key {key}; {advice}Known keys: {', '.join(known)}"


def _heading(name: str, table: _Table) -> str:
    if not name:
        return "above the first [table]"
    return f"under [[{name}]]" if table.is_list else f"under [{name}]"


def _words(place: str, raw: Mapping[str, Any], wanted: type = str) -> str:
    """Return a place counted from 1: ``sync.regions #2``.

    Of a table with keys of the user's own, msgspec names none (``[...]``): it is the first whose
    value is not of the type that is ``wanted``.
    """
    path = place.removesuffix("[...]")
    counted = re.sub(r"\[(\d+)\]", lambda found: f" #{int(found[1]) + 1}", path)
    if path == place:
        return counted
    table: Any = raw
    for key, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", path):
        table = table[key] if key else table[int(index)]
    wrong = next(key for key, value in table.items() if type(value) is not wanted)
    return f"{counted}.{wrong}"
