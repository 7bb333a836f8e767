"""Imports follow the flow of the data, never back or sideways."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

from etl.cli.main import COMMANDS

ETL = Path(__file__).parents[1] / "etl"
TESTS = Path(__file__).parent

# What each part of the package may import from the others.
ALLOWED = {
    "errors": set(),
    "metadata": {"resources"},
    "resources": set(),
    "child_process": set(),
    "sql_files": {"normalise", "resources"},
    "registry": set(),
    "times": set(),
    "totals_csv": set(),
    "clock": {"errors"},
    "sources": {"clock", "errors", "totals_csv", "times"},
    "normalise": {"errors", "resources", "times", "totals_csv"},
    "config_errors": set(),
    "config": {"config_errors", "errors", "normalise", "registry"},
    "warehouse": {"child_process", "errors", "normalise", "resources", "sql_files", "times"},
    "load.decoder": {"child_process", "errors", "normalise", "sources"},
    "load.batches": {"errors", "load.decoder", "normalise", "sources", "warehouse"},
    "load.bills": {"errors", "load.decoder", "normalise", "sources", "times", "warehouse"},
    "load.run": {
        *("errors", "load.batches", "load.bills", "load.decoder", "normalise", "sources", "times"),
        "warehouse",
    },
    "rollup": {
        *("clock", "errors", "load.batches", "load.decoder", "load.run", "normalise", "sources"),
        *("sql_files", "times", "warehouse"),
    },
    "rollup.submit": {"__main__"},
    "sync": {
        *("clock", "errors", "load.batches", "load.bills", "load.decoder", "normalise"),
        *("registry", "sources", "times", "warehouse"),
    },
    "calibrate": {"estimate", "warehouse"},
    "export": {"errors", "normalise", "times", "warehouse"},
    "demo": set(),
    "estimate": set(),
    "forecast.budgets": {"forecast.model", "warehouse"},
    "forecast.model": set(),
    "forecast.renew": {"forecast.model", "warehouse"},
    "policy": {"registry"},
    "show.numbers": {"normalise"},
    "show.caches": {"show.numbers"},
    "show.errors": set(),
    "show.unusual": {"show.numbers"},
    "show.escaping": {"errors"},
    "show.spreadsheet": set(),
    "show.terminal": {"show.escaping"},
    "show.tables": {"show.terminal"},
    "show.export": {"show.escaping", "show.numbers"},
    "show.findings": {"show.escaping", "show.numbers", "show.terminal"},
    "show.status": {"registry", "show.escaping", "show.numbers", "times"},
    "show.status_table": {"show.numbers", "show.status", "show.tables", "show.terminal"},
    "show.report": {
        *("errors", "normalise", "show.escaping", "show.numbers", "show.spreadsheet"),
        *("show.tables", "show.terminal", "warehouse"),
    },
    "show.movers": {
        "show.escaping",
        "show.numbers",
        "show.spreadsheet",
        "show.tables",
        "show.terminal",
    },
    "show.price_sync": {"normalise", "show.numbers", "show.terminal", "warehouse"},
    "price_check": {"errors", "normalise", "resources", "warehouse"},
    "show.price_check": {"price_check", "show.escaping", "show.numbers", "show.terminal"},
    "show.prices": {
        "show.escaping",
        "show.numbers",
        "show.spreadsheet",
        "show.tables",
        "show.terminal",
    },
    "show.comparisons": {"show.numbers"},
    "show.quotas": {
        *("show.comparisons", "show.escaping", "show.numbers", "show.spreadsheet"),
        "show.tables",
        "show.terminal",
    },
    "show.savings": {
        *("show.comparisons", "show.escaping", "show.numbers", "show.spreadsheet"),
        "show.tables",
        "show.terminal",
    },
    "show.reconcile": {
        *(
            "show.escaping",
            "show.numbers",
            "show.spreadsheet",
            "show.tables",
            "show.terminal",
            "warehouse",
        ),
    },
    "doctor": {
        *("clock", "config", "errors", "normalise", "show.findings", "show.numbers"),
        *("show.terminal", "sources"),
    },
    "inspect": {
        *("errors", "load.decoder", "normalise", "show.escaping", "show.numbers"),
        *("show.terminal", "sources", "warehouse"),
    },
    "lab": {
        *("clock", "errors", "load.run", "normalise", "policy", "show.escaping", "show.numbers"),
        *("show.tables", "show.terminal", "sources", "times", "warehouse"),
    },
    "monitor": {
        *("clock", "config", "errors", "show.escaping", "show.numbers", "sources", "times"),
        "warehouse",
    },
    "agents": {
        "show.budgets",
        *("clock", "errors", "inspect", "metadata", "resources", "show.escaping", "show.numbers"),
        *("show.movers", "show.reconcile", "show.report", "show.status", "sql_files", "times"),
        "warehouse",
    },
    "show.deliveries": {"show.numbers", "show.tables", "show.terminal"},
    "show.budgets": {
        *(
            "show.escaping",
            "show.numbers",
            "show.spreadsheet",
            "show.tables",
            "show.terminal",
            "warehouse",
        ),
    },
    "notify": {
        *("clock", "config", "errors", "normalise", "show.budgets", "show.escaping"),
        *("show.numbers", "show.unusual", "sources", "times", "warehouse"),
    },
    "web": {
        *("agents", "metadata", "show.caches", "show.comparisons", "show.errors", "show.unusual"),
        *("child_process", "clock", "config", "errors", "normalise", "resources", "show.budgets"),
        *("show.escaping", "show.numbers", "show.spreadsheet", "show.terminal", "sql_files"),
        *("times", "warehouse"),
    },
    "cli": {
        *(
            "agents",
            "calibrate",
            "clock",
            "config",
            "demo",
            "doctor",
            "errors",
            "export",
            "forecast.budgets",
            "forecast.renew",
            "inspect",
            "lab",
            "load.decoder",
        ),
        *("load.run", "monitor", "normalise", "notify", "policy", "price_check", "registry"),
        *("resources", "rollup", "show.budgets", "show.deliveries", "show.escaping"),
        "show.export",
        *("show.findings", "show.movers", "show.numbers", "show.price_check"),
        *("show.price_sync", "show.prices", "show.reconcile", "show.report"),
        *(
            "show.quotas",
            "show.savings",
            "show.status",
            "show.status_table",
            "show.terminal",
            "sources",
            "sync",
            "times",
            "warehouse",
            "web",
        ),
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


def part_of(module: str) -> str:
    """Return the part that a module below ``etl.`` belongs to: its folder, or a listed part of it."""
    first, second = (*module.split("."), "")[:2]
    inner = f"{first}.{second}"
    return inner if inner in ALLOWED else first


def part(file: Path) -> str:
    return part_of(".".join(file.relative_to(ETL).with_suffix("").parts))


def imported(file: Path) -> set[str]:
    """Return the other parts of the package that a module imports."""
    names = {name.removeprefix("etl.") for name in imports(file) if name.startswith("etl.")}
    return {part_of(name) for name in names} - {part(file)}


def test_a_module_imports_only_what_comes_before_it() -> None:
    assert len(FILES) > 100
    modules = [file for file in FILES if file.name != "__init__.py" or part(file) in ALLOWED]
    wrong = {str(file): imported(file) - ALLOWED[part(file)] for file in modules}
    assert {file: parts for file, parts in wrong.items() if parts} == {}


def misplaced(file: Path) -> set[str]:
    """Return the libraries that a module imports but that belong elsewhere."""
    own, banned = part(file), set()
    if own != "warehouse":
        banned |= {"sqlite3"}
    if (
        own not in ("cli", "inspect")
        and not own.startswith("show.")
        and file != ETL / "lab" / "show.py"
    ):
        banned |= {"click", "rich"}
    if own == "normalise":
        banned |= {"sqlite_utils", "time"}
    if own not in ("calibrate", "estimate"):
        banned |= {"numpy"}
    if own != "sources":
        banned |= {"boto3", "botocore", "urllib3"}
    own_structs = ("calibrate", "config", "config_errors", "lab", "load.decoder", "normalise")
    if own not in (*own_structs, "sources"):
        banned |= {"msgspec"}
    # etl.sources.boto provides them to the sources only.
    names = {name.removeprefix("etl.sources.boto.") for name in imports(file)}
    return banned & {name.split(".")[0] for name in names}


def test_each_library_has_its_place() -> None:
    wrong = {str(file): misplaced(file) for file in FILES}
    assert {file: libraries for file, libraries in wrong.items() if libraries} == {}


def test_no_command_imports_another() -> None:
    """Shared code belongs below the commands: no command waits for what another needs."""
    commands = {f"etl.cli.{name}" for name in COMMANDS}
    assert len(commands) > 10
    wrong = {
        str(file): {name for name in imports(file) if ".".join(name.split(".")[:3]) in commands}
        for file in FILES
    }
    assert {file: names for file, names in wrong.items() if names} == {}


def test_commands_import_at_the_top_of_their_files() -> None:
    """Late imports happen in one place: commands in the group, boto3 in its own module."""
    found = {
        file.name: {node.lineno for function in functions(file) for node in inner_imports(function)}
        for file in (ETL / "cli").rglob("*.py")
    }
    # Both give a reason: Datasette changes tracebacks, and only a terminal has a progress bar.
    assert {name for name, lines in found.items() if lines} == {"serving.py", "loading.py"}


def functions(file: Path) -> list[ast.AST]:
    tree = ast.parse(file.read_text())
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


def inner_imports(function: ast.AST) -> list[ast.Import | ast.ImportFrom]:
    return [node for node in ast.walk(function) if isinstance(node, (ast.Import, ast.ImportFrom))]


def test_no_module_of_tests_is_imported_by_another() -> None:
    """Shared code has a file named for what it contains, not a test file."""
    files = sorted(TESTS.rglob("*.py"))
    assert len(files) > 100
    wrong = re.compile(r"^\s*(?:from|import) tests\b.*\btest_.*", re.MULTILINE)
    found = {str(file): wrong.findall(file.read_text()) for file in files}
    assert {file: lines for file, lines in found.items() if lines} == {}


def test_a_moment_is_written_in_one_place() -> None:
    form = "%Y-%m-%dT%H:%M:%S" + "Z"
    assert [file.name for file in FILES if form in file.read_text()] == ["times.py"]
