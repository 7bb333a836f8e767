"""Option types: what each accepts, and the message for what it does not."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import click

from etl.cli.shared.utf8 import Text
from etl.config import check_archive, parse_duration, parse_since
from etl.errors import ConfigError
from etl.times import WORDS


class Duration(click.ParamType):  # type: ignore[type-arg]  # generic in newer clicks only
    """A number and a unit: 36h. Anything shorter than ``least`` is refused, ``because`` of this."""

    name = "duration"

    def __init__(self, least: str | None = None, because: str = "") -> None:
        self._least, self._because = least, because

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        if isinstance(value, timedelta):
            return value
        try:
            duration = parse_duration(value)
        except ConfigError as error:
            self.fail(str(error), param, ctx)
        if self._least and duration < parse_duration(self._least):
            self.fail(f"must be at least {self._least}: {self._because}", param, ctx)
        return duration


class HowFarBack(click.ParamType):  # type: ignore[type-arg]
    """A duration, 90d, a date, 2026-09-01, or a range in words, which means its first day.

    ``moment_of`` turns a duration or a date into a moment.
    """

    name = "duration|date"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta | datetime:
        if isinstance(value, (timedelta, datetime)):
            return value
        if value in WORDS:
            return datetime.combine(WORDS[value](today())[0], time(tzinfo=UTC))
        try:
            return parse_since(value)
        except ConfigError as error:
            self.fail(str(error), param, ctx)


def moment_of(since: timedelta | datetime | None, now: datetime) -> datetime | None:
    """Return the moment that a duration or a date means.

    Raises ConfigError if it is in the future.
    """
    if since is None:
        return None
    moment = now - since if isinstance(since, timedelta) else since
    if moment > now:
        raise ConfigError(f"since is {moment.date()}, which is in the future")
    return moment


def today() -> date:
    """Return the day that words and numbers of days are counted from, in UTC."""
    return datetime.now(UTC).date()


class Day(click.DateTime):
    """A date, 2026-09-01; a range in words, last-week; or a number of days with today, 7d.

    ``is_last``: a range means its last day instead of its first.
    """

    def __init__(self, *, is_last: bool = False) -> None:
        super().__init__(["%Y-%m-%d"])
        self._is_last = is_last

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        try:
            days = self._range_of(value)
        except OverflowError:
            self.fail(f"{value!r} is further back than the calendar goes", param, ctx)
        if days:
            return datetime.combine(days[self._is_last], time())
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            words = ", ".join(("today", *WORDS))
            also = words if self._is_last else f"{words}, or a number of days like 7d"
            self.fail(f"{value!r} is not a date like 2026-09-01, nor {also}", param, ctx)

    def _range_of(self, value: Any) -> tuple[date, date] | None:
        """Return the first and the last day of a range; None for anything else."""
        if value == "today":
            return today(), today()
        if value in WORDS:
            return WORDS[value](today())
        number = re.fullmatch(r"([1-9][0-9]*)d", str(value))
        if number is None or self._is_last:
            return None
        return today() - timedelta(days=int(number[1]) - 1), today()


class Month(click.ParamType):  # type: ignore[type-arg]
    """A month, 2026-10, or last-month."""

    name = "month"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value == "last-month":
            return WORDS["last-month"](today())[0].strftime("%Y-%m")
        if not re.fullmatch(r"[0-9]{4}-(?:0[1-9]|1[0-2])", str(value), re.ASCII):
            self.fail(f"{value!r} is not a month like 2026-10, nor last-month", param, ctx)
        return str(value)


class WarehousePath(click.Path):
    """The path of a warehouse. A name that SQLite would not take as a file is refused."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = Path(str(super().convert(value, param, ctx)))
        if str(path) == ":memory:":
            self.fail(f"{path}: a warehouse must be a file, not in memory", param, ctx)
        if str(path).startswith("file:"):
            self.fail(f"{path}: give the plain path, without file:", param, ctx)
        return path


class ArchiveFolder(Text):
    """A folder, or an s3:// address, where raw events are kept."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return check_archive(super().convert(value, param, ctx))
        except ConfigError as error:
            self.fail(str(error), param, ctx)
