"""Vega, Vega-Lite and vega-embed as one file for the browser.

The package vl-convert-python contains it, so nothing is fetched from another host and the
repository holds no copy. Building it blocks Python for some seconds. A separate process therefore
builds it when a server starts, and the result is kept in the user's cache.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
from functools import cache
from importlib.metadata import version
from pathlib import Path

_SCRIPT = (
    "import sys, vl_convert;"
    "sys.stdout.buffer.write("
    "vl_convert.javascript_bundle('window.vegaEmbed = vegaEmbed').encode())"
)

_lock = threading.Lock()


@cache
def file_name() -> str:
    """Return the file's name, which changes whenever its content may."""
    return f"vega-{version('vl-convert-python')}.js"


def prepare() -> None:
    """Start building it, so that the first visitor does not wait."""
    threading.Thread(target=javascript, daemon=True).start()


def javascript() -> bytes:
    """Return the script, which sets ``window.vegaEmbed``. Blocks until it is built."""
    with _lock:
        return _read_or_build()


@cache
def _read_or_build() -> bytes:
    file = _cache_folder() / file_name()
    with contextlib.suppress(OSError):
        return file.read_bytes()
    script = subprocess.run(
        [sys.executable, "-P", "-c", _SCRIPT], stdout=subprocess.PIPE, check=True
    )
    _keep(file, script.stdout)
    return script.stdout


def _cache_folder() -> Path:
    # Never a folder that other users can write to: the browser runs the content of the file.
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bedrock-usage"


def _keep(file: Path, content: bytes) -> None:
    """Write the file atomically; if it cannot be written, it is built again next time."""
    with contextlib.suppress(OSError):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, delete=False) as part:
            part.write(content)
        Path(part.name).replace(file)
