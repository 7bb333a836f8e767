"""What a load could not read is said until the file changes or is accepted; nothing vanishes."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from etl.load.run import LoadResult, load_files
from etl.warehouse.database import open_warehouse
from tests.cli.running import run
from tests.support import call, dump, query, rows, write_log

LoadAgain = Callable[..., LoadResult]


@pytest.fixture
def load_again(tmp_path: Path) -> LoadAgain:
    """Load a file or folder as the command does: what the ledger has is not read again."""

    def load(path: Path, **options: Any) -> LoadResult:
        with open_warehouse(tmp_path / "w.db", create=True) as db:
            return load_files(db, [path], **options)

    return load


def truncated(path: Path) -> Path:
    whole = gzip.compress(json.dumps({"Records": [call(n) for n in range(40)]}).encode())
    path.write_bytes(whole[: len(whole) * 2 // 3])
    return path


def no_json(path: Path) -> Path:
    path.write_text("words, no JSON")
    return path


def a_bill(path: Path) -> Path:
    path.write_text("lineItem/UsageType,lineItem/UnblendedCost\nUSE1,0.5\n")
    return path


def cut_off(path: Path) -> Path:
    path.write_text(json.dumps({"Records": [call(1), call(2)]})[:-50])
    return path


@pytest.mark.parametrize("refused", [truncated, no_json, a_bill, cut_off])
def test_a_refused_file_stays_so_until_it_is_accepted_or_changes(
    refused: Callable[[Path], Path], tmp_path: Path, load_again: LoadAgain
) -> None:
    file = refused(tmp_path / "x")
    first = load_again(file)
    assert (first.is_complete, first.files_refused, first.files_still_refused) == (False, 1, 0)
    told: list[Any] = []
    for path in (file, tmp_path):
        again = load_again(path, on_reject=told.append)
        assert (again.is_complete, again.rejected, again.files_still_refused) == (False, 0, 1)
    assert all(one.reason.startswith("refused before, and unchanged: ") for one in told)
    assert load_again(file, accept_on="2026-11-20").files_accepted == 1
    for options in ({}, {"reread": True}, {"accept_on": "2026-11-21"}):
        quiet = load_again(file, **options)
        assert (quiet.is_complete, quiet.files_refused, quiet.files_accepted) == (True, 0, 0)
    (accepted,) = query(tmp_path / "w.db", "select accepted_on, is_refused from rejected_files")
    assert accepted == ("2026-11-20", 1)
    file.write_bytes(file.read_bytes() + b" ")
    os.utime(file, (1, 1))
    changed = load_again(file)
    assert (changed.is_complete, changed.files_refused) == (False, 1)
    assert load_again(file).files_still_refused == 1
    write_log(file, [call(1)])
    assert load_again(file).is_complete
    assert query(tmp_path / "w.db", "select * from rejected_files") == []


def test_what_is_accepted_at_once_is_not_reported_again(
    tmp_path: Path, load_again: LoadAgain
) -> None:
    file = no_json(tmp_path / "x")
    first = load_again(file, accept_on="2026-11-20")
    assert (first.is_complete, first.rejected, first.files_accepted) == (True, 1, 1)
    assert load_again(file).is_complete


def test_lines_that_are_rejected_make_no_refused_file(
    tmp_path: Path, load_again: LoadAgain
) -> None:
    file = write_log(tmp_path / "x", [call(1), 7, call(2, eventTime="never")])
    first = load_again(file)
    assert (first.is_complete, first.rejected, first.files_refused) == (False, 2, 0)
    assert load_again(file).is_complete
    db = tmp_path / "w.db"
    assert query(db, "select is_refused, reject_count from rejected_files") == [(0, 2)]
    _, out, _ = run("status", "--db", db)
    assert "Rejected  2 records" in out
    assert load_again(file, accept_on="2026-11-20").files_accepted == 1
    _, out, _ = run("status", "--db", db)
    assert "Rejected" not in out
    assert "on 2026-11-20, with 2 rejects" in " ".join(out.split())


def test_a_file_that_cannot_be_opened_is_not_accepted(
    tmp_path: Path, load_again: LoadAgain
) -> None:
    os.mkfifo(tmp_path / "pipe")
    for options in ({}, {"accept_on": "2026-11-20"}, {}):
        result = load_again(tmp_path / "pipe", **options)
        assert (result.is_complete, result.files_accepted) == (False, 0)


def test_the_command_says_so_and_how_to_accept(tmp_path: Path) -> None:
    db, file = tmp_path / "w.db", no_json(tmp_path / "x")
    for words in ([file], [file]):
        status, _, err = run("load", *words, "--db", db)
        assert status == 1
        assert "Refused           1 file: every load says so until they change" in err
        assert "not JSON (at character 0)" in err
    _, out, _ = run("status", "--db", db)
    assert f"{file}: not JSON (at character 0)" in out
    status, _, err = run("load", "--accept", file, "--db", db)
    assert status == 0
    assert "Accepted          1 file" in err
    assert run("load", file, "--db", db)[0] == 0
    found = json.loads(run("status", "--format", "json", "--db", db)[1])
    assert found["rejects"] == []
    ((accepted),) = found["accepted"]
    assert (accepted["file"], accepted["reject_count"]) == (str(file), 1)


# Operations that are no calls.

OTHERS = [
    *(call(number, eventName="CountTokens", eventCategory="Data") for number in range(1, 4)),
    call(4, eventName="GetFoundationModel"),
    call(5, eventName="DreamUp", eventCategory="Data"),
    call(6, eventSource="bedrock-agentcore.amazonaws.com", eventName="InvokeAgentRuntime"),
    call(7, eventName="CreateCustomModel", eventType="AwsServiceEvent"),
    call(8, eventSource="s3.amazonaws.com", eventName="GetObject"),
    call(9, eventName="ListTagsForResource", eventTime=None),
]


def test_bedrocks_other_operations_are_counted_once_by_name(tmp_path: Path) -> None:
    db, log = tmp_path / "w.db", write_log(tmp_path / "log.json", OTHERS)
    write_log(tmp_path / "copy.json", OTHERS)
    _, _, err = run("load", log, "--db", db)
    assert "Other events      9 skipped, 1 of them not known yet" in err
    assert (
        "Other operations  3 CountTokens, 1 CreateCustomModel, 1 DreamUp, 1 GetFoundationModel,"
        " 1 InvokeAgentRuntime (of Bedrock, no calls)" in err
    )
    before = dump(db)["skipped_operations"]
    _, _, err = run("load", tmp_path / "copy.json", "--db", db)
    assert "Other operations" not in err
    assert dump(db)["skipped_operations"] == before
    kept = query(db, "select event_name, kept_as, event_count from other_operations order by 1")
    assert kept == [
        ("CountTokens", "count only", 3),
        ("CreateCustomModel", "count only", 1),
        ("DreamUp", "not known yet", 1),
        ("GetFoundationModel", "security event", 1),
        ("InvokeAgentRuntime", "count only", 1),
    ]
    _, out, _ = run("status", "--db", db)
    assert "No calls" in out
    assert "3 CountTokens, 1 CreateCustomModel" in out


# A report over nothing.


def report(db: Path, *words: str) -> str:
    status, _, err = run("report", "users", *words, "--db", db)
    assert status == 0
    return err


def test_a_report_over_nothing_says_what_was_refused_or_skipped(tmp_path: Path) -> None:
    db = tmp_path / "w.db"
    with open_warehouse(db, create=True) as opened:
        assert rows(opened, "select * from calls") == []
    assert report(db) == (
        "No calls are loaded. CloudTrail delivers events about 15 minutes late.\n"
    )
    run("load", write_log(tmp_path / "a.json", OTHERS[-2:-1]), "--db", db)
    assert report(db) == "No calls are loaded: 1 file read, without any.\n"
    run("load", write_log(tmp_path / "b.json", OTHERS[:4]), a_bill(tmp_path / "c.csv"), "--db", db)
    told = report(db)
    assert told.startswith("No calls are loaded: 3 files read, without any. Rejected: 1, such as ")
    assert "a row of a cost and usage report (CUR): it holds costs by day" in told
    assert "they are no calls: 3 CountTokens, 1 GetFoundationModel. `bedrock-usage status`" in told
    assert "15 minutes" not in told
    run("load", write_log(tmp_path / "d.json", [call(1)]), "--db", db)
    assert report(db, "--user", "nobody").startswith("No calls match. ")
