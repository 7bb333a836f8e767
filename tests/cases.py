"""A table of cases of one rule as one test: a fraction of the time of a test for each case.

Only for cases that leave nothing behind: they share the fixtures of the test.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest


def cases(
    names: str | Sequence[str], table: Iterable[Any]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a test for each case, like ``parametrize``, and name every case that fails."""
    arguments = [names] if isinstance(names, str) else [*names]
    rows = [row if len(arguments) > 1 else (row,) for row in table]
    assert rows, "no cases"

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        def run_all(**fixtures: Any) -> None:
            failed = []
            for row in rows:
                case = dict(zip(arguments, row, strict=True))
                try:
                    test(**fixtures, **case)
                except (Exception, pytest.fail.Exception) as error:
                    failed.append(f"{case}\n{type(error).__name__}: {error}")
            if failed:
                pytest.fail(f"{len(failed)} of {len(rows)} cases:\n" + "\n\n".join(failed))

        own = inspect.signature(test)
        others = [one for name, one in own.parameters.items() if name not in arguments]
        assert len(others) + len(arguments) == len(own.parameters)
        run_all.__signature__ = own.replace(parameters=others)  # type: ignore[attr-defined]
        run_all.__name__, run_all.__doc__ = test.__name__, test.__doc__
        run_all.__module__ = test.__module__
        return run_all

    return decorate
