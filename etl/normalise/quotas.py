"""Service Quotas of Bedrock: what each limits, and of which model; and how much of it was used.

A quota is known by its name only, such as ``Cross-region model inference tokens per minute for
Anthropic Claude Sonnet 4.5 V1``. Its codes differ by model and version and are not documented. A
name is understood if all of it is: what it counts, for how long, by which route, and exactly one
model. Otherwise the quota is kept without a model, and nothing is compared with it.

*Route*: ``on-demand`` for a model's own id, ``cross-region`` for a geo profile, ``global`` for a
global one; ``regional`` for a quota of the first two together.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from etl.errors import RejectError
from etl.normalise.fields import listing, mapping, text
from etl.normalise.model_ids import ModelNames, parse_model_id
from etl.normalise.rows import Quota, QuotaPeak
from etl.normalise.seeds import seed_rows
from etl.times import utc_text

# What CloudWatch estimates that a minute's requests take of the quota of tokens.
PEAK_METRIC = "EstimatedTPMQuotaUsage"
PEAK_NAMESPACE = "AWS/Bedrock"

_LIMITED = re.compile(r"(tokens|requests) per (minute|day)\b", re.IGNORECASE)
_INFERENCE = re.compile(
    r"(?:(?P<route>on-demand|cross-region|global cross-region) (?:model inference|invokemodel)"
    r"|(?P<sum>model invocation max)) (?P<kind>tokens|requests) per (?P<period>minute|day)"
    r" for (?P<model>.+)",
    re.IGNORECASE,
)
_ROUTES = {
    "on-demand": "on-demand",
    "cross-region": "cross-region",
    "global cross-region": "global",
    None: "regional",
}
# What may follow the model's name, and does not change which calls the quota limits.
_REMARK = re.compile(r" \(doubled for cross-region calls\)$", re.IGNORECASE)
_LONG = re.compile(r" 1M context length$", re.IGNORECASE)

_DATE = re.compile(r"-20\d{6}(?=-|$)")
_VERSION = re.compile(r"-(?:v(\d+)(?::\d+)?|\d+:\d+)$")
_PART = re.compile(r"\d+|[a-z]+")

# Makers, as names of quotas begin with them, but not names of models.
_MAKERS = re.compile(
    r"^(?:anthropic|amazon|meta|mistral ai|mistral|cohere|ai21 labs|ai21|openai|stability\.ai|"
    r"stability ai|deepseek|google|nvidia|moonshot ai|moonshot|minimax ai|minimax|z\.ai|writer|"
    r"twelvelabs|luma ai|luma|qwen|xai) ",
    re.IGNORECASE,
)


class Meaning(NamedTuple):
    """What the name of a quota says; ``model_name`` as it is in there."""

    kind: str
    period: str
    route: str | None
    model_name: str | None
    is_long_context: bool


def parse_quota(
    quota: object,
    *,
    account_id: str,
    region: str,
    seen_at: str,
    is_default: bool,
    models: Mapping[str, str | None],
) -> Quota | None:
    """Read a quota; None if it limits neither tokens nor requests of models by the minute or day.

    ``models``: as ``known_models`` has them. Raises RejectError if it has no code, name or value.
    """
    raw = mapping(quota)
    code, name, value = text(raw.get("QuotaCode")), text(raw.get("QuotaName")), raw.get("Value")
    if code is None or name is None or isinstance(value, bool):
        raise RejectError("a quota without QuotaCode or QuotaName")
    meaning = meaning_of(name)
    if meaning is None:
        return None
    if not isinstance(value, int | float) or not 0 <= value < 2**62:
        raise RejectError(f"a quota whose Value is not a number: {code}")
    return Quota(
        account_id=account_id,
        region=region,
        quota_code=code,
        quota_name=name,
        quota_kind=meaning.kind,
        period=meaning.period,
        route=meaning.route,
        model_id=_model_of(meaning.model_name, models) if meaning.model_name else None,
        is_long_context=int(meaning.is_long_context),
        limit_value=int(value),
        is_default=int(is_default),
        is_adjustable=int(raw.get("Adjustable") is True),
        seen_at=seen_at,
    )


def meaning_of(name: str) -> Meaning | None:
    """Return what a quota's name says; None if it is not about inference.

    The model and the route are None where the name has a form that is not known.
    """
    found = _LIMITED.search(name)
    # In brackets: the part of Bedrock that a quota is of, other than inference.
    if found is None or name.startswith("("):
        return None
    whole = _INFERENCE.fullmatch(_REMARK.sub("", " ".join(name.split())))
    if whole is None:
        return Meaning(found[1].lower(), found[2].lower(), None, None, False)
    model, long = _LONG.subn("", whole["model"])
    route = whole["route"].lower() if whole["route"] else None
    return Meaning(
        whole["kind"].lower(), whole["period"].lower(), _ROUTES[route], model, bool(long)
    )


def known_models(catalogue: Iterable[tuple[str, str | None]]) -> dict[str, str | None]:
    """Return the model of each name, by ``key_of``; None for a name of several models.

    By the tables that read names of the Price List, the ids of models with a price, and AWS's own
    names: ``catalogue`` has model ids with their names.
    """
    ids: dict[str, set[str]] = defaultdict(set)
    named: dict[str, set[str]] = defaultdict(set)
    for row in seed_rows("price_list_models"):
        if row["attribute"] == "name" and row["model_id"]:
            named[key_of(row["name"])].add(row["model_id"])
    for row in seed_rows("quota_models"):
        named[key_of(row["name"])].add(row["model_id"])
    models = {row["model_id"] for row in seed_rows("list_prices")}
    for model_id, name in catalogue:
        models.add(model_id)
        if name:
            ids[key_of(name)].add(model_id)
    for model_id in models:
        ids[_key_of_id(model_id)].add(model_id)
    # A line of a table decides; otherwise a name must be that of one model only.
    both = {**ids, **named}
    return {name: found.pop() if len(found) == 1 else None for name, found in both.items()}


def key_of(name: str) -> str:
    """Return a name's words, sorted, and its numbers in order: Claude Sonnet 4.5 V1.

    Claude 3.5 Sonnet and claude-3-5-sonnet have the same. A first version has no number.
    """
    plain = re.sub(r"\bv1$", "", name.strip().lower())
    parts = _PART.findall(plain)
    words = sorted(part for part in parts if not part.isdigit())
    return " ".join([*words, *(part for part in parts if part.isdigit())])


def _model_of(name: str, models: Mapping[str, str | None]) -> str | None:
    """Return the model of a name with or without its maker."""
    return models.get(key_of(name)) or models.get(key_of(_MAKERS.sub("", name)))


def _key_of_id(model_id: str) -> str:
    tail = _DATE.sub("", model_id.partition(".")[2])
    version = _VERSION.search(tail)
    plain = _VERSION.sub("", tail)
    number = version[1] if version else None
    return key_of(f"{plain} v{number}" if number not in (None, "0", "1") else plain)


def peaks_of(answers: Iterable[Mapping[str, Any]]) -> Iterator[QuotaPeak]:
    """Yield the highest minute of each day and model, from GetMetricData responses.

    Each is a response of ``etl.sources.cloudwatch.fetch_queries`` to sums by the minute.
    """
    highest: dict[tuple[str, str, str, str], tuple[float, str]] = {}
    for answer in answers:
        queries = {query["Id"]: query for query in answer["MetricDataQueries"]}
        for result in answer["MetricDataResults"]:
            query = queries[result["Id"]]
            (dimension,) = query["MetricStat"]["Metric"]["Dimensions"]
            place = (query["AccountId"], query["Region"], dimension["Value"])
            for time, value in zip(
                listing(result["Timestamps"]), listing(result["Values"]), strict=True
            ):
                at = utc_text(datetime.fromisoformat(time))
                key = (*place, at[:10])
                if value > highest.get(key, (-1.0, ""))[0]:
                    highest[key] = (value, at)
    for (account, region, model, day), (value, at) in sorted(highest.items()):
        names = parse_model_id(model)
        yield QuotaPeak(
            account,
            region,
            model,
            day,
            names.canonical_model_id,
            _route_of(names),
            round(value),
            at,
        )


def _route_of(names: ModelNames) -> str:
    """Return the route of the calls that CloudWatch counts under a name; the view has the same."""
    if names.inference_scope == "global":
        return "global"
    is_own = names.cloudwatch_model_id == names.canonical_model_id
    return "on-demand" if is_own else "cross-region"
