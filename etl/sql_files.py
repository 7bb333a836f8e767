"""Compose the SQL texts in ``sql/``. Code that several files share is a macro in ``sql/macros``.

The files are Jinja templates, like dbt's. A macro is called by its file and name, without an
import: ``{{ money.dollars('cost_picodollars') }}``. Its output gets the indentation of the line, so
a composed text reads like handwritten SQL: SQLite stores it, with its comments, as the view's
definition. An undefined name is an error, never empty text. ``token_kinds`` is the module
``etl.normalise.token_kinds``, which defines the columns of each kind of token.

Composing takes longer than a report, so the texts are cached next to Python's compiled modules and
composed again when a file changes.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib.util import cache_from_source
from pathlib import Path

from etl import resources
from etl.normalise import token_kinds

_MACROS = "macros"
_INSERTION = re.compile(r"^( *)([^{\n]*)\{\{ (.+?) \}\}", re.MULTILINE)


class SqlTextError(Exception):
    """A file in ``sql/`` cannot be composed. Fix the file."""


def sql_text(name: str) -> str:
    """Return a composed text by its path without suffix, such as ``marts/user_costs``."""
    texts = _texts(resources.SQL)
    if name not in texts:
        raise SqlTextError(f"there is no sql/{name}.sql")
    return texts[name]


def sql_text_with(name: str, macros: Sequence[str], **variables: object) -> str:
    """Return a text composed with other variables than the stored one.

    ``macros``: the files of macros that it uses. Raises SqlTextError as ``compose`` does.
    """
    names = (name, *(f"{_MACROS}/{one}" for one in macros))
    sources = {one: (resources.SQL / f"{one}.sql").read_text(encoding="utf-8") for one in names}
    return compose(sources, variables)[name]


def sql_names(folder: str) -> list[str]:
    """Return the names of a folder's files, sorted and without suffix."""
    return [name.removeprefix(f"{folder}/") for name in _texts(resources.SQL) if _in(folder, name)]


def split_head(text: str) -> tuple[list[str], str]:
    """Return the lines of the comment at the head of a text, without their ``--``, and the rest."""
    head, lines = [], text.splitlines()
    while lines and lines[0].startswith("--"):
        head.append(lines.pop(0).removeprefix("--"))
    return head, "\n".join(lines).strip()


def sql_question(name: str) -> tuple[str, str]:
    """Return the question at the head of a text, and the rest of it: grain, units, caveats.

    Comments after a blank line are left out: they are for readers of the SQL.
    """
    head, _ = split_head(sql_text(name))
    question, _, rest = " ".join(map(str.strip, head)).partition("? ")
    return f"{question.removesuffix('?')}?", rest


def _in(folder: str, name: str) -> bool:
    return name.rpartition("/")[0] == folder


@cache
def _texts(folder: Path) -> Mapping[str, str]:
    sources = {
        str(file.relative_to(folder).with_suffix("")): file.read_text(encoding="utf-8")
        for file in sorted(folder.rglob("*.sql"))
    }
    version = _version(sources)
    file = Path(cache_from_source(str(folder / "composed.py"))).with_suffix(".json")
    texts = _cached(file, version)
    if texts is None:
        texts = compose(sources)
        _write_cache(file, version, texts)
    return texts


def _version(sources: Mapping[str, str]) -> str:
    """Return a hash of all files and of the modules that compose them."""
    modules = [inspect.getsource(module) for module in (sys.modules[__name__], token_kinds)]
    content = json.dumps([sources, modules])
    return hashlib.sha256(content.encode()).hexdigest()


def _cached(file: Path, version: str) -> dict[str, str] | None:
    with suppress(OSError, ValueError):
        stored = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(stored, dict) and stored.get("version") == version:
            texts: dict[str, str] = stored["texts"]
            return texts
    return None


# Composing takes most of the time of a report (DECISIONS 138, 152).
def _write_cache(file: Path, version: str, texts: Mapping[str, str]) -> None:
    """Cache the texts atomically. Do without a cache where it cannot be written."""
    if sys.dont_write_bytecode:
        return
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        new = file.with_suffix(f".{os.getpid()}")
        new.write_text(json.dumps({"version": version, "texts": texts}), encoding="utf-8")
        new.replace(file)


def compose(
    sources: Mapping[str, str], variables: Mapping[str, object] | None = None
) -> dict[str, str]:
    """Return every text except macros. Raises SqlTextError, which names the file.

    ``variables``: names that the texts know besides ``token_kinds``.
    """
    # Importing it takes longer than a whole report.
    from jinja2 import DictLoader, Environment, StrictUndefined, TemplateError

    environment = Environment(
        loader=DictLoader({name: _indented(text) for name, text in sources.items()}),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 SQL, from this package's own files
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals |= {"token_kinds": token_kinds, **(variables or {})}
    texts = {}
    for name in sorted(sources, key=lambda name: not _in(_MACROS, name)):
        try:
            template = environment.get_template(name)
            if _in(_MACROS, name):
                environment.globals[Path(name).name] = template.module
            else:
                texts[name] = template.render()
        # TypeError: a macro is called with the wrong arguments.
        except (TemplateError, TypeError) as error:
            message = f"sql/{name}.sql: {error}; the macros are in sql/{_MACROS}"
            raise SqlTextError(message) from error
    return texts


def _indented(source: str) -> str:
    """Return a template that indents the first insertion on each line like the line."""
    return _INSERTION.sub(
        lambda found: (
            f"{found[1]}{found[2]}{{{{ ({found[3]}) | trim | indent({len(found[1])}) }}}}"
        ),
        source,
    )
