"""The pages: from a request to its rows, and to HTML.

Every figure comes from a query of ``sql/pages``, with the same parameters as the links to CSV and
JSON. External text goes through Jinja, which escapes all of it.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import partial
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl, urlencode

from datasette.app import Datasette
from datasette.utils.asgi import Request, Response
from datasette.views.base import DatasetteError

from etl.errors import DataError
from etl.normalise.model_names import short_name
from etl.normalise.token_kinds import TOKENS_ALONE
from etl.show import budgets as shown_budgets
from etl.show import numbers
from etl.show.caches import cache_use
from etl.show.comparisons import ABOUT_CACHE, ABOUT_QUOTAS, COMPARISONS, best_of_each
from etl.show.numbers import Row, kind_of_use, of_month
from etl.times import month_before, utc_text
from etl.warehouse.read.budgets import CANNOT_BE_JUDGED, EXCEEDED, WARNING
from etl.web import queries, refresh, tables_csv, vega_bundle
from etl.web.covered import Compared, Covered
from etl.web.selection import DEFAULT_STACK, NAMES, PRESETS, STACKS, Selection, parse_selection
from etl.web.site import DATABASE
from etl.web.visitors import EVERYTHING, Allowed, allowed_usage, has_passwords, own_user

# Names in charts; the links lead to all names.
_TOP = 10
_STACKED = 8
# Rows of a table in a page: the first ones, and more at a press.
_LISTED = 200

# To choose from.
_MONTHS = 36

# Where a month of the bill differs.
_PLACES = 25

# Other models that a model is compared with.
_OTHERS = 4

# For the token chart: column, heading, whether it is input.
_TOKEN_KINDS = json.dumps([(kind.shown, kind.heading, kind.is_input) for kind in TOKENS_ALONE])

# What an address says beside the selection, by the last part of its path.
_KEPT = {"search": "q", "hour": "hour"}

# More than a person selects, in an address that servers still accept.
_MAX_FIELDS = 1000

# Per query; Datasette allows the same for all others (SETTINGS in app).
_SECONDS = 10

_NO_DAYS = {"first_day": None, "last_day": None, "finished_until": None}

# The subjects that have a page, and the word in its title.
SUBJECTS = {"application": "Application", "user": "User", "team": "Team", "model": "Model"}


@dataclass(frozen=True)
class View:
    """One visitor's request, and the selection it shows."""

    datasette: Datasette
    request: Request
    freshness: Row
    selection: Selection
    covered: Covered
    allowed: Allowed

    async def rows(
        self,
        query: str,
        *by: str,
        over: Selection | None = None,
        more: Mapping[str, str] = MappingProxyType({}),
    ) -> list[dict[str, Any]]:
        """Return the rows of a query of ``sql/pages``.

        ``over``: a selection other than its own. ``more``: parameters that no selection has.
        """
        parameters = (over or self.selection).parameters(*by) | {**more}
        return await _rows(self.datasette, self.request, query, parameters, self.allowed)

    async def budgets(self) -> list[dict[str, Any]]:
        """Return the states of the budgets now, in the order of the file."""
        # Of this minute, so that the answer can be kept that long.
        moment = {"now": utc_text(now().replace(second=0, microsecond=0))}
        return await _rows(self.datasette, self.request, "budgets", moment, self.allowed)

    def link(self, path: str, query: str = "") -> str:
        """Return an address on this site."""
        address = str(self.datasette.urls.path(path))
        return f"{address}?{query}" if query else address

    def data(
        self,
        query: str,
        *by: str,
        top: int | None = None,
        over: Selection | None = None,
        more: Mapping[str, str] = MappingProxyType({}),
    ) -> dict[str, str]:
        """Return the addresses of a query's rows: as a page, as JSON, as CSV, and ``drawn``.

        ``top``: what is drawn has this many names, and the sum of the others. ``over``: a selection
        other than its own. ``more``: parameters that no selection has.
        """
        parameters = (over or self.selection).parameters(*by) | {**more}
        rows, shape = urlencode(parameters), "_shape=objects"
        drawn = urlencode(parameters | ({queries.TOP: str(top)} if top else {}))
        return {
            "html": self.link(f"/{DATABASE}/{query}", rows),
            "json": self.link(f"/{DATABASE}/{query}.json", f"{rows}&{shape}"),
            "csv": self.link(f"/{DATABASE}/{query}.csv", rows),
            "drawn": self.link(f"/{DATABASE}/{query}.json", f"{drawn}&{shape}"),
        }

    @property
    def kind(self) -> str:
        """The kind of name that the page is about; empty for a page about no single name."""
        return str((self.request.url_vars or {}).get("kind", ""))

    def here(self, selection: Selection | None = None, **changes: Any) -> str:
        """Return the address of this page with another selection, or with changes."""
        chosen = selection or self.selection
        if self.kind:
            (name,) = self.selection.chosen(self.kind)
            rest = chosen.query(without=self.kind, **changes)
            named = urlencode({"name": name})
            return self.link(f"/{self.kind}", f"{named}&{rest}" if rest else named)
        kept = _KEPT.get(self.request.path.rpartition("/")[2])
        own = [(kept, self.request.args.get(kept) or "")] if kept else []
        query = "&".join(filter(None, (urlencode(own), chosen.query(**changes))))
        return self.link(self.request.path, query)

    def hour_link(self, moment: str, kind: str = "", name: object = "") -> str:
        """Return the address of the calls of an hour, of this selection or of one name."""
        chosen = self.selection.alone(kind, str(name)) if kind else self.selection
        hour = urlencode({"hour": moment[: len("2026-09-01T14")]})
        return self.link("/hour", "&".join(filter(None, (hour, chosen.names_query()))))

    def day_link(self, moment: str, kind: str, name: object) -> str:
        """Return the address of a name's page of one day."""
        only = date.fromisoformat(moment[: len("2026-09-01")])
        return self.subject(kind, name, since=only, until=only, preset=None)

    def range_fields(self) -> list[tuple[str, str]]:
        """Return the selection's days as the fields of a form."""
        return parse_qsl(self.selection.unfiltered().query(by=DEFAULT_STACK))

    def of_day(self, day: str) -> str:
        """Return the address of this page of one day, which it shows hour by hour."""
        only = date.fromisoformat(day)
        return self.here(since=only, until=only, preset=None)

    def unfiltered(self) -> Selection:
        """Return the selection without the filters, but with what the page is about."""
        bare = self.selection.unfiltered()
        return bare.about(self.kind, self.selection.chosen(self.kind)[0]) if self.kind else bare

    def chips(self) -> list[dict[str, str]]:
        """Return the filters that this page has, each with the address without it."""
        return [
            {"kind": kind, "name": name, "without": self.here(self.selection.without(kind, name))}
            for kind, name in self.selection.names()
            if kind != self.kind
        ]

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
        (rf"^/{DATABASE}/(?P<query>{'|'.join(queries.names())})\.csv$", tables_csv.answer),
    ]


async def vega() -> Response:
    """Answer with the chart library; its address changes with its version."""
    script = await asyncio.to_thread(vega_bundle.javascript)
    headers = {"Cache-Control": "public, max-age=31536000, immutable"}
    return Response(script, content_type="text/javascript; charset=utf-8", headers=headers)


async def dashboard(request: Request, datasette: Datasette) -> Response:
    """Answer with the main page: what was spent, by whom, on what."""
    return await answer(request, datasette, "usage_dashboard.html", _dashboard)


async def subject_page(request: Request, datasette: Datasette) -> Response:
    """Answer with the page of one application, user, team or model."""
    return await answer(request, datasette, "usage_subject.html", _subject)


async def cost_page(request: Request, datasette: Datasette) -> Response:
    """Answer with how a cost is calculated: tokens, prices with their source, calls."""
    return await answer(request, datasette, "usage_cost.html", _cost)


async def bill_page(request: Request, datasette: Datasette) -> Response:
    """Answer with AWS's bill beside our figures, and why they differ."""
    return await answer(request, datasette, "usage_bill.html", _bill)


async def budgets_page(request: Request, datasette: Datasette) -> Response:
    """Answer with the state of each budget."""
    return await answer(request, datasette, "usage_budgets.html", _budgets)


async def own_page(request: Request, datasette: Datasette) -> Response:
    """Answer with a visitor's own calls, costs and budgets."""
    return await answer(request, datasette, "usage_own.html", _own)


async def savings_page(request: Request, datasette: Datasette) -> Response:
    """Answer with what caching saved, and what the same tokens would have cost otherwise."""
    return await answer(request, datasette, "usage_savings.html", _savings)


async def answer(
    request: Request,
    datasette: Datasette,
    template: str,
    prepare: Callable[[View], Awaitable[dict[str, Any]]],
) -> Response:
    """Answer with a page: a template, with what ``prepare`` returns for this visitor."""
    await datasette.ensure_permissions(request.actor, ["view-instance"])
    try:
        view = await _view(datasette, request)
        context = await prepare(view)
    except DataError as error:
        raise DatasetteError(str(error), status=400) from None
    shared = {"view": view, "figures": numbers, "refresh": await refresh.offer(datasette, request)}
    page = await datasette.render_template(
        template, _frame(view) | shared | context, request=request
    )
    return Response.html(page)


def now() -> datetime:
    """Return the time, in UTC, that ages and ranges in words are counted from."""
    return datetime.now(UTC)


async def _view(datasette: Datasette, request: Request) -> View:
    freshness = (await _rows(datasette, request, "freshness", {}))[0]
    today = now().date()
    last_day = date.fromisoformat(freshness["last_day"]) if freshness["last_day"] else today
    selection = parse_selection(_pairs(request), last_day=last_day, today=today)
    # As far back as the days that it may be compared with.
    days = {"since": selection.before().since.isoformat(), "until": selection.until.isoformat()}
    gaps = [row["day"] for row in await _rows(datasette, request, "gap_days", days)]
    covered = Covered.of(freshness, today, gaps)
    allowed = allowed_usage(datasette, request.actor) or EVERYTHING
    return View(datasette, request, freshness, selection, covered, allowed)


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
    bound = queries.bound(datasette, request.actor, parameters, allowed)
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
        "months": _months(view.covered),
        "stacks": STACKS,
        "kinds": NAMES,
        "stacked": _STACKED,
        "token_kinds": _TOKEN_KINDS,
        "sources": json.dumps(numbers.SOURCES),
        "short_name": short_name,
        "vega": view.link(f"/-/charts/{vega_bundle.file_name()}"),
        "freshness": view.freshness,
        "covered": view.covered,
        "gaps": json.dumps([str(day) for day in view.covered.in_gaps(view.selection)]),
        "read_age": age_of(view.freshness["last_read_at"]),
    }


def _months(covered: Covered) -> list[str]:
    """Return the months that are loaded, the latest first."""
    first, last = covered.first, covered.last
    if first is None or last is None:
        return []
    months = [last.replace(day=1)]
    while months[-1] > first and len(months) < _MONTHS:
        months.append(month_before(months[-1])[0])
    return [f"{month:%Y-%m}" for month in months]


def age_of(moment: str | None) -> str | None:
    return None if moment is None else numbers.span(now() - datetime.fromisoformat(moment))


async def _dashboard(view: View) -> dict[str, Any]:
    selection = view.selection
    totals, tops, budgets, found, extras = await asyncio.gather(
        _totals(view),
        _tops(view),
        view.budgets(),
        asyncio.gather(
            view.rows("usage", "day"),
            *map(view.rows, ("choices", "capacity")),
            _this_month(view),
        ),
        _extras(view),
    )
    days, choices, capacity, month = found
    return {
        "title": "Amazon Bedrock usage and cost",
        **extras,
        "budgets": _budget_card(budgets),
        "shown_budgets": shown_budgets,
        **totals,
        "choices": choices_of(choices, selection),
        "capacity": numbers.capacity(capacity[0]),
        "month": month,
        "moved": _moved(view),
        "average": _average(view, days),
        "days": _days(view, days),
        "names": {top["kind"]: top["count"] for top in tops},
        "model_names": _short_names(
            row for top in tops if top["kind"] == "model" for row in top["rows"]
        ),
        "tops": tops,
    }


async def _tops(view: View) -> list[dict[str, Any]]:
    """Return the names of each kind, those that cost most first."""
    found = await asyncio.gather(*(view.rows("usage", stack) for stack in STACKS))
    return [
        _top(view, kind, column, rows)
        for (kind, column), rows in zip(STACKS.items(), found, strict=True)
    ]


async def _subject(view: View) -> dict[str, Any]:
    kind = view.kind
    (name,) = view.selection.chosen(kind)
    # Of a model, who uses it.
    other = {"application": ("user",), "model": ("user", "application")}.get(kind, ("application",))
    dimensions = (("day",), ("region", "model"), *((one,) for one in other))
    totals, usage, (evidence, lines, calls, month, kinds), budgets, extras = await asyncio.gather(
        _totals(view),
        asyncio.gather(*(view.rows("usage", *by) for by in dimensions)),
        asyncio.gather(
            *map(view.rows, ("evidence", "cost_lines", "latest_calls")),
            _this_month(view),
            view.rows("kind_costs"),
        ),
        view.budgets(),
        _extras(view),
    )
    days, used, *others = usage
    return {
        **extras,
        "own_budgets": _budgets_of(budgets, kind, name),
        "shown": shown_budgets,
        "title": f"{SUBJECTS[kind]} {short_name(name) if kind == 'model' else name}",
        "model_names": _short_names(used),
        "kind": kind,
        "kind_title": SUBJECTS[kind],
        "name": name,
        **totals,
        "month": month,
        "moved": _moved(view),
        "average": _average(view, days),
        "days": _days(view, days),
        "used": used,
        "tops": [
            _top(view, one, STACKS[one], rows) for one, rows in zip(other, others, strict=True)
        ],
        "evidence": evidence,
        "lines": lines,
        "kind_costs": kinds,
        "calls": calls,
    }


async def _extras(view: View) -> dict[str, Any]:
    """Return what a page of usage also shows: what caching did, and of one day its hours."""
    if view.selection.days > 1:
        return {"caching": cache_use(await view.rows("cache_savings_by_application")), "hours": []}
    cache, hours = await asyncio.gather(
        view.rows("cache_savings_by_application"), view.rows("hours_of_day")
    )
    # Without costs: those of an hour are not stored, and the chart asks for them.
    used = [row for row in hours if row["calls"] or row["failed_calls"]]
    return {"caching": cache_use(cache), "hours": used}


def _is_about(budget: Row, kind: str, name: str) -> bool:
    own = (kind, budget["only_user"]) == ("user", name)
    return own or (budget["each_of"], budget["name"]) == (kind, name)


def _budgets_of(states: Sequence[Row], kind: str, name: str) -> list[Row]:
    """Return the current budgets of one application, user or team alone."""
    return [one for one in states if one["is_current"] and _is_about(one, kind, name)]


async def _cost(view: View) -> dict[str, Any]:
    totals, weights, lines, calls, kinds = await asyncio.gather(
        _totals(view),
        *map(view.rows, ("weights", "cost_lines", "latest_calls", "kind_costs")),
    )
    return {
        "title": "How this cost is calculated",
        **totals,
        "weights": weights if totals["has_calibrated"] else [],
        "lines": lines,
        "kind_costs": kinds,
        "calls": calls,
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
    selection = view.selection.alone("user", user)
    own = replace(view, selection=selection, allowed=EVERYTHING)
    # Loaded are the days from the user's first to the last, whatever the visitor may see.
    every = await own.rows("usage", "day", over=replace(selection, since=date.min, until=date.max))
    ends = {"first_day": every[0]["day"], "last_day": every[-1]["day"]} if every else {}
    own = replace(own, covered=Covered.of(_NO_DAYS | ends, view.covered.today))
    totals, usage, calls, budgets = await asyncio.gather(
        _totals(own),
        asyncio.gather(*(own.rows("usage", by) for by in ("day", "model", "application"))),
        own.rows("latest_calls"),
        view.budgets(),
    )
    days, models, applications = usage
    return {
        "title": f"Your usage: {user}",
        "user": user,
        **totals,
        "billed": _billed([]),
        "days": _days(own, days),
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
    last = await last_call(view, at_any_time=True)
    return {
        "title": "What could be saved?",
        "last_call": last,
        "age": age_of(last),
        "choices": choices_of(choices, view.selection),
        "cache": cache[:_PLACES],
        "cache_left_out": max(0, len(cache) - _PLACES),
        "caching": cache_use(cache),
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


async def _totals(view: View) -> dict[str, Any]:
    """Return the figures of the cards; None where the range is empty."""
    compared = view.covered.compared(view.selection)
    (row, part, earlier), (parts, guardrails, billed, callers), last = await asyncio.gather(
        asyncio.gather(
            *(_usage_of(view, days) for days in (view.selection, compared.days, compared.before))
        ),
        asyncio.gather(*map(view.rows, ("token_parts", "guardrails", "billed", "callers"))),
        last_call(view),
    )
    if row is None:
        last = await last_call(view, at_any_time=True)
    return {
        "total": row,
        "parts_of_tokens": numbers.token_parts(parts[0]),
        "has_calibrated": bool(parts[0]["calibrated_tokens"]),
        "guardrails": numbers.guardrails(guardrails[0]),
        "billed": _billed(billed),
        "callers": {(row["dimension"], row["name"]): row for row in callers},
        "lacks": numbers.missing(row) if row else "",
        "shows_list": numbers.differs_from_list(row) if row else False,
        "change": _change(compared, part, earlier),
        "decimals": numbers.decimals(row["cost_usd"] if row else None),
        "last_call": last,
        "age": age_of(last),
    }


async def _usage_of(view: View, days: Selection | None) -> Row | None:
    """Return the sum over some days; None for none of them."""
    rows = await view.rows("usage", over=days) if days else []
    return rows[0] if rows and rows[0]["calls"] is not None else None


async def last_call(view: View, *, at_any_time: bool = False) -> str | None:
    """Return when the last call of the selection was, or of its names at any time."""
    reaches_last = view.selection.until.isoformat() >= (view.freshness["last_day"] or "")
    if not view.selection.names() and (at_any_time or reaches_last):
        last: str | None = view.freshness["last_event_time"]
        return last
    over = view.selection
    if at_any_time:
        over = replace(over, since=date.min, until=date.max)
    rows = await view.rows("last_call", over=over)
    return rows[0]["last_event_time"] if rows else None


def _average(view: View, rows: Sequence[Row]) -> dict[str, Any] | None:
    """Return the cost of an average day, of those finished and read, days without use included."""
    finished = view.covered.finished(view.selection)
    gaps = view.covered.gaps
    days = {str(day) for day in finished.all_days() if day not in gaps} if finished else set()
    own = [row for row in rows if row["day"] in days]
    costs = [row["cost_usd"] for row in own if row["cost_usd"] is not None]
    if not costs:
        return None
    is_lower_bound = any(row["is_lower_bound"] for row in own)
    row = {"cost_usd": sum(costs) / len(days), "is_lower_bound": is_lower_bound}
    return {"days": len(days), "row": row}


def _change(compared: Compared, part: Row | None, earlier: Row | None) -> dict[str, Any]:
    """Compare the finished days with earlier ones, or say why they cannot be compared."""
    if compared.why_not:
        return {"why_not": compared.why_not}
    now_cost, old_cost = ((row or {}).get("cost_usd") for row in (part, earlier))
    if not old_cost or now_cost is None:
        return {"why_not": "the days before have no known cost"}
    share = (now_cost - old_cost) / old_cost
    days, before = compared.days, compared.before
    return {"share": share, "days": days, "row": part, "range": before, "before": earlier}


async def _this_month(view: View) -> dict[str, Any] | None:
    """Return the days of the running month, and what the month before cost and was billed.

    None where the month is not shown: on pages of the past, and of a part of the usage.
    """
    days = await view.rows("forecast")
    if not days:
        return None
    first, end = month_before(date.fromisoformat(f"{days[0]['month']}-01"))
    last = replace(view.selection, since=first, until=end, preset=f"{first:%Y-%m}")
    total, billed = await asyncio.gather(_usage_of(view, last), view.rows("billed", over=last))
    loaded = view.covered.loaded(last)
    return {
        "days": days,
        "data": view.data("forecast"),
        "last": {
            "name": last.preset,
            "query": last.query(),
            "total": total,
            "days": loaded.days if loaded else 0,
            "of_days": last.days,
            "billed": _billed(billed),
        },
    }


def _moved(view: View) -> dict[str, Any]:
    """Return what the chart of what changed compares, or ``why_not``.

    Where the days before a range are not loaded, its last finished week is compared. The rows are
    asked for by the chart: they need each user's days of both periods, which takes longer than all
    the rest of a page.
    """
    compared = view.covered.compared(view.selection)
    why_not = compared.why_not
    if why_not:
        compared = view.covered.recently(view.selection)
    kinds = [kind for kind in numbers.MOVED if kind != view.kind]
    by = view.selection.by if view.selection.by in kinds else kinds[0]
    found: dict[str, Any] = {"kinds": kinds, "by": by, "why_not": why_not}
    days, before = compared.days, compared.before
    if days is None or before is None:
        return found
    asked = {"by": by, "against": str(before.since), "against_until": str(before.until)}
    return found | {
        "column": STACKS[by],
        "days": days,
        "before": before,
        "causes": json.dumps(numbers.CAUSES),
        "data": view.data("movers", over=days, more=asked),
    }


def _days(view: View, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return a row for each loaded day, the latest first; days without use have no calls."""
    found = {row["day"]: row for row in rows}
    loaded = view.covered.loaded(view.selection)
    days = {str(day) for day in loaded.all_days()} | {*found} if loaded else {*found}
    return [
        {
            **(found.get(day) or {"day": day, "calls": 0}),
            "is_used": day in found,
            "state": view.covered.state(date.fromisoformat(day)),
        }
        for day in sorted(days, reverse=True)
    ]


def choices_of(rows: Sequence[Row], selection: Selection) -> dict[str, list[tuple[str, bool]]]:
    """Return the names of each kind, and whether each is chosen; include those without usage."""
    choices = {}
    for kind in NAMES:
        chosen = selection.chosen(kind)
        known = [row["name"] for row in rows if row["kind"] == kind]
        unknown = [name for name in chosen if name not in set(known)]
        choices[kind] = [(name, name in chosen) for name in (*unknown, *known)]
    return choices


def _short_names(rows: Iterable[Row]) -> str:
    """Return the short names of the rows' models by their ids, as JSON, for the charts."""
    return json.dumps({row["model_id"]: short_name(row["model_id"]) for row in rows})


def _top(view: View, kind: str, column: str, rows: Sequence[Row]) -> dict[str, Any]:
    return {
        "kind": kind,
        "column": column,
        "rows": rows[:_LISTED],
        "first": _TOP,
        "count": len(rows),
        "left_out": max(0, len(rows) - _LISTED),
        "data": view.data("usage", kind, top=_TOP),
    }
