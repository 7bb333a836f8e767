"""Vega, Vega-Lite and vega-embed as one file for the browser.

It comes out of the package vl-convert-python, so that nothing is fetched from elsewhere and no copy
is kept here. Making it takes some seconds, so it is made once a process, in a thread.
"""

from __future__ import annotations

import hashlib
import threading
from functools import cache
from importlib.metadata import version

_lock = threading.Lock()


def bundle_version() -> str:
    """Return what changes in the file's address whenever its content may."""
    return hashlib.sha256(version("vl-convert-python").encode()).hexdigest()[:12]


def javascript() -> str:
    """Return the script; it leaves ``vegaEmbed`` behind. Blocks the first time."""
    with _lock:
        return _make()


@cache
def _make() -> str:
    # Here, because it is large, and only a browser that draws asks for it.
    import vl_convert

    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed")
