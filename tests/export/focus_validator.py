"""The FinOps Foundation's validator of FOCUS files, in an environment of its own.

It needs older libraries than ours, which have wheels for Python 3.12 and not for later ones, reads a file below its working directory, and
ends with status 0 whatever it finds.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from scripts.install import ROOT
from scripts.second_python import find

VERSION = "2.2.1"
_NEEDS = (f"focus-validator=={VERSION}", "pyarrow<25")
_ENVIRONMENT = ROOT / ".venv" / "focus"

# Rules that no file can meet. One says that InvoiceId must be null, the other that it must not be,
# and one of them holds in any file; the rule above both is met by either.
REVIEWED = frozenset({"InvoiceId-C-005-C"})


def interpreter() -> str | None:
    """Return a Python that the validator runs on."""
    return find("3.12")


def install(python: str) -> Path:
    """Return the validator's folder of commands; install it if it is not there."""
    stamp = _ENVIRONMENT / f"installed-{VERSION}"
    if not stamp.exists():
        subprocess.run([python, "-m", "venv", "--clear", str(_ENVIRONMENT)], check=True)
        pip = [
            str(_ENVIRONMENT / "bin" / "python"),
            "-m",
            "pip",
            "install",
            "--quiet",
            *_NEEDS,
        ]
        subprocess.run(pip, check=True, stdout=sys.stderr)
        stamp.touch()
    return _ENVIRONMENT / "bin"


def failed_rules(commands: Path, file: Path, folder: Path) -> set[str]:
    """Return the rules of FOCUS 1.2 that a Parquet file breaks. ``folder``: for its needs.

    A CSV has no types, and the validator takes account numbers in it for numbers.
    """
    code = "import focus_validator as f; print(f.__path__[0])"
    done = subprocess.run(
        [commands / "python", "-c", code], check=True, capture_output=True, text=True
    )
    rules = folder / "focus_validator" / "rules"
    rules.mkdir(parents=True, exist_ok=True)
    shutil.copy(Path(done.stdout.strip()) / "rules" / "currency_codes.csv", rules)
    words = ["--data-file", file, "--validate-version", "1.2", "--block-download"]
    done = subprocess.run(
        [commands / "focus-validator", *words], cwd=folder, capture_output=True, text=True
    )
    totals = re.search(r"Total: \d+ \| Pass: (\d+) \| Fail: (\d+)", done.stdout)
    assert totals, done.stdout[-2000:] + done.stderr[-2000:]
    failed = set(re.findall(r"^\S* ?([\w-]+): FAIL\b", done.stdout, re.MULTILINE))
    assert int(totals[1]) > 100
    assert len(failed) == int(totals[2])
    return failed
