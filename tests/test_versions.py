"""The versions of dependencies: not below the first safe ones, and pinned to those tested."""

from __future__ import annotations

from typing import Any

import pytest
from packaging.version import Version

from scripts.check_versions import (
    CONSTRAINTS,
    foreign_lines,
    load_bounds,
    load_constraints,
    load_installed,
    load_safe,
    problems,
)
from scripts.renew_constraints import constraints_of

SAFE = load_safe()
BOUNDS, INSTALLED = load_bounds(), load_installed(SAFE)
PINS = load_constraints(CONSTRAINTS.read_text(encoding="utf-8"))
FLOORS = {name: Version(one["first_safe"]) for name, one in SAFE.items() if "first_safe" in one}


def test_every_version_is_safe() -> None:
    assert list(problems(SAFE, BOUNDS, PINS, INSTALLED)) == []
    assert FLOORS["datasette"] >= Version("0.65.4")
    assert FLOORS["filelock"] >= Version("3.20.3")


@pytest.mark.parametrize("place", ["bounds", "constraints", "installed"])
def test_a_version_before_the_first_safe_one_is_found(place: str) -> None:
    for name, floor in FLOORS.items():
        if place == "bounds" and SAFE[name].get("tests"):
            continue
        for lower in (Version("0"), Version(f"{floor}.dev1")):
            kinds: dict[str, dict[str, Any]] = {
                "bounds": dict(BOUNDS), "constraints": dict(PINS), "installed": dict(INSTALLED)
            }  # fmt: skip
            kinds[place][name] = lower
            assert [one for one in problems(SAFE, **kinds) if one.startswith(f"{name}: ")]


def test_a_dependency_that_nobody_looked_at_is_found() -> None:
    more = {**BOUNDS, "left-pad": Version("1.0")}
    assert [one[:9] for one in problems(SAFE, more, PINS, INSTALLED)] == ["left-pad:"]


def test_constraints_name_versions_and_no_host() -> None:
    assert foreign_lines(CONSTRAINTS.read_text(encoding="utf-8")) == []
    for line in ("--index-url https://x/simple", "a @ file:///opt/a.whl", "a>=1", "-e ."):
        assert foreign_lines(f"# said\na==1.0\n{line}\n") == [line]


def test_every_dependency_is_in_the_constraints() -> None:
    assert set(BOUNDS) <= set(PINS)
    for name, lower in BOUNDS.items():
        assert lower is None or PINS[name] >= lower


def test_what_pip_says_becomes_exact_versions() -> None:
    said = "b==2.0+cpu\n-e git+https://host/x\nA==1.0.post1\nc @ file:///tmp/c.whl\n"
    lines = constraints_of(said).splitlines()
    assert [line for line in lines if line[0] != "#"] == ["A==1.0.post1", "b==2.0"]
