"""The demo, loaded once and opened once in Datasette."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from etl.calibrate.run import calibrate_all
from etl.demo import write_demo_logs
from etl.load.run import load_files
from etl.warehouse.database import open_warehouse
from etl.warehouse.write.watch import renew_watch
from tests.web.browser import Browser, open_chromium, open_page
from tests.web.pages import Pages, open_pages
from tests.web.server import serving_here

# The tests log in with few passwords, some hundred times: each is hashed once.
hashlib.pbkdf2_hmac = functools.cache(hashlib.pbkdf2_hmac)

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="session")
def demo_db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's warehouse, in a file not named like its database in Datasette; do not write to it."""
    run = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        run = run.parent
    built = run / "demo.db"
    # Loading it takes two seconds: the first process does that for all.
    with FileLock(f"{built}.lock"):
        if not built.exists():
            _load_demo(run / "unfinished.db", tmp_path_factory.mktemp("logs"))
            (run / "unfinished.db").rename(built)
    path = tmp_path_factory.mktemp("demo") / "any name.db"
    shutil.copy(built, path)
    return path


def _load_demo(path: Path, logs: Path) -> None:
    write_demo_logs(logs, NOW)
    with open_warehouse(path, create=True) as db:
        assert load_files(db, [logs]).rejected == 0
        calibrate_all(db)
        renew_watch(db)


@pytest.fixture(scope="session")
def pages(demo_db: Path) -> Iterator[Pages]:
    with open_pages(demo_db) as pages:
        yield pages


@pytest.fixture(scope="session")
def serving() -> Callable[[Path], AbstractContextManager[str]]:
    """Serve a warehouse with the command in a separate process, and stop it afterwards.

    It takes a second of its own: for what only the pages show, use ``serving_here``.
    """

    @contextmanager
    def serve(db: Path) -> Iterator[str]:
        command = [sys.executable, "-m", "etl", "serve", "--db", str(db), "--port", "0"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            try:
                assert process.stderr is not None
                line = process.stderr.readline()
                assert line.startswith("Datasette at http://127.0.0.1:"), line
                yield line.split()[2]
            finally:
                process.terminate()

    return serve


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with open_chromium() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def browser(chromium: Any) -> Iterator[Browser]:
    with open_page(chromium) as browser:
        yield browser


@pytest.fixture(scope="module")
def url(demo_db: Path) -> Iterator[str]:
    with serving_here(demo_db) as url:
        yield url


@pytest.fixture
def page(browser: Browser) -> Iterator[Any]:
    """The page; it must report no errors and request nothing from other machines."""
    browser.hosts.clear()
    browser.errors.clear()
    yield browser.page
    assert browser.hosts == {"127.0.0.1"}
    assert browser.errors == []
