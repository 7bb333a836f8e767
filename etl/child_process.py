"""Processes that this program starts of itself: each imports the package that started it.

They need no installation and no working directory: the package's folder leads ``PYTHONPATH``, and
``-P`` keeps a folder named etl in the working directory from shadowing it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

# The folder that contains the package, not the package: its modules must not shadow Python's own.
_FOLDER = Path(__file__).parents[1]


def child_command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module of this package."""
    return [sys.executable, "-P", "-m", module, *arguments]


def import_path() -> str:
    """Return the ``PYTHONPATH`` of a child."""
    return os.pathsep.join(filter(None, (str(_FOLDER), os.environ.get("PYTHONPATH"))))
