"""The page of what a visitor searches for: names that contain a text, and calls with an id."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from datasette.app import Datasette
from datasette.utils.asgi import Request, Response

from etl.normalise.model_names import short_name
from etl.show.numbers import Row
from etl.web import pages, queries
from etl.web.pages import View
from etl.web.selection import NAMES, Selection

# Names of a kind that are listed.
_FOUND = 50
_ORDER = ("application", "user", "team", "model", "region")
_MAX_TEXT = 200
_MIN_ID = 8
# Days whose calls are looked through at a time, the latest first.
_DAYS_AT_ONCE = 7

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def routes() -> list[tuple[str, Callable[..., Awaitable[Response]]]]:
    """Return the address of this page, for Datasette."""
    return [(r"^/search$", search_page)]


async def search_page(request: Request, datasette: Datasette) -> Response:
    """Answer with the names that contain a text, and the calls with an id."""
    return await pages.answer(request, datasette, "usage_search.html", _search)


async def _search(view: View) -> dict[str, Any]:
    text = (view.request.args.get("q") or "").strip()[:_MAX_TEXT]
    # Of all days. The text is in no statement: names are compared here.
    choices = await view.rows("choices", over=_ever(view.selection)) if text else []
    names = found_names(choices, text)
    is_id = _may_be_id(text, has_names=any(names.values()))
    calls = await _calls_with(view, text) if is_id else []
    return {
        "title": f"Search: {text}" if text else "Search",
        "searched": text,
        "names": {kind: names[kind][:_FOUND] for kind in _ORDER if names[kind]},
        "left_out": {kind: len(some) - _FOUND for kind, some in names.items()},
        "is_id": is_id,
        "calls": calls,
    }


def found_names(choices: Iterable[Row], text: str) -> dict[str, list[str]]:
    """Return the names of each kind that contain a text in any case, the most alike first.

    A model is also found by its short name.
    """
    wanted = text.casefold()
    found: dict[str, list[tuple[int, int, str]]] = {kind: [] for kind in NAMES}
    for row in choices if wanted else ():
        kind, name = row["kind"], row["name"]
        spellings = {name, short_name(name)} if kind == "model" else {name}
        places = [one.casefold().find(wanted) for one in spellings]
        if max(places) >= 0:
            is_same = wanted in {one.casefold() for one in spellings}
            place = min(place for place in places if place >= 0)
            found[kind].append((0 if is_same else 1, place, name))
    return {kind: [name for _, _, name in sorted(some)] for kind, some in found.items()}


def _may_be_id(text: str, *, has_names: bool) -> bool:
    """Return whether to look for calls with this id, which takes longer than names."""
    is_one_word = len(text) >= _MIN_ID and " " not in text
    return _UUID.fullmatch(text) is not None or (is_one_word and not has_names)


async def _calls_with(view: View, text: str) -> Sequence[Row]:
    """Return the calls with an id, of the latest days that have any."""
    wanted = text.lower() if _UUID.fullmatch(text) else text
    loaded = view.covered.loaded(view.selection)
    until = loaded.until if loaded else None
    while loaded and until and until >= loaded.since:
        since = max(loaded.since, until - timedelta(days=_DAYS_AT_ONCE - 1))
        days = replace(view.selection, since=since, until=until)
        rows = await view.rows("found_calls", over=days, more={queries.ID: wanted})
        if rows:
            return rows
        until = since - timedelta(days=1)
    return []


def _ever(selection: Selection) -> Selection:
    return replace(selection, since=date.min, until=date.max)
