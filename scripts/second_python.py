"""Run the fast tests on another Python: python -m scripts.second_python

Uses the newest supported Python that is installed, on the PATH or by pyenv, other than the one that
runs this. If there is none it says so. The environment is kept in ``.venv/second`` until a version
changes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from scripts.install import CONSTRAINTS, ROOT, install_command
from scripts.renew_constraints import run

VERSIONS = ("3.13", "3.12", "3.11")

_PYPROJECT = ROOT / "pyproject.toml"


def main() -> None:
    """Install what the tests need, and run the fast tests."""
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    for version in VERSIONS:
        if version != own and (found := find(version)):
            break
    else:
        print(f"no second Python ({', '.join(VERSIONS)}) is installed: tests on it are skipped")
        return
    print(f"The fast tests on {found}", flush=True)
    run(environment(found), "-m", "pytest", "-q", "-n", "auto", "-m", "not slow")


def find(version: str) -> str | None:
    """Return a working interpreter of a version, if there is one."""
    return next((path for path in candidates(version) if _starts(path, version)), None)


def candidates(version: str) -> Iterator[str]:
    """Yield where an interpreter may be; pyenv's commands start only activated versions."""
    if path := shutil.which(f"python{version}"):
        yield path
    if pyenv := shutil.which("pyenv"):
        root = subprocess.run([pyenv, "root"], capture_output=True, text=True).stdout.strip()
        for folder in sorted(Path(root, "versions").glob(f"{version}.*"), reverse=True):
            yield str(folder / "bin" / "python")


def _starts(path: str, version: str) -> bool:
    code = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([path, "-c", code], capture_output=True, text=True)
    return done.stdout.strip() == version


def environment(interpreter: str) -> str:
    """Return the interpreter of an environment that has what the tests need."""
    folder = ROOT / ".venv" / "second"
    python, stamp = folder / "bin" / "python", folder / "installed"
    wanted = interpreter + _PYPROJECT.read_text() + CONSTRAINTS.read_text()
    if stamp.exists() and stamp.read_text() == wanted:
        return str(python)
    run(interpreter, "-m", "venv", "--clear", str(folder))
    run(*install_command(str(python), "--editable", f"{ROOT}[dev]"))
    stamp.write_text(wanted)
    return str(python)


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
