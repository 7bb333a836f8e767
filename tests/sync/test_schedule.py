"""``--every``: at even intervals, sooner after a transient failure, until stopped."""

from __future__ import annotations

from datetime import timedelta

import pytest

from etl.errors import AccessError, ConfigError, RetriableError, StoppedError, WarehouseError
from etl.sync.schedule import repeat
from tests.aws import FakeClock
from tests.sync.support import NOW

MINUTE = 60.0
EVERY = timedelta(minutes=15)


class Runs:
    """Runs that end as specified, after so many seconds each; the last one stops the clock."""

    def __init__(self, *results: bool | Exception, seconds: float = 0.0) -> None:
        self.clock, self.seconds = FakeClock(NOW), seconds
        self.results = list(results)
        self.started: list[float] = []
        self.told: list[str] = []

    def __call__(self) -> bool:
        self.started.append(self.clock.monotonic())
        self.clock.sleep(self.seconds)
        result = self.results.pop(0)
        if not self.results:
            self.clock.stop.set()
        if isinstance(result, Exception):
            raise result
        return result

    def go(self) -> list[float]:
        """Return the pauses from start to start."""
        repeat(self, EVERY, self.clock, self.told.append)
        return [
            later - earlier for earlier, later in zip(self.started, self.started[1:], strict=False)
        ]


def test_runs_start_evenly_however_long_they_take() -> None:
    assert Runs(True, True, True, seconds=4 * MINUTE).go() == [15 * MINUTE] * 2


def test_a_run_that_takes_longer_is_followed_at_once() -> None:
    assert Runs(True, True, seconds=40 * MINUTE).go() == [40 * MINUTE]


@pytest.mark.parametrize(
    "failure",
    [False, RetriableError("AWS is away"), AccessError("signed out"), WarehouseError("disk full")],
)
def test_after_a_failure_it_tries_sooner_then_more_and_more_seldom(
    failure: bool | Exception,
) -> None:
    runs = Runs(True, *[failure] * 7, True, True, True)
    assert runs.go() == [
        15 * MINUTE,
        30,
        60,
        120,
        240,
        480,
        15 * MINUTE,
        15 * MINUTE,
        15 * MINUTE,
        15 * MINUTE,
    ]
    assert runs.told == ([] if failure is False else [str(failure)] * 7)


def test_a_stop_ends_it_during_a_run_and_during_a_pause() -> None:
    assert Runs(StoppedError("stopped")).go() == []
    assert Runs(True).go() == []


def test_a_config_file_broken_during_a_run_is_reported_and_can_be_fixed() -> None:
    runs = Runs(True, ConfigError("unknown key"), True)
    assert runs.go() == [15 * MINUTE, 30]
    assert runs.told == ["unknown key"]


def test_a_file_that_is_wrong_from_the_start_ends_it() -> None:
    with pytest.raises(ConfigError):
        Runs(ConfigError("unknown key"), True).go()


def test_a_defect_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        Runs(ZeroDivisionError()).go()
