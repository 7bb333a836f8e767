"""Pages that answer one question each: errors, models, an hour's calls, unusual use."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from datasette.app import Datasette
from datasette.utils.asgi import Request, Response

from etl.errors import DataError
from etl.show import errors
from etl.show.caches import CacheUse, cache_use
from etl.show.numbers import Row
from etl.show.unusual import UNUSUAL
from etl.web import pages, queries
from etl.web.pages import View

# Models whose users are listed, and users of each.
_DEAREST = 3
_USERS = 10

_HOUR = re.compile(r"\d{4}-\d\d-\d\dT\d\d")


# By view of unusual use, the query of the pages.
_UNUSUAL = {
    "suspicious_errors": "unusual_errors",
    "new_principals": "unusual_callers",
    "cost_spikes": "unusual_costs",
}


def routes() -> list[tuple[str, Callable[..., Awaitable[Response]]]]:
    """Return the addresses of these pages, for Datasette."""
    return [
        (r"^/errors$", errors_page),
        (r"^/models$", models_page),
        (r"^/hour$", hour_page),
        (r"^/unusual$", unusual_page),
    ]


async def errors_page(request: Request, datasette: Datasette) -> Response:
    """Answer with the kinds of error, by application, model, user and day."""
    return await pages.answer(request, datasette, "usage_errors.html", _errors)


async def models_page(request: Request, datasette: Datasette) -> Response:
    """Answer with what models cost, who uses the dearest, and what their caches save."""
    return await pages.answer(request, datasette, "usage_models.html", _models)


async def hour_page(request: Request, datasette: Datasette) -> Response:
    """Answer with the calls of one hour."""
    return await pages.answer(request, datasette, "usage_hour.html", _hour)


async def unusual_page(request: Request, datasette: Datasette) -> Response:
    """Answer with what is unusual of the selected days."""
    return await pages.answer(request, datasette, "usage_unusual.html", _unusual)


@dataclass
class Failures:
    """The failed calls of something by kind; ``all_calls``: with those that did not fail."""

    names: Row
    kinds: Counter[str] = field(default_factory=Counter)
    all_calls: int = 0

    @property
    def failed(self) -> int:
        """The number of failed calls."""
        return self.kinds.total()


def by_kind(rows: Iterable[Row], *columns: str) -> list[Failures]:
    """Return the failed calls of each combination of columns, those with most of them first."""
    found: dict[tuple[Any, ...], Failures] = {}
    for row in rows:
        one = found.setdefault(tuple(row[column] for column in columns), Failures(row))
        one.kinds[row["error_kind"]] += row["failed_calls"]
        one.all_calls = row["all_calls"]
    return sorted(found.values(), key=lambda one: -one.failed)


async def _errors(view: View) -> dict[str, Any]:
    (usage, whole, applications), (models, users, days), choices, last = await asyncio.gather(
        asyncio.gather(view.rows("usage"), view.rows("errors"), view.rows("errors", "application")),
        asyncio.gather(
            view.rows("errors", "model", "region"),
            view.rows("errors", "user"),
            view.rows("errors", "day", "application"),
        ),
        view.rows("choices"),
        pages.last_call(view, at_any_time=True),
    )
    found = by_kind(whole)
    by_day = by_kind(days, "day", "application")
    return {
        "title": "Errors: which calls failed, and why",
        "total": usage[0] if usage and usage[0]["calls"] is not None else None,
        "choices": pages.choices_of(choices, view.selection),
        "last_call": last,
        "age": pages.age_of(last),
        "whole": found[0] if found else None,
        "error_kinds": [kind for kind in errors.KINDS if found and found[0].kinds[kind]],
        "meanings": errors.KINDS,
        "applications": by_kind(applications, "application"),
        "models": by_kind(models, "model_id", "region"),
        "users": by_kind(users, "user_name"),
        "days": sorted(by_day, key=lambda one: str(one.names["day"]), reverse=True),
    }


async def _models(view: View) -> dict[str, Any]:
    usage, saved, choices, last = await asyncio.gather(
        view.rows("usage", "model"),
        view.rows("cache_savings_by_application"),
        view.rows("choices"),
        pages.last_call(view, at_any_time=True),
    )
    priced = [row for row in usage if row["usd_per_ktok"]]
    dearest = sorted(priced, key=lambda row: -row["usd_per_ktok"])[:_DEAREST]
    names = tuple(row["model_id"] for row in dearest)
    users = (
        await view.rows("usage", "user", "model", over=replace(view.selection, models=names))
        if names
        else []
    )
    return {
        "title": "Models",
        "total": usage or None,
        "all_costs": sum(row["cost_usd"] or 0 for row in usage),
        "choices": pages.choices_of(choices, view.selection),
        "last_call": last,
        "age": pages.age_of(last),
        "models": sorted(usage, key=lambda row: -(row["usd_per_ktok"] or 0)),
        "caches": caches_by_model(saved),
        "dearest": [
            {
                "row": row,
                "users": (own := [one for one in users if one["model_id"] == row["model_id"]])[
                    :_USERS
                ],
                "left_out": max(0, len(own) - _USERS),
            }
            for row in dearest
        ],
    }


def caches_by_model(rows: Iterable[Row]) -> dict[str, CacheUse]:
    """Return what caching did for each model, from the rows of each application."""
    own: dict[str, list[Row]] = {}
    for row in rows:
        own.setdefault(row["model_id"], []).append(row)
    return {model: cache_use(some) for model, some in own.items()}


async def _hour(view: View) -> dict[str, Any]:
    hour = view.request.args.get("hour") or ""
    moment = _moment(hour)
    day = moment.date()
    own = replace(view, selection=replace(view.selection, since=day, until=day, preset=None))
    more = {queries.HOUR: hour}
    calls, hours = await asyncio.gather(
        own.rows("hour_calls", more=more),
        own.rows("hours", more={"since": hour, "until": hour}),
    )
    step = timedelta(hours=1)
    return {
        "title": f"Calls of {day}, {hour[11:]}:00 to {hour[11:]}:59 UTC",
        "view": own,
        "hour": hour,
        "before": f"{moment - step:%Y-%m-%dT%H}",
        "after": f"{moment + step:%Y-%m-%dT%H}",
        "total": hours[0] if hours else None,
        "calls": calls,
        "data": own.data("hour_calls", more=more),
    }


def _moment(hour: str) -> datetime:
    try:
        if _HOUR.fullmatch(hour):
            moment = datetime.fromisoformat(f"{hour}:00:00+00:00")
            # Leave room for the hours beside it.
            if 2000 <= moment.year < 3000:
                return moment
    except ValueError:
        pass
    raise DataError(f"hour={hour[:40]} is not an hour, such as 2026-09-01T14")


async def _unusual(view: View) -> dict[str, Any]:
    found = await asyncio.gather(*(view.rows(query) for query in _UNUSUAL.values()))
    return {
        "title": "Unusual use",
        "sections": [
            {"about": UNUSUAL[name], "rows": rows, "data": view.data(query), "view": name}
            for (name, query), rows in zip(_UNUSUAL.items(), found, strict=True)
        ],
    }
