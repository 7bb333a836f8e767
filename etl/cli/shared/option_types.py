"""Option types: what each accepts, and the message for what it does not."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click

from etl.cli.shared.utf8 import Text
from etl.config import check_archive, parse_duration, parse_since
from etl.errors import ConfigError


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
    """A duration, 90d, or a date, 2026-09-01; ``moment_of`` turns either into a moment."""

    name = "duration|date"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta | datetime:
        if isinstance(value, (timedelta, datetime)):
            return value
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


class Day(click.DateTime):
    """A date, 2026-09-01."""

    def __init__(self) -> None:
        super().__init__(["%Y-%m-%d"])

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"{value!r} is not a date like 2026-09-01", param, ctx)


class Month(click.ParamType):  # type: ignore[type-arg]
    """A month, 2026-10."""

    name = "month"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not re.fullmatch(r"[0-9]{4}-(?:0[1-9]|1[0-2])", str(value), re.ASCII):
            self.fail(f"{value!r} is not a month like 2026-10", param, ctx)
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
