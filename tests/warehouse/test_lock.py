"""Testing the lock of a warehouse."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

from etl.warehouse.lock import is_alive, is_locked, sync_lock


def test_a_look_says_who_has_it_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "w.db"
    assert not is_locked(path)
    assert list(tmp_path.iterdir()) == []
    with sync_lock(path):
        assert is_locked(path)
    assert not is_locked(path)


def test_a_look_is_in_nobodys_way(tmp_path: Path) -> None:
    path = tmp_path / "w.db"
    with sync_lock(path):
        pass
    # One tests the lock without a pause, the other takes it as a schedule does.
    looking = threading.Thread(target=lambda: [is_locked(path) for _ in range(300)])
    looking.start()
    for _ in range(100):
        with sync_lock(path):
            pass
    looking.join()


def test_two_who_look_do_not_take_each_other_for_a_sync(tmp_path: Path) -> None:
    path = tmp_path / "w.db"
    with sync_lock(path):
        pass
    seen: list[bool] = []
    threads = [
        threading.Thread(target=lambda: seen.extend(is_locked(path) for _ in range(50)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [False] * 100


def test_a_process_that_is_gone_and_one_that_is_there() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    here = socket.gethostname()
    assert not is_alive(process.pid, here)
    assert is_alive(os.getpid(), here)
    assert is_alive(1, here)
    assert is_alive(process.pid, f"not {here}")
