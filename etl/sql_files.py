"""The texts of ``sql/``; what several files share is written once, as a macro in ``sql/macros``.

The files are Jinja templates, like dbt's. A macro is called by its file and name, without an
import: ``{{ money.dollars('cost_picodollars') }}``. Its output is indented like the line it is on,
so a composed text reads as if written by hand: SQLite stores it as the view's definition, comments
included. An unknown name is an error, never an empty text. ``token_kinds`` is the module
``etl.normalise.token_kinds``: the columns of a kind follow from its table.

Composing takes longer than a report, so the texts are cached where Python keeps its compiled
modules, and composed again when a file changes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib.util import cache_from_source
from pathlib import Path

from etl import resources
from etl.normalise import token_kinds

_MACROS = "macros"
_INSERTION = re.compile(r"^( *)([^{\n]*)\{\{ (.+?) \}\}", re.MULTILINE)


class SqlTextError(Exception):
    """A file of ``sql/`` cannot be composed: its author has to fix it."""


def sql_text(name: str) -> str:
    """Return the text for SQLite, by its path without suffix: ``marts/user_costs``."""
    return _texts(resources.SQL)[name]


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
    """Return the question at the head of a text, and its notes: grain, units, caveats.

    Anything after a blank line is for readers of the SQL.
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
    mark = _hash_of(sources)
    kept = Path(cache_from_source(str(folder / "composed.py"))).with_suffix(".json")
    texts = _read_cache(kept, mark)
    if texts is None:
        texts = compose(sources)
        _write_cache(kept, mark, texts)
    return texts


def _hash_of(sources: Mapping[str, str]) -> str:
    """Return a hash of the files and of the code that composes them."""
    modules = [Path(file).read_text(encoding="utf-8") for file in (__file__, token_kinds.__file__)]
    content = json.dumps([sources, modules])
    return hashlib.sha256(content.encode()).hexdigest()


def _read_cache(kept: Path, mark: str) -> dict[str, str] | None:
    with suppress(OSError, ValueError):
        stored = json.loads(kept.read_text(encoding="utf-8"))
        if isinstance(stored, dict) and stored.get("mark") == mark:
            texts: dict[str, str] = stored["texts"]
            return texts
    return None


def _write_cache(kept: Path, mark: str, texts: Mapping[str, str]) -> None:
    """Cache the texts, completely or not at all; if that is impossible, do without."""
    if sys.dont_write_bytecode:
        return
    with suppress(OSError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        new = kept.with_suffix(f".{os.getpid()}")
        new.write_text(json.dumps({"mark": mark, "texts": texts}), encoding="utf-8")
        new.replace(kept)


def compose(sources: Mapping[str, str]) -> dict[str, str]:
    """Return every text except the macros. Raises SqlTextError, naming the file."""
    # Importing it takes longer than making a report.
    from jinja2 import DictLoader, Environment, StrictUndefined, TemplateError

    environment = Environment(
        loader=DictLoader({name: _indented(text) for name, text in sources.items()}),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 SQL, from this package's own files
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals["token_kinds"] = token_kinds
    texts = {}
    for name in sorted(sources, key=lambda name: not _in(_MACROS, name)):
        try:
            template = environment.get_template(name)
            if _in(_MACROS, name):
                environment.globals[Path(name).name] = template.module
            else:
                texts[name] = template.render()
        # TypeError: a macro is called with arguments it does not take.
        except (TemplateError, TypeError) as error:
            message = f"sql/{name}.sql: {error}; the macros are in sql/{_MACROS}"
            raise SqlTextError(message) from error
    return texts


def _indented(source: str) -> str:
    """Return a template that indents the first insertion on each line."""
    return _INSERTION.sub(
        lambda found: (
            f"{found[1]}{found[2]}{{{{ ({found[3]}) | trim | indent({len(found[1])}) }}}}"
        ),
        source,
    )
