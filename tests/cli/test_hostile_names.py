"""Whatever callers put into names, no output contains a character that controls a terminal."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from etl.cli import main
from etl.show.report import KINDS
from etl.warehouse.database import open_warehouse
from tests.support import (
    ACCOUNT,
    call,
    load,
    logged,
    role_identity,
    write_invocation_log,
    write_log,
)

# Control characters of both sets, an override, a zero width, ends of lines, markup.
HOSTILE = "x\x1b[31m\x07\x9b2J\u202e\u2066\u200b\u2028\x85\r[red]\n[/]y"


def hostile(value: Any, kept: tuple[str, ...] = ()) -> Any:
    """Put hostile characters into every text of an event except what is needed to read it."""
    if isinstance(value, dict):
        return {key: one if key in kept else hostile(one, kept) for key, one in value.items()} | {
            f"{HOSTILE}key": HOSTILE
        }
    if isinstance(value, list):
        return [hostile(one, kept) for one in value]
    return f"{value}{HOSTILE}" if isinstance(value, str) else value


KEPT = (
    *("eventSource", "eventName", "eventTime", "eventType", "eventID", "type", "eventVersion"),
    *("schemaType", "schemaVersion", "timestamp", "operation", "requestId", "accountId"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, empty_warehouse: Path) -> Path:
    """A folder with hostile files, and the warehouse that they make."""
    folder = tmp_path_factory.mktemp("hostile")
    logs = folder / f"logs{HOSTILE}".replace("/", "")
    logs.mkdir()
    calls = [
        call(1, tokens=(10, 1)),
        call(2, tokens=(10, 1), userIdentity=role_identity("Role", "someone@example.com")),
        call(3, errorCode="AccessDenied", errorMessage="no"),
    ]
    write_log(logs / "log.json", [hostile(one, KEPT) for one in calls])
    # An event that keeps its region and time is a call; any other is a reject.
    mild = (*KEPT, "awsRegion", "region", "recipientAccountId")
    write_log(logs / "mild.json", [hostile(call(10 + n, tokens=(10, 1)), mild) for n in range(3)])
    write_log(logs / "time.json", [hostile(call(20), ("eventSource", "eventName", "type"))])
    write_invocation_log(logs / "logged.json", [hostile(logged(5), mild)])
    (logs / f"broken{HOSTILE}.json".replace("/", "")).write_text(
        '{"Records": [{"eventID": ' + HOSTILE
    )
    (logs / "m.csv").write_text(
        "account_id,region,model_id,period_start,period_seconds,metric,value\n"
        f'{ACCOUNT},"us{HOSTILE}","m{HOSTILE}","{HOSTILE}",3600,"{HOSTILE}",1\n'
    )
    database = warehouse_in(folder)
    shutil.copy(empty_warehouse, database)
    with open_warehouse(database) as db:
        load(db, logs)
    return folder


def warehouse_in(folder: Path) -> Path:
    return folder / f"w{HOSTILE}.db".replace("/", "")


def lines(folder: Path) -> list[list[str]]:
    """Return a line for every output of every command that needs no AWS."""
    logs = next(folder.glob("logs*"))
    found = [
        *(["report", kind] for kind in KINDS),
        *(["report", kind, "--breakdown"] for kind in ("users", "applications")),
        ["report", "users", "--user", HOSTILE],
        ["status"],
        ["check"],
        ["inspect", "--latest", "5"],
        ["inspect", str(logs)],
        ["inspect", HOSTILE],
        ["inspect", "--survey"],
        ["inspect", "--survey", str(logs)],
    ]
    both = [[*line, "--format", format_] for line in found for format_ in ("table", "json")]
    return [
        *both,
        ["load", "--reread", str(logs)],
        ["load", str(folder / HOSTILE.replace("/", ""))],
        ["vacuum", "--dry-run"],
        ["upgrade"],
        ["upgrade", "--dry-run"],
        ["prices", "list", "--model", HOSTILE],
        ["prices", "import", str(next(logs.glob("broken*")))],
        ["lab", "verify", "--no-sync", "--ledger", str(next(logs.glob("broken*")))],
        ["policy", "--trust", HOSTILE],
        ["status", HOSTILE],
        ["status", f"--{HOSTILE}"],
        [HOSTILE],
    ]


def test_no_output_of_any_command_steers_a_terminal(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("BEDROCK_USAGE_DB", str(warehouse_in(folder)))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    shown = ""
    for line in lines(folder):
        result = CliRunner().invoke(main, line)
        assert result.exception is None or isinstance(result.exception, SystemExit), line
        assert result.exit_code in (0, 1, 2), line
        said = result.stdout + result.stderr
        assert all(one.isprintable() for one in said.split("\n")), (line, said)
        if line[-1] == "json" and result.stdout:
            assert isinstance(json.loads(result.stdout), dict)
        shown += said
    # It was there, and is to be seen; a name never begins a line of its own.
    assert r"\x1b[31m" in shown
    assert r"\u202e" in shown
    assert "\n[/]y" not in shown
    assert "\n[]y" not in shown


def test_csv_is_what_callers_wrote(folder: Path) -> None:
    line = ["report", "users", "--format", "csv", "--db", str(warehouse_in(folder))]
    names = {
        row["user_name"]
        for row in csv.DictReader(io.StringIO(CliRunner().invoke(main, line).stdout, newline=""))
    }
    assert any(HOSTILE in name for name in names)
