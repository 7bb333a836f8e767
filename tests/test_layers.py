"""Imports follow the flow of the data, never back or sideways."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ETL = Path(__file__).parents[1] / "etl"

# What each part of the package may import of the others.
ALLOWED = {
    "errors": set(),
    "resources": set(),
    "clock": {"errors"},
    "sources": {"clock", "errors", "normalise"},
    "normalise": {"errors"},
    "config": {"errors", "normalise"},
    "warehouse": {"errors", "normalise", "resources"},
    "decode": {"errors", "normalise", "sources"},
    "reading": {"decode", "errors", "sources", "warehouse"},
    "load": {"decode", "errors", "reading", "sources", "warehouse"},
    "sync": {
        "clock",
        "config",
        "decode",
        "errors",
        "normalise",
        "reading",
        "sources",
        "warehouse",
    },
    "demo": set(),
    "figures": set(),
    "spreadsheet": set(),
    "terminal": set(),
    "report": {"figures", "spreadsheet", "terminal"},
    "status": {"figures", "terminal"},
    "policy": set(),
    "findings": {"figures", "terminal"},
    "doctor": {
        *("clock", "config", "errors", "figures", "findings", "normalise", "sources"),
        "terminal",
    },
    "inspect": {
        *("decode", "errors", "figures", "normalise", "sources", "terminal", "warehouse"),
    },
    "lab": {
        *("clock", "errors", "figures", "load", "normalise", "policy", "sources", "terminal"),
        "warehouse",
    },
    "monitor": {"clock", "config", "errors", "sources", "warehouse"},
    "web": {
        "clock",
        "config",
        "errors",
        "figures",
        "resources",
        "spreadsheet",
        "terminal",
        "warehouse",
    },
    "cli": {
        "clock",
        "config",
        "decode",
        "demo",
        "doctor",
        "errors",
        "figures",
        "findings",
        "inspect",
        "lab",
        "load",
        "monitor",
        "normalise",
        "policy",
        "report",
        "resources",
        "sources",
        "status",
        "sync",
        "terminal",
        "warehouse",
        "web",
    },
    "__main__": {"cli"},
}

FILES = sorted(ETL.rglob("*.py"))


def imports(file: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def part(file: Path) -> str:
    return file.relative_to(ETL).parts[0].removesuffix(".py")


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ETL)))
def test_a_module_imports_only_what_comes_before_it(file: Path) -> None:
    if file == ETL / "__init__.py":
        return
    own = part(file)
    parts = {name.split(".")[1] for name in imports(file) if name.startswith("etl.")}
    assert parts - {own} <= ALLOWED[own]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ETL)))
def test_each_library_has_its_place(file: Path) -> None:
    top = {name.split(".")[0] for name in imports(file)}
    own = part(file)
    if own != "warehouse":
        assert "sqlite3" not in top
    if (
        own not in ("cli", "findings", "inspect", "report", "status", "terminal")
        and file != ETL / "lab" / "show.py"
    ):
        assert not {"click", "rich"} & top
    if own == "normalise":
        assert not {"sqlite_utils", "boto3", "time"} & top
    if own != "sources":
        assert "boto3" not in top
    if own not in ("config", "decode", "lab", "normalise", "sources"):
        assert "msgspec" not in top
