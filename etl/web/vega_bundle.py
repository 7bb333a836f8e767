"""Vega, Vega-Lite and vega-embed as one file for the browser.

It comes out of the package vl-convert-python, so that nothing is fetched from elsewhere and no copy
is kept in the repository. Making it takes some seconds, in which Python does nothing else: so a
process of its own makes it, when a server starts, and it is kept in the user's cache.
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
    """Begin to make it, so that the first visitor need not wait."""
    threading.Thread(target=javascript, daemon=True).start()


def javascript() -> bytes:
    """Return the script; it leaves ``vegaEmbed`` behind. Blocks until it is there."""
    with _lock:
        return _read_or_make()


@cache
def _read_or_make() -> bytes:
    file = _cache_folder() / file_name()
    with contextlib.suppress(OSError):
        return file.read_bytes()
    script = subprocess.run(
        [sys.executable, "-P", "-c", _SCRIPT], stdout=subprocess.PIPE, check=True
    )
    _keep(file, script.stdout)
    return script.stdout


def _cache_folder() -> Path:
    # Never a folder that others may write to: whatever stands in the file runs in the browser.
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bedrock-usage"


def _keep(file: Path, content: bytes) -> None:
    """Write the file at once or not at all; without a cache it is made again next time."""
    with contextlib.suppress(OSError):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, delete=False) as part:
            part.write(content)
        Path(part.name).replace(file)
