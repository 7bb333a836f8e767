"""Several processes read files; the rows come in order, and no process is left running."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from etl.errors import DecodeError
from etl.load.decoder import pool as workers_module
from etl.load.decoder.content import Keys
from etl.load.decoder.pool import Workers
from etl.normalise.packed import unpack
from tests.support import call, uuid_of

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers_module, "FEW_BYTES", 0)


def file_of(*numbers: int) -> bytes:
    records = [call(number, tokens=(number, 1)) for number in numbers]
    return gzip.compress(json.dumps({"Records": records}).encode())


def children() -> set[int]:
    """Return our decoding processes."""
    found = set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "cmdline").read_bytes()
                parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            except OSError:
                continue
            if b"etl.load.decoder.process" in words and parent == str(os.getpid()):
                found.add(int(folder.name))
    return found


def test_files_come_in_their_order_with_shapes_that_do_not_clash() -> None:
    files = [(number, file_of(*range(number * 10, number * 10 + 10))) for number in range(40)]
    shapes, seen = {}, []
    with Workers(Keys(), count=3) as workers:
        for tag, decoded in workers.decode(files):
            assert not shapes.keys() & dict(decoded.shapes).keys()
            shapes |= dict(decoded.shapes)
            seen.append(tag)
            ids = [unpack(packed, shapes[packed[4]]).event_id for packed in decoded.calls]
            assert ids == [uuid_of(tag * 10 + number) for number in range(10)]
        assert len(children()) == 3
    assert seen == list(range(40))
    assert children() == set()


def test_few_bytes_need_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers_module, "FEW_BYTES", 1 << 20)
    with Workers(Keys()) as workers:
        assert len(list(workers.decode([(1, file_of(1)), (2, file_of(2))]))) == 2
        assert children() == set()


def test_files_are_not_taken_far_ahead() -> None:
    taken = 0

    def files() -> Iterator[tuple[int, bytes]]:
        nonlocal taken
        for number in range(300):
            taken += 1
            yield number, file_of(number)

    with Workers(Keys(), count=2) as workers:
        for tag, _ in workers.decode(files()):
            assert taken <= tag + 50


def test_a_process_that_dies_costs_no_file() -> None:
    with Workers(Keys(), count=2) as workers:
        results = workers.decode((number, file_of(number)) for number in range(100))
        seen = [next(results)[0]]
        for child in children():
            os.kill(child, signal.SIGKILL)
        for tag, decoded in results:
            seen.append(tag)
            assert (len(decoded.calls), decoded.rejects) == (1, [])
    assert seen == list(range(100))
    assert children() == set()


@pytest.mark.parametrize("is_large", [False, True], ids=["small", "large"])
def test_a_file_that_no_process_survives_is_refused_and_the_others_are_read(
    monkeypatch: pytest.MonkeyPatch, *, is_large: bool
) -> None:
    # A reader with very little memory: a record of three megabytes is too much for it.
    poison = b'{"eventID": "' + b"x" * (3 << 20) + b'"}'
    monkeypatch.setenv("TEST_READER_DIES_OF", str(len(poison)))
    files = [
        (0, file_of(0)),
        (1, (lambda: iter([poison])) if is_large else poison),
        (2, file_of(2)),
    ]
    monkeypatch.setattr(workers_module, "_MODULE", "tests.load.mortal")
    with Workers(Keys(), count=2) as workers:
        results = list(workers.decode(files))
    assert [(tag, len(decoded.calls)) for tag, decoded in results] == [(0, 1), (1, 0), (2, 1)]
    ((position, reason),) = results[1][1].rejects
    assert position == "file"
    assert "died 2 times" in reason
    assert results[1][1].is_read


def test_where_no_process_lives_no_file_is_blamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_READER_DIES_OF", "0")
    monkeypatch.setattr(workers_module, "_MODULE", "tests.load.mortal")
    with pytest.raises(DecodeError, match="run it again"), Workers(Keys(), count=2) as workers:
        list(workers.decode([(1, file_of(1))]))
    assert children() == set()


def test_an_error_of_the_files_ends_the_processes() -> None:
    def files() -> Iterator[tuple[int, bytes]]:
        yield 1, file_of(1)
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"), Workers(Keys(), count=2) as workers:
        list(workers.decode(files()))
    assert children() == set()


def test_the_processes_of_a_killed_one_end_by_themselves(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import sys, time\n"
        "from etl.load.decoder import pool\n"
        "from etl.load.decoder.content import Keys\n"
        "w = pool.Workers(Keys(), count=2)\n"
        "w.start()\n"
        "print(*(one._process.pid for one in w._all), flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        text=True,
    )
    assert parent.stdout is not None
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(pids) == 2
    parent.kill()
    parent.communicate()
    deadline = time.monotonic() + 20
    while any(_is_alive(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _is_alive(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
