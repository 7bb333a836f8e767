"""Check the wheel as a user installs it: python -m scripts.check_wheel

Builds it, installs it into an empty environment in another folder, and there runs the demo and the
server, and fetches two pages.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from urllib.request import urlopen

from scripts.install import ROOT, install_command
from scripts.renew_constraints import new_environment

# The dashboard, and a page that needs files of the wheel.
_PAGES = {"": "<title>", "bedrock_usage/application_costs.json": "WebPortal"}

_START_SECONDS = 60.0


def main() -> None:
    """Build, install, run; exit with a message at the first failure."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wheel = build(folder)
        program = install(wheel, folder / "environment")
        place = folder / "elsewhere"
        place.mkdir()
        shown = check([program, "demo", "--no-serve", "--db", "demo.db"], place).stdout
        if "Cost by application" not in shown:
            sys.exit(f"the demo prints no report:\n{shown}")
        serve([program, "serve", "--db", "demo.db", "--port", "0"], place)
        print(f"{wheel.name}: demo and serve work")


def build(folder: Path) -> Path:
    """Build the wheel of this repository into a folder."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    check([*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)], ROOT)
    return next(folder.glob("*.whl"))


def install(wheel: Path, environment: Path) -> str:
    """Install a wheel into a new environment; return the program."""
    python = new_environment(environment)
    check(install_command(python, str(wheel)), environment)
    return str(Path(python).with_name("bedrock-usage"))


def serve(command: list[str], place: Path) -> None:
    """Start a server on a free port, fetch pages over loopback, stop it."""
    with subprocess.Popen(
        command, cwd=place, env=clean_environment(), stderr=subprocess.PIPE, text=True
    ) as server:
        timer = threading.Timer(_START_SECONDS, server.kill)
        timer.start()
        try:
            said = server.stderr.readline() if server.stderr else ""
            address = re.search(r"http://127\.0\.0\.1:\d+/", said)
            if address is None:
                sys.exit(f"serve does not start:\n{said}")
            for page, word in _PAGES.items():
                with urlopen(address[0] + page, timeout=30) as answer:  # noqa: S310
                    if word not in answer.read().decode():
                        sys.exit(f"/{page} lacks {word}")
        finally:
            timer.cancel()
            server.terminate()


def check(command: list[str], place: Path) -> subprocess.CompletedProcess[str]:
    """Run a command; if it fails, exit with its output."""
    done = subprocess.run(
        command, cwd=place, env=clean_environment(), capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def clean_environment() -> dict[str, str]:
    """Return the environment without variables that let the program find this repository."""
    return {key: text for key, text in os.environ.items() if not key.startswith("PYTHON")}


if __name__ == "__main__":
    main()
