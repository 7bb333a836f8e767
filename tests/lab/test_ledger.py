"""The ledger survives whatever ends the program."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from etl.errors import DataError
from etl.lab.sent_calls import Entry, open_ledger, read_ledger, run_of

SENT = Entry(
    run_id="r1",
    call=1,
    attempt=1,
    planned=2,
    scenario="Shop",
    application="Shop",
    user_name="tester",
    account_id="111122223333",
    region="us-east-1",
    model_id="m",
    operation="Converse",
    time="2026-11-03T12:00:00Z",
    status="sent",
)


def entry(call: int = 1, attempt: int = 1, **changes: object) -> Entry:
    return msgspec.structs.replace(SENT, call=call, attempt=attempt, **changes)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.jsonl"


def write(path: Path, *entries: Entry) -> None:
    with open_ledger(path) as ledger:
        for one in entries:
            ledger.write(one)


def test_the_last_line_of_an_attempt_counts(path: Path) -> None:
    answered = entry(status="ok", request_id="a", usage={"input_tokens": 1})
    write(path, entry(), answered, entry(2), entry(2, status="throttled"), entry(2, 2))
    assert read_ledger(path) == [answered, entry(2, status="throttled"), entry(2, 2)]


def test_a_program_that_was_killed_leaves_what_it_had_sent(path: Path) -> None:
    write(path, entry(), entry(status="ok"), entry(2))
    with path.open("ab") as file:
        file.write(b'{"run_id":"r1","call":2,"att')
    assert [one.status for one in read_ledger(path)] == ["ok", "sent"]
    write(path, entry(run_id="r2"))
    assert [(one.run_id, one.status) for one in read_ledger(path)] == [
        ("r1", "ok"),
        ("r1", "sent"),
        ("r2", "sent"),
    ]


def test_the_last_run_is_the_one_that_began_last(path: Path) -> None:
    write(path, entry(), entry(run_id="r0"))
    entries = read_ledger(path)
    assert run_of(entries, None) == [entry(run_id="r0")]
    assert run_of(entries, "r1") == [entry()]


def test_another_file_is_refused(path: Path) -> None:
    path.write_text('{"Records": []}\n')
    with pytest.raises(DataError, match=r"line 1.*this is not a ledger of the lab"):
        read_ledger(path)
    path.write_text("")
    with pytest.raises(DataError, match="the ledger is empty"):
        run_of(read_ledger(path), None)


def test_another_file_is_neither_read_nor_added_to(path: Path) -> None:
    path.write_text("dear diary\n")
    with pytest.raises(DataError, match=r"line 1: this is not a ledger of the lab"):
        read_ledger(path)
    with pytest.raises(DataError, match="name another with --ledger"):
        write(path, entry())
    assert path.read_text() == "dear diary\n"


def test_a_program_that_was_killed_at_its_first_line_left_a_ledger(path: Path) -> None:
    path.write_bytes(b'{"run')
    write(path, entry())
    assert read_ledger(path) == [entry()]


def test_a_missing_folder_is_reported(path: Path) -> None:
    with pytest.raises(DataError, match="name another ledger"), open_ledger(path / "x"):
        pass
