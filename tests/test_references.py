"""A module or file that a text names exists: renaming one leaves no pointer to nowhere."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from etl.cli.main import COMMANDS

ROOT = Path(__file__).parents[1]
ETL = ROOT / "etl"

_MODULE = re.compile(r'(?<![\w/."])etl(?:\.[a-z][a-z_0-9]*)+')
_FILE = re.compile(
    r"(?<![\w/])(?:etl|tests|sql|scripts|bench|examples|docs)/[\w/.-]*\w\.(?:py|sql|yml|md|csv|toml|js|css)\b"
)
_LINK = re.compile(r"\[`?([\w/]+\.(?:py|md|toml|csv|sql))`?\]\(([^)#:]+)\)")
_QUOTED = re.compile(r"``([a-z_]+)``")


def texts() -> Iterator[tuple[str, str]]:
    """Yield what is in the repository, file by file."""
    listed = subprocess.run(
        ["git", "ls-files", "*.py", "*.md", "*.sql", "*.toml", "Makefile"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.split():
        yield name, (ROOT / name).read_text(encoding="utf-8")


def is_module(name: str) -> bool:
    """Say whether a dotted name is a module, or something that one defines."""
    path = ROOT.joinpath(*name.split("."))
    if path.is_dir() or path.with_suffix(".py").is_file():
        return True
    parent = path.parent
    source = parent / "__init__.py" if parent.is_dir() else parent.with_suffix(".py")
    return source.is_file() and re.search(rf"\b{path.name}\b", source.read_text()) is not None


def test_every_module_that_is_named_exists() -> None:
    found = {(file, name[0]) for file, text in texts() for name in _MODULE.finditer(text)}
    assert len(found) > 500
    assert sorted(one for one in found if not is_module(one[1])) == []


def test_every_file_that_is_named_exists() -> None:
    found = {(file, name[0]) for file, text in texts() for name in _FILE.finditer(text)}
    assert len(found) > 50
    # Files that are there only in the wheel, and the recipes' stand-in for a name.
    missing = {one for one in found if not (ROOT / one[1]).is_file() and "NAME" not in one[1]}
    in_a_wheel = ["etl/" + name for name in ("metadata.yml", "docs/numbers.md")]
    speaking_of_it = ("pyproject.toml", "scripts/pack_environment.py")
    missing -= {(file, name) for file in speaking_of_it for name in in_a_wheel}
    assert missing == set()


def test_a_link_with_the_name_of_a_file_leads_to_it() -> None:
    found = [(file, *link) for file, text in texts() for link in _LINK.findall(text)]
    assert found
    wrong = [one for one in found if Path(one[1]).name != Path(one[2]).name]
    assert wrong == []


def test_a_package_names_modules_that_it_has() -> None:
    parts = {path.stem for path in ETL.iterdir()} | {*COMMANDS}
    tables = set(
        re.findall(
            r"create table (?:if not exists )?(\w+)", (ETL / "warehouse" / "schema.py").read_text()
        )
    )
    wrong = {}
    for file in ETL.rglob("__init__.py"):
        words = set(_QUOTED.findall(ast.get_docstring(ast.parse(file.read_text())) or ""))
        own = {path.stem for path in file.parent.rglob("*")}
        if unknown := words - own - parts - tables:
            wrong[file.parent.name] = unknown
    assert wrong == {}
