"""Imports follow the flow of the data, never back or sideways."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

ETL = Path(__file__).parents[1] / "etl"
TESTS = Path(__file__).parent

# What each part of the package may import of the others.
ALLOWED = {
    "errors": set(),
    "resources": set(),
    "sql_files": {"normalise", "resources"},
    "registry": set(),
    "times": set(),
    "totals_csv": set(),
    "clock": {"errors"},
    "sources": {"clock", "errors", "totals_csv"},
    "normalise": {"errors", "times", "totals_csv"},
    "config": {"errors", "normalise", "registry"},
    "warehouse": {"errors", "normalise", "resources", "sql_files", "times"},
    "decode": {"errors", "normalise", "sources"},
    "reading": {"decode", "errors", "normalise", "sources", "warehouse"},
    "load": {"decode", "errors", "normalise", "reading", "sources", "warehouse"},
    "sync": {
        "clock",
        "decode",
        "errors",
        "normalise",
        "reading",
        "registry",
        "sources",
        "times",
        "warehouse",
    },
    "demo": set(),
    "figures": set(),
    "output": {"errors"},
    "spreadsheet": set(),
    "terminal": {"output"},
    "report": {"figures", "normalise", "output", "spreadsheet", "terminal"},
    "status": {"figures", "output", "registry", "terminal", "times"},
    "policy": {"registry"},
    "findings": {"figures", "output", "terminal"},
    "doctor": {
        *("clock", "config", "errors", "figures", "findings", "normalise", "sources"),
        "terminal",
    },
    "inspect": {
        *("decode", "errors", "figures", "normalise", "output", "sources", "terminal"),
        "warehouse",
    },
    "lab": {
        *("clock", "errors", "figures", "load", "normalise", "output", "policy", "sources"),
        *("terminal", "times", "warehouse"),
    },
    "monitor": {"clock", "config", "errors", "sources", "times", "warehouse"},
    "web": {
        "clock",
        "config",
        "errors",
        "figures",
        "normalise",
        "resources",
        "spreadsheet",
        "sql_files",
        "terminal",
        "times",
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
        "output",
        "policy",
        "registry",
        "report",
        "resources",
        "sources",
        "status",
        "sync",
        "terminal",
        "times",
        "warehouse",
        "web",
    },
    "__main__": {"cli", "errors"},
}

FILES = sorted(ETL.rglob("*.py"))


@functools.cache
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


def imported(file: Path) -> set[str]:
    """Return the other parts of the package that a module imports."""
    parts = {name.split(".")[1] for name in imports(file) if name.startswith("etl.")}
    return parts - {part(file)}


def test_a_module_imports_only_what_comes_before_it() -> None:
    assert len(FILES) > 100
    modules = [file for file in FILES if file != ETL / "__init__.py"]
    wrong = {str(file): imported(file) - ALLOWED[part(file)] for file in modules}
    assert {file: parts for file, parts in wrong.items() if parts} == {}


def misplaced(file: Path) -> set[str]:
    """Return the libraries that a module imports and that have their place elsewhere."""
    own, banned = part(file), set()
    if own != "warehouse":
        banned |= {"sqlite3"}
    if (
        own not in ("cli", "findings", "inspect", "report", "status", "terminal")
        and file != ETL / "lab" / "show.py"
    ):
        banned |= {"click", "rich"}
    if own == "normalise":
        banned |= {"sqlite_utils", "time"}
    if own != "sources":
        banned |= {"boto3"}
    if own not in ("config", "decode", "lab", "normalise", "sources"):
        banned |= {"msgspec"}
    return banned & {name.split(".")[0] for name in imports(file)}


def test_each_library_has_its_place() -> None:
    wrong = {str(file): misplaced(file) for file in FILES}
    assert {file: libraries for file, libraries in wrong.items() if libraries} == {}


def test_no_module_of_tests_is_imported_by_another() -> None:
    """What they share has a file with a name that says what it holds, not a test's."""
    found = {str(file): imports(file) for file in sorted(TESTS.rglob("*.py"))}
    assert len(found) > 100
    wrong = {
        file: {name for name in names if "test_" in name and name.startswith("tests.")}
        for file, names in found.items()
    }
    assert {file: names for file, names in wrong.items() if names} == {}


def test_a_moment_is_written_in_one_place() -> None:
    form = "%Y-%m-%dT%H:%M:%S" + "Z"
    assert [file.name for file in FILES if form in file.read_text()] == ["times.py"]
