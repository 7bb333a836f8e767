"""The pages: from a request to its rows, and to HTML.

Every figure comes from a query of ``sql/pages``, with the same parameters as the links to CSV and
JSON. External text goes through Jinja, which escapes all of it.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, urlencode

from datasette.app import Datasette
from datasette.utils.asgi import Request, Response
from datasette.views.base import DatasetteError

from etl.errors import DataError
from etl.normalise.token_kinds import SHOWN_TOKENS, TOKENS_ALONE
from etl.show import budgets as shown_budgets
from etl.show import numbers
from etl.show.comparisons import ABOUT_CACHE, ABOUT_QUOTAS, COMPARISONS, best_of_each
from etl.show.numbers import Row, kind_of_use, of_month
from etl.times import utc_text
from etl.warehouse.read.budgets import CANNOT_BE_JUDGED, EXCEEDED, WARNING
from etl.web import queries, refresh, vega_bundle
from etl.web.selection import NAMES, PRESETS, STACKS, Selection, parse_selection
from etl.web.site import DATABASE
from etl.web.visitors import EVERYTHING, Allowed, allowed_usage, has_passwords, own_user

# Names in charts and in the tables below them; the links lead to all names.
_TOP = 10
_STACKED = 8

# Where a month of the bill differs.
_PLACES = 25

# Other models that a model is compared with.
_OTHERS = 4

# For the token chart: column, heading, whether it is input.
_TOKEN_KINDS = json.dumps([(kind.shown, kind.heading, kind.is_input) for kind in TOKENS_ALONE])

# More than a person selects, in an address that servers still accept.
_MAX_FIELDS = 1000

# Per query; Datasette allows the same for all others (SETTINGS in app).
_SECONDS = 10

# The subjects that have a page, and the word in its title.
SUBJECTS = {"application": "Application", "user": "User", "team": "Team", "model": "Model"}


@dataclass(frozen=True)
class View:
    """One visitor's request, and the selection it shows."""

    datasette: Datasette
    request: Request
    freshness: Row
    selection: Selection
    allowed: Allowed

    async def rows(
        self, query: str, *by: str, over: Selection | None = None
    ) -> list[dict[str, Any]]:
        """Return the rows of a query of ``sql/pages``; ``over``: a selection other than its own."""
        parameters = (over or self.selection).parameters(*by)
        return await _rows(self.datasette, self.request, query, parameters, self.allowed)

    async def budgets(self) -> list[dict[str, Any]]:
        """Return the states of the budgets now, in the order of the file."""
        # Of this minute, so that the answer can be kept that long.
        now = {"now": utc_text(datetime.now(UTC).replace(second=0, microsecond=0))}
        return await _rows(self.datasette, self.request, "budgets", now, self.allowed)

    def link(self, path: str, query: str = "") -> str:
        """Return an address on this site."""
        address = str(self.datasette.urls.path(path))
        return f"{address}?{query}" if query else address

    def data(self, query: str, *by: str, top: int | None = None) -> dict[str, str]:
        """Return the addresses of a query's rows: as a page, as JSON and as CSV.

        ``top``: in JSON and CSV, list this many names and sum up the others, as a chart does.
        """
        parameters = self.selection.parameters(*by)
        drawn = urlencode(parameters | ({queries.TOP: str(top)} if top else {}))
        return {
            "html": self.link(f"/{DATABASE}/{query}", urlencode(parameters)),
            "json": self.link(f"/{DATABASE}/{query}.json", f"{drawn}&_shape=objects"),
            "csv": self.link(f"/{DATABASE}/{query}.csv", f"{drawn}&_size=max"),
        }

    def subject(self, kind: str, name: object, **changes: Any) -> str:
        """Return the address of the page of an application, user, team or model."""
        rest = self.selection.query(without=kind, **changes)
        return self.link(f"/{kind}", urlencode({"name": str(name)}) + (f"&{rest}" if rest else ""))

    def cost_link(self, kind: str = "", name: object = "") -> str:
        """Return the address that explains the cost of this selection, or of one name in it."""
        selection = self.selection.about(kind, str(name)) if kind else self.selection
        return self.link("/cost", selection.query())


def routes() -> list[tuple[str, Callable[..., Awaitable[Response]]]]:
    """Return the addresses of the pages, for Datasette."""
    return [
        (r"^/$", dashboard),
        (r"^/(?P<kind>application|user|team|model)$", subject_page),
        (r"^/cost$", cost_page),
        (r"^/bill$", bill_page),
        (r"^/budgets$", budgets_page),
        (r"^/me$", own_page),
        (r"^/savings$", savings_page),
        (rf"^/-/charts/{re.escape(vega_bundle.file_name())}$", vega),
    ]


async def vega() -> Response:
    """Answer with the chart library; its address changes with its version."""
    script = await asyncio.to_thread(vega_bundle.javascript)
    headers = {"Cache-Control": "public, max-age=31536000, immutable"}
    return Response(script, content_type="text/javascript; charset=utf-8", headers=headers)


async def dashboard(request: Request, datasette: Datasette) -> Response:
    """Answer with the main page: what was spent, by whom, on what."""
    return await _answer(request, datasette, "usage_dashboard.html", _dashboard)


async def subject_page(request: Request, datasette: Datasette) -> Response:
    """Answer with the page of one application, user, team or model."""
    return await _answer(request, datasette, "usage_subject.html", _subject)


async def cost_page(request: Request, datasette: Datasette) -> Response:
    """Answer with how a cost is calculated: tokens, prices with their source, calls."""
    return await _answer(request, datasette, "usage_cost.html", _cost)


async def bill_page(request: Request, datasette: Datasette) -> Response:
    """Answer with AWS's bill beside our figures, and why they differ."""
    return await _answer(request, datasette, "usage_bill.html", _bill)


async def budgets_page(request: Request, datasette: Datasette) -> Response:
    """Answer with the state of each budget."""
    return await _answer(request, datasette, "usage_budgets.html", _budgets)


async def own_page(request: Request, datasette: Datasette) -> Response:
    """Answer with a visitor's own calls, costs and budgets."""
    return await _answer(request, datasette, "usage_own.html", _own)


async def savings_page(request: Request, datasette: Datasette) -> Response:
    """Answer with what caching saved, and what the same tokens would have cost otherwise."""
    return await _answer(request, datasette, "usage_savings.html", _savings)


async def _answer(
    request: Request,
    datasette: Datasette,
    template: str,
    prepare: Callable[[View], Awaitable[dict[str, Any]]],
) -> Response:
    await datasette.ensure_permissions(request.actor, ["view-instance"])
    try:
        view = await _view(datasette, request)
        context = await prepare(view)
    except DataError as error:
        raise DatasetteError(str(error), status=400) from None
    shared = {"view": view, "figures": numbers, "refresh": await refresh.offer(datasette, request)}
    page = await datasette.render_template(
        template, _frame(view) | context | shared, request=request
    )
    return Response.html(page)


async def _view(datasette: Datasette, request: Request) -> View:
    freshness = (await _rows(datasette, request, "freshness", {}))[0]
    last_day = date.fromisoformat(freshness["last_day"] or datetime.now(UTC).date().isoformat())
    selection = parse_selection(_pairs(request), last_day=last_day)
    allowed = allowed_usage(datasette, request.actor) or EVERYTHING
    return View(datasette, request, freshness, selection, allowed)


def _pairs(request: Request) -> list[tuple[str, str]]:
    """Return the address's parameters; a subject's page adds its own name to the selection."""
    try:
        pairs = parse_qsl(request.query_string, max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise DataError(f"The address has more than {_MAX_FIELDS:,} parameters") from None
    kind = request.url_vars.get("kind") if request.url_vars else None
    if kind is None:
        return pairs
    names = [(kind, value) for key, value in pairs if key == "name"]
    if len(names) != 1:
        raise DataError(f"name= must name one {kind}")
    return [(key, value) for key, value in pairs if key not in ("name", kind)] + names


async def _rows(
    datasette: Datasette,
    request: Request,
    query: str,
    parameters: Mapping[str, str],
    allowed: Allowed | None = None,
) -> list[dict[str, Any]]:
    allowed = allowed or allowed_usage(datasette, request.actor) or EVERYTHING
    blank = dict.fromkeys((*queries.DIMENSIONS, queries.TOP, *queries.FILTERS, queries.NOW), "")
    visitor = {"_visitor_user": own_user(datasette, request.actor)}
    bound = blank | dict(parameters) | allowed.parameters | visitor
    fetch = datasette.bedrock_usage.answers.fetch
    rows = await datasette.get_database(DATABASE).execute_fn(
        partial(fetch, sql=queries.sql_of(query), parameters=bound, seconds=_SECONDS)
    )
    return [dict(row) for row in rows]


def _frame(view: View) -> dict[str, Any]:
    """Return the context of every page: presets, choices, and how fresh the data is."""
    return {
        "visitor": (view.request.actor or {}).get("id"),
        "has_password": has_passwords(view.datasette),
        "allowed": allowed_usage(view.datasette, view.request.actor),
        "own_user": own_user(view.datasette, view.request.actor),
        "presets": PRESETS,
        "stacks": STACKS,
        "kinds": NAMES,
        "stacked": _STACKED,
        "token_kinds": _TOKEN_KINDS,
        "vega": view.link(f"/-/charts/{vega_bundle.file_name()}"),
        "freshness": view.freshness,
        "age": _age(view.freshness["last_event_time"]),
        "read_age": _age(view.freshness["last_read_at"]),
    }


def _age(moment: str | None) -> str | None:
    if moment is None:
        return None
    return numbers.span(datetime.now(UTC) - datetime.fromisoformat(moment))


async def _dashboard(view: View) -> dict[str, Any]:
    selection = view.selection
    gathered = await asyncio.gather(
        view.budgets(),
        view.rows("usage"),
        view.rows("usage", over=selection.before()),
        view.rows("token_parts"),
        view.rows("usage", "day"),
        view.rows("choices"),
        view.rows("capacity"),
        view.rows("guardrails"),
        view.rows("billed"),
        view.rows("forecast"),
        *(view.rows("usage", stack) for stack in STACKS),
    )
    (
        budgets,
        total,
        before,
        parts,
        days,
        choices,
        capacity,
        guardrails,
        billed,
        month,
        *tops,
    ) = gathered
    return {
        "title": "Amazon Bedrock usage and cost",
        "budgets": _budget_card(budgets),
        "shown_budgets": shown_budgets,
        **_totals(view, total, before, parts),
        "choices": _choices(choices, selection),
        "capacity": numbers.capacity(capacity[0]),
        "guardrails": numbers.guardrails(guardrails[0]),
        "billed": _billed(billed),
        "month": month,
        "days": days,
        "tops": [
            _top(view, kind, column, rows)
            for (kind, column), rows in zip(STACKS.items(), tops, strict=True)
        ],
    }


async def _subject(view: View) -> dict[str, Any]:
    kind = view.request.url_vars["kind"]
    (name,) = view.selection.chosen(kind)
    other = "user" if kind == "application" else "application"
    gathered = await asyncio.gather(
        view.rows("usage"),
        view.rows("usage", over=view.selection.before()),
        view.rows("token_parts"),
        view.rows("usage", "day"),
        view.rows("usage", "region", "model"),
        view.rows("usage", other),
        view.rows("evidence"),
        view.rows("cost_lines"),
        view.rows("latest_calls"),
        view.rows("guardrails"),
        view.rows("billed"),
        view.rows("forecast"),
    )
    (
        total,
        before,
        parts,
        days,
        used,
        others,
        evidence,
        lines,
        calls,
        guardrails,
        billed,
        month,
    ) = gathered
    return {
        "title": f"{SUBJECTS[kind]} {name}",
        "kind": kind,
        "kind_title": SUBJECTS[kind],
        "name": name,
        **_totals(view, total, before, parts),
        "days": days,
        "guardrails": numbers.guardrails(guardrails[0]),
        "billed": _billed(billed),
        "month": month,
        "used": used,
        "top": _top(view, other, STACKS[other], others),
        "evidence": evidence,
        "lines": lines,
        "calls": calls,
    }


async def _cost(view: View) -> dict[str, Any]:
    total, parts, weights, lines, calls, guardrails = await asyncio.gather(
        view.rows("usage"),
        view.rows("token_parts"),
        view.rows("weights"),
        view.rows("cost_lines"),
        view.rows("latest_calls"),
        view.rows("guardrails"),
    )
    selection = view.selection
    return {
        "title": "How this cost is calculated",
        **_totals(view, total, [], parts),
        "guardrails": numbers.guardrails(guardrails[0]),
        "weights": weights if parts[0]["calibrated_tokens"] else [],
        "lines": lines,
        "calls": calls,
        "chosen": [
            (kind, ", ".join(selection.chosen(kind))) for kind in NAMES if selection.chosen(kind)
        ],
    }


async def _bill(view: View) -> dict[str, Any]:
    months, rows, left_out = await asyncio.gather(
        view.rows("bill_months"), view.rows("bill_reasons"), view.rows("bill_left_out")
    )
    return {
        "title": "Does the bill agree?",
        "months": [_month(month, rows) for month in months],
        "accounts_left_out": left_out,
    }


async def _budgets(view: View) -> dict[str, Any]:
    states = await view.budgets()
    return {
        "title": "Budgets",
        "current": [one for one in states if one["is_current"]],
        "ended": [one for one in states if not one["is_current"]],
        "shown": shown_budgets,
    }


def _budget_card(states: Sequence[Row]) -> dict[str, Any] | None:
    """Return the current budgets by their states; None without budgets."""
    current = [one for one in states if one["is_current"]]
    if not current:
        return None
    by_use = sorted(current, key=lambda one: -(one["used_percent"] or 0))
    by_state = {
        state: [one for one in by_use if one["state"] == state] for state in shown_budgets.STATES
    }
    return {
        "all": len(current),
        "most": by_use[0],
        "exceeded": by_state[EXCEEDED],
        "not_judged": by_state[CANNOT_BE_JUDGED],
        "warnings": len(by_state[WARNING]),
    }


async def _own(view: View) -> dict[str, Any]:
    """Prepare a visitor's own page: of one user, whatever else the visitor may see.

    Its figures are never offered as CSV or JSON: those addresses show what the visitor may see.
    """
    user = own_user(view.datasette, view.request.actor)
    if user is None:
        raise DatasetteError(
            "The configuration does not say which user you are: see [[serve.restrictions]]",
            status=404,
        )
    own = replace(view, selection=view.selection.alone("user", user), allowed=EVERYTHING)
    total, before, parts, days, models, applications, calls, budgets = await asyncio.gather(
        own.rows("usage"),
        own.rows("usage", over=own.selection.before()),
        own.rows("token_parts"),
        own.rows("usage", "day"),
        own.rows("usage", "model"),
        own.rows("usage", "application"),
        own.rows("latest_calls"),
        view.budgets(),
    )
    return {
        "title": f"Your usage: {user}",
        "user": user,
        "billed": _billed([]),
        **_totals(own, total, before, parts),
        "days": days,
        "models": models,
        "applications": applications,
        "calls": calls,
        "current": [one for one in budgets if one["is_current"] and one["only_user"] == user],
        "shown": shown_budgets,
    }


def _month(month: Row, rows: Sequence[Row]) -> dict[str, Any]:
    """Return a month of the bill with its reasons, and the places where they are largest."""
    own = of_month(month, rows)
    amounts: Counter[str] = Counter()
    for row in own:
        amounts[row["reason"]] += row["difference_usd"]
    return {
        "row": month,
        "reasons": sorted(amounts.items(), key=lambda one: -abs(one[1])),
        "places": [{**row, "kind": kind_of_use(row)} for row in own[:_PLACES]],
        "left_out": max(0, len(own) - _PLACES),
    }


async def _savings(view: View) -> dict[str, Any]:
    cache, models, scopes, tiers, quotas, throttled, choices = await asyncio.gather(
        view.rows("cache_savings_by_application"),
        view.rows("other_models"),
        view.rows("other_scopes"),
        view.rows("other_tiers"),
        view.rows("quotas"),
        view.rows("throttled"),
        view.rows("choices"),
    )
    saved = [row["saved_usd"] for row in cache if row["saved_usd"] is not None]
    return {
        "title": "What could be saved?",
        "choices": _choices(choices, view.selection),
        "cache": cache[:_PLACES],
        "cache_left_out": max(0, len(cache) - _PLACES),
        "saved_usd": sum(saved) if saved else None,
        "unknown": len(cache) - len(saved),
        "read_tokens": _known_sum(cache, "cache_read_tokens"),
        "written_tokens": _known_sum(cache, "cache_write_tokens"),
        "cacheable_tokens": _known_sum(cache, "cacheable_input_tokens"),
        "models": _first_rows(best_of_each(models, _OTHERS), len(models)),
        "scopes": _first_rows(scopes, len(scopes)),
        "tiers": _first_rows(tiers, len(tiers)),
        "quotas": _first_rows(quotas, len(quotas)),
        "throttled": _first_rows(throttled, len(throttled)),
        "about_quotas": ABOUT_QUOTAS,
        "comparisons": COMPARISONS,
        "about_cache": ABOUT_CACHE,
        "decimals": 2,
    }


def _first_rows(rows: Sequence[Row], of: int) -> dict[str, Any]:
    shown = rows[:_PLACES]
    return {"rows": shown, "left_out": of - len(shown)}


def _known_sum(rows: Sequence[Row], column: str) -> int | None:
    known = [row[column] for row in rows if row[column] is not None]
    return sum(known) if known else None


def _billed(rows: Sequence[Row]) -> dict[str, Any]:
    """Return what AWS billed on the closed days, by day and in all; None where it is nothing.

    ``line``: the same as JSON, for the chart.
    """
    billed = {row["day"]: row["billed_cost_usd"] for row in rows}
    ours = [row["our_cost_usd"] for row in rows if row["our_cost_usd"] is not None]
    by_day = {day: cost for day, cost in billed.items() if cost is not None}
    known = by_day.values()
    return {
        "by_day": billed,
        "line": json.dumps(by_day) if by_day else None,
        "days": len(rows),
        "billed_cost_usd": sum(known) if known else None,
        "our_cost_usd": sum(ours) if ours else None,
    }


def _totals(
    view: View, total: Sequence[Row], before: Sequence[Row], parts: Sequence[Row]
) -> dict[str, Any]:
    """Return the figures of the cards; None where the range is empty."""
    row = total[0] if total and total[0]["calls"] is not None else None
    return {
        "total": row,
        "parts_of_tokens": numbers.token_parts(parts[0]),
        "lacks": numbers.missing(row) if row else "",
        "shows_list": numbers.differs_from_list(row) if row else False,
        "all_tokens": _all_tokens(row) if row else None,
        "change": _change(view, row, before[0] if before else None),
        "decimals": 2 if row and (row["cost_usd"] or 0) >= 1 else 6,
    }


def _all_tokens(row: Row) -> int | None:
    known = [row[column] for column in SHOWN_TOKENS if row[column] is not None]
    return sum(known) if known else None


def _change(view: View, row: Row | None, before: Row | None) -> dict[str, Any] | None:
    """Compare with the range before; None if it is not loaded or has no known cost."""
    first, selection = view.freshness["first_day"], view.selection.before()
    if row is None or before is None or not first or first > selection.since.isoformat():
        return None
    if not before["cost_usd"] or row["cost_usd"] is None:
        return None
    share = (row["cost_usd"] - before["cost_usd"]) / before["cost_usd"]
    return {"share": share, "before": before, "range": selection}


def _choices(rows: Sequence[Row], selection: Selection) -> dict[str, list[tuple[str, bool]]]:
    """Return the names of each kind, and whether each is chosen; include those without usage."""
    choices = {}
    for kind in NAMES:
        chosen = selection.chosen(kind)
        known = [row["name"] for row in rows if row["kind"] == kind]
        unknown = [name for name in chosen if name not in set(known)]
        choices[kind] = [(name, name in chosen) for name in (*unknown, *known)]
    return choices


def _top(view: View, kind: str, column: str, rows: Sequence[Row]) -> dict[str, Any]:
    return {
        "kind": kind,
        "column": column,
        "rows": rows[:_TOP],
        "left_out": max(0, len(rows) - _TOP),
        "data": view.data("usage", kind, top=_TOP),
    }
