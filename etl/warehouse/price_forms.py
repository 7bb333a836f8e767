"""The three forms of a file of rates: CSV, YAML and TOML. Each gives rows of text with their lines.

A value is kept as it is written, so a price never passes through a floating-point number. YAML and
TOML have a list ``rates``, and may have ``defaults``, for what the rates have in common.
"""

from __future__ import annotations

import csv
import io
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from etl.errors import DataError
from etl.normalise.toml_depth import is_deep

Record = tuple[int, dict[str, str]]
_Reader = Callable[[str, Sequence[str]], Iterator[Record]]

_FORM = "docs/prices.md and `prices import --help` show the format"
_TOP = ("defaults", "rates")

# The document, its rates, a rate, and a value that is refused with a better message.
_MAX_DEPTH = 4

_FIRST_OF_YAML = re.compile(r"(?:---|(?:rates|defaults)\s*:)", re.MULTILINE)
_FIRST_OF_TOML = re.compile(r"\s*\[{1,2}\s*(?:rates|defaults)\s*\]")
_HEADING_OF_RATE = re.compile(r"""^[ \t]*\[\[[ \t]*(?:rates|"rates"|'rates')[ \t]*\]\]""")
_TOML_LINE = re.compile(r"\(at line (\d+), column \d+\)")


def read_records(
    file: Path, text: str, columns: Sequence[str], *, required: Sequence[str]
) -> Iterator[Record]:
    """Yield the line and the cells of each rate. Raises DataError if it is no table of rates.

    ``columns``: all that a rate may have; ``required``: those that a CSV file's heading must have.
    The form follows from the file's name, else its content.
    """
    yield from _reader(file, text, required)(text, columns)


def _reader(file: Path, text: str, required: Sequence[str]) -> _Reader:
    of_csv: _Reader = partial(read_csv, required=required)
    named: dict[str, _Reader] = {
        **{".csv": of_csv, ".toml": read_toml},
        **{".yaml": read_yaml, ".yml": read_yaml},
    }
    if reader := named.get(file.suffix.lower()):
        return reader
    lines = (line for line in text.splitlines() if line.strip() and not line.startswith("#"))
    first = next(lines, "")
    if _FIRST_OF_TOML.match(first):
        return read_toml
    return read_yaml if _FIRST_OF_YAML.match(first) else of_csv


def read_csv(text: str, columns: Sequence[str], required: Sequence[str] = ()) -> Iterator[Record]:
    """Yield the rows below a heading."""
    # With newline="", the csv module recognises the line endings of every system.
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        heading = [name.strip() for name in next(reader, [])]
        if missing := [name for name in required if name not in heading]:
            raise DataError(f"no column {', '.join(missing)}; {_FORM}")
        _check_keys("column", heading, columns)
        if len(heading) != len(set(heading)):
            raise DataError("a column appears twice")
        for cells in reader:
            if not cells or not any(map(str.strip, cells)):
                continue
            if len(cells) != len(heading):
                raise DataError(
                    f"{len(cells)} cells for {len(heading)} columns", line=reader.line_num
                )
            yield reader.line_num, dict(zip(heading, map(str.strip, cells), strict=True))
    except csv.Error as error:
        raise DataError(f"not valid CSV: {error}", line=reader.line_num) from None


def _check_keys(what: str, given: Sequence[str], known: Sequence[str], line: int = 0) -> None:
    if unknown := [repr(name[:80]) for name in given if name not in known]:
        raise DataError(f"unknown {what} {', '.join(unknown[:5])}; {_FORM}", line=line)


def read_yaml(text: str, columns: Sequence[str]) -> Iterator[Record]:
    """Yield the rates of a YAML document. A value is its text: neither dates nor numbers are read.

    Aliases are refused, because a few of them can stand for billions of values.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        _check_yaml(yaml.parse(text, Loader=loader))
        root = yaml.compose(text, Loader=loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or "a character that YAML does not allow"
        raise DataError(f"not valid YAML: {problem}", line=mark.line + 1 if mark else 0) from None
    top = _mapping_of(root, "the document")
    _check_keys("key", list(top), _TOP, _line(root) if root else 0)
    defaults = _cells_of(top["defaults"], columns) if "defaults" in top else {}
    rates = top.get("rates")
    if not isinstance(rates, yaml.SequenceNode):
        raise DataError(f"no list of rates; {_FORM}", line=_line(rates) if rates else 0)
    for rate in rates.value:
        yield _line(rate), defaults | _cells_of(rate, columns)


def _check_yaml(events: Iterator[Any]) -> None:
    depth = 0
    for event in events:
        if isinstance(event, yaml.AliasEvent):
            raise DataError(
                "an alias (*name) is not allowed; put what rates have in common under defaults",
                line=event.start_mark.line + 1,
            )
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH:
            raise DataError(f"nested too deeply; {_FORM}", line=event.start_mark.line + 1)


def _line(node: Any) -> int:
    return int(node.start_mark.line) + 1


def _mapping_of(node: Any, what: str) -> dict[str, Any]:
    if not isinstance(node, yaml.MappingNode):
        raise DataError(f"{what} has no keys; {_FORM}", line=_line(node) if node else 0)
    found: dict[str, Any] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise DataError(f"a key that is no text; {_FORM}", line=_line(key))
        if key.value in found:
            raise DataError(f"the key {key.value[:80]!r} appears twice", line=_line(key))
        found[key.value] = value
    return found


def _cells_of(node: Any, columns: Sequence[str]) -> dict[str, str]:
    values = _mapping_of(node, "a rate")
    _check_keys("key", list(values), columns, _line(node))
    for key, value in values.items():
        if not isinstance(value, yaml.ScalarNode):
            raise DataError(f"{key} is not one value", line=_line(value))
    return {
        key: "" if value.tag.endswith(":null") else str(value.value).strip()
        for key, value in values.items()
    }


def read_toml(text: str, columns: Sequence[str]) -> Iterator[Record]:
    """Yield the rates of a TOML file. A number with decimals is kept as it is written."""
    # Line ends as in a text file.
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if is_deep(text):
        raise DataError(f"nested too deeply; {_FORM}")
    try:
        document = tomllib.loads(text, parse_float=str)
    except tomllib.TOMLDecodeError as error:
        found = _TOML_LINE.search(str(error))
        line = int(found[1]) if found else text.count("\n") + 1
        problem = _TOML_LINE.sub("", str(error)).strip()
        raise DataError(f"not valid TOML: {problem}", line=line) from None
    except (RecursionError, ValueError):
        raise DataError(f"nested too deeply, or a number is too long; {_FORM}") from None
    _check_keys("key", list(document), _TOP)
    lines = [n for n, line in enumerate(text.split("\n"), 1) if _HEADING_OF_RATE.match(line)]
    rates = document.get("rates")
    if not isinstance(rates, list) or len(rates) != len(lines):
        raise DataError(f"begin each rate with a line [[rates]]; {_FORM}")
    defaults = _texts_of(document.get("defaults", {}), columns, 0)
    for line, rate in zip(lines, rates, strict=True):
        yield line, defaults | _texts_of(rate, columns, line)


def _texts_of(table: Any, columns: Sequence[str], line: int) -> dict[str, str]:
    if not isinstance(table, Mapping):
        raise DataError(f"defaults is not a table; {_FORM}", line=line)
    _check_keys("key", list(table), columns, line)
    return {key: _text_of(key, value, line) for key, value in table.items()}


def _text_of(key: str, value: object, line: int) -> str:
    if isinstance(value, bool | datetime) or not isinstance(value, str | int | date):
        raise DataError(f"{key} is neither text, a number nor a date", line=line)
    return str(value).strip()
