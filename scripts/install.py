"""Install into the environment that runs this: python -m scripts.install REQUIREMENT...

Uses the versions of constraints.txt, and uv if this environment has it (``make`` installs it): it
takes seconds where pip takes more than a minute. Otherwise it uses pip. Modules are compiled when
they are first imported: most never are.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONSTRAINTS = ROOT / "constraints.txt"


def install_command(python: str, *requirements: str) -> list[str]:
    """Return the command that installs into the environment of an interpreter."""
    uv = shutil.which("uv", path=str(Path(sys.executable).parent))
    if uv:
        installer = [uv, "pip", "install", "--python", python]
    else:
        installer = [python, "-m", "pip", "--disable-pip-version-check", "install", "--no-compile"]
    return [*installer, "--quiet", "--constraint", str(CONSTRAINTS), *requirements]


if __name__ == "__main__":
    sys.exit(subprocess.run(install_command(sys.executable, *sys.argv[1:]), cwd=ROOT).returncode)
