"""Compare the versions of dependencies with the first safe ones: python -m scripts.check_versions

``scripts/safe_versions.toml`` lists them with reasons. This checks the lower bounds in
pyproject.toml, the versions in constraints.txt, and the installed versions.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT, CONSTRAINTS = ROOT / "pyproject.toml", ROOT / "constraints.txt"
SAFE = ROOT / "scripts" / "safe_versions.toml"

# Extras for development only.
_OF_TESTS = ("dev", "bench")

Safe = Mapping[str, Mapping[str, Any]]


def load_safe() -> Safe:
    """Return the known facts about each package."""
    return tomllib.loads(SAFE.read_text(encoding="utf-8"))


def load_bounds() -> dict[str, Version | None]:
    """Return the lower bound of each dependency of an installation, None if it has none."""
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    texts = [*project["dependencies"]]
    for extra, more in project["optional-dependencies"].items():
        texts += [] if extra in _OF_TESTS else more
    return {canonicalize_name(one.name): _lower(one) for one in map(Requirement, texts)}


def _lower(requirement: Requirement) -> Version | None:
    bounds = [Version(s.version) for s in requirement.specifier if s.operator in (">=", "==", "~=")]
    return max(bounds, default=None)


def load_constraints(text: str) -> dict[str, Version]:
    """Return the versions that a constraints file names."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    pairs = (line.split("==", 1) for line in lines if line)
    return {canonicalize_name(name): Version(number) for name, number in pairs}


def load_installed(names: Iterable[str]) -> dict[str, Version]:
    """Return the installed versions of those packages that are installed."""
    found = {}
    for name in names:
        try:
            found[name] = Version(version(name))
        except PackageNotFoundError:
            continue
    return found


def problems(
    safe: Safe,
    bounds: Mapping[str, Version | None],
    constraints: Mapping[str, Version],
    installed: Mapping[str, Version],
) -> Iterator[str]:
    """Yield what is not known to be safe, and what to change."""
    for name in sorted(set(bounds) - set(safe)):
        yield f"{name}: not in {SAFE.name}; look up its advisories and add an entry"
    for name, entry in safe.items():
        if not entry.get("reason") or not entry.get("checked"):
            yield f"{name}: {SAFE.name} must give a reason and the day of the check"
        if "first_safe" not in entry:
            continue
        least = Version(entry["first_safe"])
        if not entry.get("tests") and (bounds.get(name) or Version("0")) < least:
            yield f"{name}: pyproject.toml must say >={least} ({entry['reason']})"
        if name not in constraints or constraints[name] < least:
            yield f"{name}: constraints.txt must name {least} or later; run `make constraints`"
        if name in installed and installed[name] < least:
            yield f"{name}: {installed[name]} is installed; the first safe version is {least}"


def foreign_lines(text: str) -> list[str]:
    """Return the lines of a constraints file that do not pin an exact version."""
    plain = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[0-9][A-Za-z0-9.]*")
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and line[0] != "#" and not plain.fullmatch(line)]


def main() -> None:
    """Print every problem; exit with 1 if there is any."""
    safe, text = load_safe(), CONSTRAINTS.read_text(encoding="utf-8")
    found = [f"{line}: constraints.txt must pin exact versions" for line in foreign_lines(text)]
    found += problems(safe, load_bounds(), load_constraints(text), load_installed(safe))
    sys.exit("\n".join(found) or 0)


if __name__ == "__main__":
    main()
