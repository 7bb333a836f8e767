"""The processes that run visitors' SQL: each statement ends in time, and affects no other."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.errors import BusyError
from etl.warehouse.visitor_sql.child import decode, encode
from etl.warehouse.visitor_sql.processes import Statement, StatementRows, VisitorProcesses
from tests.cases import cases
from tests.rounds import rounds

LIMIT_MS = 100
MARGIN = 0.4
NUMBERS = "with recursive n (i) as (select 1 union all select i + 1 from n) "
LONG = "with x (a) as (select hex(zeroblob(49000))) select "

# The first kind stops between two steps; the others are within one step, or before the first.
ENDLESS = {
    "steps": f"{NUMBERS}select count(*) from n",
    "instr": LONG + " + ".join(f"instr(a, substr(a, 1, 40000) || {i})" for i in range(160)) + " from x",
    "replace": LONG + "length(replace(a, substr(a, 1, 40000) || 'b', '')) + "
    + " + ".join(f"instr(a, substr(a, 1, 40000) || {i})" for i in range(400)) + " from x",
    "planning": "select count(*) from " + ", ".join(f"t as t{i}" for i in range(45)),
}  # fmt: skip


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("visitors") / "a name.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("create table t (a, b)")
        connection.execute("insert into t values (1, 'x'), (2, null)")
        connection.commit()
    return path


@pytest.fixture(scope="module")
def processes(path: Path) -> Iterator[VisitorProcesses]:
    processes = VisitorProcesses(path, count=1, margin_seconds=MARGIN, file_bytes=1 << 20)
    yield processes
    processes.close()
    assert processes.running() == []


def run(
    processes: VisitorProcesses, sql: str, *parameters: object, ms: float = 5000
) -> StatementRows:
    return asyncio.run(processes.run(Statement(sql, parameters, ms, max_rows=3)))


def test_rows_come_back_as_they_are(processes: VisitorProcesses) -> None:
    answer = run(processes, "select a, b, ? as c, ? as c from t order by a", b"\0\xff", 1.5)
    assert answer == StatementRows(
        ["a", "b", "c", "c"], [[1, "x", b"\0\xff", 1.5], [2, None, b"\0\xff", 1.5]], False
    )
    assert run(processes, f"{NUMBERS}select i from n").truncated
    named = Statement("select :x as x", {"x": "y", "unused": "z"}, 5000)
    assert asyncio.run(processes.run(named)).rows == [["y"]]


VALUES = st.none() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(
    st.characters(codec="utf-8")
) | st.binary()  # fmt: skip


@settings(max_examples=rounds(50, 1000))
@given(st.lists(VALUES))
def test_any_value_survives_the_way(values: list[Any]) -> None:
    line = encode({"rows": [values]})
    assert "\n" not in line
    assert decode(line.encode()) == {"rows": [values]}


@pytest.mark.parametrize("sql", ENDLESS.values(), ids=ENDLESS)
def test_a_statement_without_end_ends_at_its_limit(processes: VisitorProcesses, sql: str) -> None:
    run(processes, "select 1")
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        run(processes, sql, ms=LIMIT_MS)
    assert time.monotonic() - began < LIMIT_MS / 1000 + MARGIN + 1
    assert run(processes, "select 2").rows == [[2]]


@cases(
    ("sql", "said"),
    [
        ("select x from t", "no such column"),
        ("select 1; select 2", "one statement"),
        ("delete from t", "not authorized"),
        ("select zeroblob(100001)", "too big"),
        (f"{NUMBERS}select hex(zeroblob(49000)) from n limit 400", "larger than 16 MB"),
        (f"{NUMBERS}select i, hex(zeroblob(999)) from n where i < 9999 order by 2, 1", "may sort or group too much"),
        ("select ?", "has no name"),
        ("select " + "(" * 3000, "overflow"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_statement_is_said_and_the_process_stays(
    path: Path, processes: VisitorProcesses, sql: str, said: str
) -> None:
    run(processes, "select 1")
    before = processes.running()
    with pytest.raises(sqlite3.OperationalError, match=said):
        asyncio.run(processes.run(Statement(sql, {}, 5000)))
    assert processes.running() == before


def test_who_goes_ends_the_statement_and_the_next_finds_a_process(
    processes: VisitorProcesses,
) -> None:
    async def go_away() -> None:
        await processes.run(Statement("select 1", (), 5000))
        (pid,) = processes.running()
        asked = asyncio.ensure_future(processes.run(Statement(ENDLESS["instr"], (), 60_000)))
        await asyncio.sleep(0.2)
        waiting = asyncio.ensure_future(processes.run(Statement("select 1", (), 60_000)))
        asked.cancel()
        assert (await waiting).rows == [[1]]
        assert processes.running() != [pid]

    began = time.monotonic()
    asyncio.run(go_away())
    assert time.monotonic() - began < 5


def test_a_process_that_was_killed_is_replaced(processes: VisitorProcesses) -> None:
    run(processes, "select 1")
    (pid,) = processes.running()
    os.kill(pid, signal.SIGKILL)
    while processes.running():
        time.sleep(0.01)
    assert run(processes, "select 1").rows == [[1]]

    async def killed_at_work() -> None:
        asked = asyncio.ensure_future(processes.run(Statement(ENDLESS["steps"], (), 9000)))
        await asyncio.sleep(0.2)
        os.kill(processes.running()[0], signal.SIGKILL)
        with pytest.raises(sqlite3.OperationalError, match="the statement ended the process"):
            await asked

    asyncio.run(killed_at_work())
    assert run(processes, "select 1").rows == [[1]]


def test_a_process_that_does_not_start_is_no_fault_of_the_statement(tmp_path: Path) -> None:
    processes = VisitorProcesses(tmp_path / "none.db", count=1)
    try:
        with pytest.raises(sqlite3.OperationalError, match="did not start"):
            run(processes, "select 1")
    finally:
        processes.close()


def test_so_many_may_wait_and_no_more(path: Path) -> None:
    processes = VisitorProcesses(path, count=1, margin_seconds=MARGIN, max_waiting=1)

    async def ask_three() -> list[Any]:
        statements = [Statement(ENDLESS["steps"], (), LIMIT_MS)] * 3
        return await asyncio.gather(*map(processes.run, statements), return_exceptions=True)

    try:
        kinds = [type(outcome) for outcome in asyncio.run(ask_three())]
        assert kinds == [TimeoutError, TimeoutError, BusyError]
    finally:
        processes.close()


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="Linux shows the variables")
def test_a_process_knows_no_secret(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN_OF_SOMEBODY", "a secret")
    processes = VisitorProcesses(path, count=1)
    try:
        run(processes, "select 1")
        (pid,) = processes.running()
        assert b"a secret" not in Path(f"/proc/{pid}/environ").read_bytes()
    finally:
        processes.close()


def test_a_process_ends_with_the_server_in_the_middle_of_a_statement(path: Path) -> None:
    command = [sys.executable, "-P", "-m", "etl.warehouse.visitor_sql.child"]
    settings = {"uri": f"{path.as_uri()}?mode=ro", "value_bytes": 10**5, "answer_bytes": 10**6}
    job = {"sql": ENDLESS["instr"], "parameters": [], "milliseconds": 60_000, "max_rows": None}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin and process.stdout
        process.stdin.write(encode(settings | {"file_bytes": 1 << 20}).encode() + b"\n")
        process.stdin.write(encode(job).encode() + b"\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"{}\n"
        process.stdin.close()
        assert process.wait(timeout=10) == 0
