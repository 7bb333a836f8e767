"""Update the generated parts of README and docs/, and ``metadata.yml``.

    python -m scripts.update_docs

Hand-written pages quote the program's output, such as a report or the IAM policy, in the code block
after a marker comment. ``docs/commands.md`` (help), ``docs/data.md`` (views) and ``metadata.yml``
(``scripts.datasette_metadata``) are generated in full. A test fails if anything is out of date.
"""

from __future__ import annotations

import io
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import click
from click.testing import CliRunner
from rich.console import Console

from etl import resources
from etl.calibrate.run import calibrate_all
from etl.cli import main as program
from etl.demo import write_demo_logs
from etl.load.run import load_files
from etl.show.report import build_report, print_table
from etl.sql_files import SqlTextError, sql_names, sql_question
from etl.warehouse.database import open_warehouse
from etl.warehouse.read.reports import Filters
from scripts.datasette_metadata import Meanings, MetadataError, metadata_text, read, schema

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
DOCS = ROOT / "docs"

# The last day of the demo in the README. Any day would do.
DEMO_NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)

_QUOTE = re.compile(r"(?<=<!-- (?P<name>report|policy) -->\n\n)```.*?```", re.DOTALL)

_COMMANDS = """\
# Commands

Every command with its `--help`. `make docs` generates this page.
"""

_DATA = """\
# Data: every view and column

The warehouse is one SQLite file. Open the views in the first part; the `int_` and `stg_` views are
their building blocks. [Columns](#columns) says what each column means. A view lists the columns
that mean something else there. `make docs` generates this page from the files in `sql/`.
"""

# Folders of sql/, with headings for their views.
_LAYERS = {"marts": "Views to open", "intermediate": "Building blocks", "staging": "Stored sums"}


def pages() -> list[Path]:
    """Return every page for users and developers, the README first."""
    return [README, *sorted(DOCS.glob("*.md"))]


def updated() -> dict[Path, str]:
    """Return the up-to-date text of every page and of ``metadata.yml``. Raises MetadataError."""
    whole = {
        resources.METADATA: metadata_text,
        DOCS / "commands.md": _commands,
        DOCS / "data.md": _data,
    }
    return {page: write() for page, write in whole.items()} | {
        page: _requoted(page.read_text(encoding="utf-8")) for page in pages() if page not in whole
    }


def _requoted(text: str) -> str:
    quotes: dict[str, Callable[[], str]] = {"report": _demo_report, "policy": _policy}
    return _QUOTE.sub(lambda quote: quotes[quote["name"]](), text)


def _demo_report() -> str:
    shown = io.StringIO()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "logs"
        write_demo_logs(folder, DEMO_NOW)
        with open_warehouse(Path(name) / "demo.db", create=True) as db:
            load_files(db, [folder])
            calibrate_all(db)
            report = build_report(db, "applications", Filters())
    print_table(report, Console(file=shown, width=114, highlight=False))
    lines = ("$ bedrock-usage report applications", *shown.getvalue().strip().splitlines())
    return _block("\n".join(line.rstrip() for line in lines))


def _policy() -> str:
    printed = CliRunner().invoke(program, ["policy"], catch_exceptions=False)
    if printed.exit_code:
        sys.exit(f"bedrock-usage policy: {printed.output}")
    return _block(printed.stdout.strip(), "json")


def _block(text: str, language: str = "text") -> str:
    return f"```{language}\n{text}\n```"


def _commands() -> str:
    root = click.Context(
        program,
        info_name="bedrock-usage",
        terminal_width=90,
        max_content_width=90,
        **program.context_settings,
    )
    return "\n".join((_COMMANDS, *_help_of(program, root)))


def _help_of(command: click.Command, context: click.Context) -> Iterator[str]:
    heading = "#" * min(context.command_path.count(" ") + 2, 4)
    help_text = _block(f"$ {context.command_path} --help\n{context.get_help()}")
    yield f"{heading} {context.command_path}\n\n{help_text}\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            if sub := command.get_command(context, name):
                yield from _help_of(sub, click.Context(sub, info_name=name, parent=context))


def _data() -> str:
    meanings = Meanings(read("columns.yml"))
    return "\n".join(
        (_DATA, *_views(meanings), "## Columns\n", _table(dict(sorted(meanings.defaults.items()))))
    )


def _views(meanings: Meanings) -> Iterator[str]:
    for layer, title in _LAYERS.items():
        yield f"## {title}\n"
        for view in sql_names(layer):
            question, rest = sql_question(f"{layer}/{view}")
            columns = schema()[view]
            names = ", ".join(map(_code, columns))
            yield f"### {view}\n\n**{_plain(question)}**\n\n{_plain(rest)}\n\nColumns: {names}.\n"
            own = {column: meanings.of(view, column) for column in columns}
            own = {
                column: text
                for column, text in own.items()
                if text != meanings.defaults.get(column)
            }
            if own:
                yield _table(own)


def _plain(text: str) -> str:
    """Return a text with Markdown's special characters escaped."""
    text = re.sub(r"\s+", " ", text).strip().replace("<", "&lt;").replace("|", "&#124;")
    return re.sub(r"(?<![\w`])[*:]?\w*_[\w*]*|(?<!\w)\*(?!\w)", lambda name: _code(name[0]), text)


def _code(name: str) -> str:
    return f"`{name}`"


def _table(meanings: Mapping[str, str]) -> str:
    rows = (f"| {_code(column)} | {_plain(text)} |" for column, text in meanings.items())
    return "\n".join(("| column | meaning |", "|---|---|", *rows, ""))


def main() -> None:
    """Update the pages."""
    try:
        texts = updated()
    except (MetadataError, SqlTextError) as error:
        sys.exit(str(error))
    for page, text in texts.items():
        if not page.is_file() or page.read_text(encoding="utf-8") != text:
            page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
