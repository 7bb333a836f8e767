"""Renew constraints.txt: python -m scripts.renew_constraints

Installs the newest versions that pyproject.toml allows into a fresh environment, runs every test
with them, and pins them only if all pass. Takes a few minutes more than the tests.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from scripts.install import CONSTRAINTS, ROOT

HEADING = """\
# The versions that the tests last passed with; `make` installs these. Plain `pip install .` takes
# the newest that pyproject.toml allows. Renewed by `make constraints`, never by hand.
"""


def main() -> None:
    """Install, test, write."""
    with tempfile.TemporaryDirectory() as folder:
        python = new_environment(Path(folder))
        run(python, "-m", "pip", "install", "--quiet", "--editable", ".[dev,bench,spark]")
        frozen = subprocess.run(
            [python, "-m", "pip", "freeze", "--exclude-editable"],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        before = CONSTRAINTS.read_bytes()
        CONSTRAINTS.write_text(constraints_of(frozen), encoding="utf-8")
        try:
            run(python, "-m", "scripts.check_versions")
            run(python, "-m", "pytest", "-q", "-n", "auto")
        except SystemExit:
            CONSTRAINTS.write_bytes(before)
            raise


def new_environment(folder: Path) -> str:
    """Make an environment for this Python; return its interpreter."""
    venv.create(folder, with_pip=True)
    return str(folder / ("Scripts" if sys.platform == "win32" else "bin") / "python")


def constraints_of(frozen: str) -> str:
    """Return the file's content from the output of ``pip freeze``: versions, no wheel addresses."""
    names = dict(re.findall(r"^([\w.-]+)==(\S+)$", frozen, re.MULTILINE))
    # Package indexes know a local build (1.2+cpu) by its public version only.
    lines = [f"{name}=={number.partition('+')[0]}" for name, number in names.items()]
    return HEADING + "".join(f"{line}\n" for line in sorted(lines, key=str.lower))


def run(*command: str) -> None:
    """Run a command in the repository; exit with its status if it fails."""
    status = subprocess.run(command, cwd=ROOT).returncode
    if status:
        sys.exit(status)


if __name__ == "__main__":
    main()
