"""A server in a thread, for tests of pages that need no separate process."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from etl.config import load_config
from etl.web.app import build_datasette


@contextmanager
def served(app: Any) -> Iterator[str]:
    """Serve an application; yields its address."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def serving_here(db: Path) -> Iterator[str]:
    """Serve a warehouse with the configuration named in the environment, as `serve` does."""
    named = os.environ.get("BEDROCK_USAGE_CONFIG")
    path = Path(named) if named else None
    datasette = build_datasette(db, load_config(path), path)
    try:
        with served(datasette.app()) as url:
            yield url
    finally:
        for database in datasette.databases.values():
            database.close()
        datasette.executor.shutdown()
