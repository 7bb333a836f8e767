"""The prices of Bedrock in the data files of litellm and genai-prices, one rate a row.

Every rate that a package lists for Bedrock, in its order, with the figure as the package has it:
whether it is right, and what it is the price of, is decided later (``listed_prices``). Nothing in a
package is run.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

# The columns of each package's rates. USD per million tokens for tokens; ``raw_key`` has the amount
# of everything else.
LITELLM_COLUMNS = (
    *("key", "endpoint", "region", "scope", "model", "commitment", "mode"),
    *("kind", "tier", "ctx_min", "usd_per_mtok", "raw_key", "source"),
)
GENAI_COLUMNS = ("model_id", "price_key", "tier_start", "usd", "effective_from", "source")

Rows = Iterator[tuple[str, ...]]


# litellm

PROVIDERS = ("bedrock", "bedrock_converse", "bedrock_mantle")

# The part of a name before the model, which says the endpoint, the region and the commitment.
_ENDPOINTS = {"bedrock_mantle": "mantle", "claude_platform": "claude_platform"}
_REGION = re.compile(r"[a-z]{2}(-gov)?-[a-z]+-\d")
_COMMITMENT = re.compile(r"\d-month-commitment")
_GEO = re.compile(r"(us-gov|us|eu|apac|jp|au|in|ca|amer|global)\.(?=[a-z0-9]+\.)")
_TOKEN_KINDS = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cache_read",
    "cache_creation_input_token_cost": "cache_write_5m",
}
_TOKEN_RATE = re.compile(
    rf"({'|'.join(_TOKEN_KINDS)})(_above_1hr)?(?:_above_(\d+)k_tokens)?"
    r"(?:_(batches|flex|priority|ultrafast))?(?:_above_(\d+)k_tokens)?"
)
_OTHER_RATE = re.compile(r"\w*cost_per_(?!token)\w+")


def read_litellm(text: str, source: str) -> Rows:
    """Yield the rates of litellm's price map that are Bedrock's, in its order."""
    # Floats are read as the digits that the file has.
    prices = json.loads(text, parse_float=Decimal)
    for key, entry in prices.items():
        if entry.get("litellm_provider") not in PROVIDERS:
            continue
        where = _place(key)
        for name, value in entry.items():
            if isinstance(value, Decimal | int) and (what := _rate(name, value)):
                yield (key, *where, entry["mode"], *what, source)


def _place(key: str) -> tuple[str, str, str, str, str]:
    """Return the endpoint, region, scope, model and commitment that an entry's name says."""
    *parts, model = key.split("/")
    named = [part for part in parts if part != "bedrock"]
    endpoint = next((_ENDPOINTS[part] for part in named if part in _ENDPOINTS), "runtime")
    region = next((part for part in named if _REGION.fullmatch(part)), "")
    commitment = next((part for part in named if _COMMITMENT.fullmatch(part)), "")
    geo = _GEO.match(model)
    # The size of an image stays a part of the model's name.
    name = key if "-x-" in key else model.removeprefix(geo[0]) if geo else model
    return endpoint, region, geo[1] if geo else "in_region", name, commitment


def _rate(name: str, value: Decimal | int) -> tuple[str, str, str, str, str] | None:
    """Return the kind, tier, threshold, USD per million tokens and raw key of a rate."""
    if found := _TOKEN_RATE.fullmatch(name):
        kind = "cache_write_1h" if found[2] else _TOKEN_KINDS[found[1]]
        tier = {"batches": "batch", None: "standard"}.get(found[4], found[4])
        threshold = int(found[3] or found[5] or 0) * 1000
        return kind, tier or "", str(threshold), _plain(Decimal(value).scaleb(6)), name
    if _OTHER_RATE.fullmatch(name):
        return "other", "standard", "0", "", f"{name}={Decimal(value):f}"
    return None


def _plain(amount: Decimal) -> str:
    """Return an amount without an exponent and without zeros at its end."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


# genai-prices


def read_genai(text: str, source: str) -> Rows:
    """Yield the rates of its provider ``aws``, from the package's module or the project's JSON."""
    if text.lstrip().startswith("["):
        return _genai_json(text, source)
    return _genai_module(text, source)


def _genai_json(text: str, source: str) -> Rows:
    for provider in json.loads(text, parse_float=Decimal):
        for model in provider["models"] if provider["id"] == "aws" else ():
            prices = model["prices"]
            for one in prices if isinstance(prices, list) else [{"prices": prices}]:
                day = _start_json(one.get("constraint") or {})
                for price_key, amount in one["prices"].items():
                    for start, usd in _tiers_json(amount):
                        yield model["id"], price_key, start, usd, day, source


def _start_json(constraint: dict[str, Any]) -> str:
    if constraint.keys() - {"type", "start_date"}:
        raise ValueError(f"cannot read the constraint {', '.join(sorted(constraint))}")
    return str(constraint.get("start_date", ""))


def _tiers_json(amount: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(amount, dict):
        yield "0", _plain(Decimal(amount))
        return
    yield "0", _plain(Decimal(amount["base"]))
    for tier in amount["tiers"]:
        yield str(tier["start"]), _plain(Decimal(tier["price"]))


def _genai_module(text: str, source: str) -> Rows:
    """Read a module of literals in calls: it is parsed and not run."""
    for call in ast.walk(ast.parse(text)):
        if _is_call(call, "Provider") and _literal(_arguments(call).get("id")) == "aws":
            for model in _arguments(call)["models"].elts:
                yield from _genai_model(_arguments(model), source)


def _genai_model(model: dict[str, Any], source: str) -> Rows:
    prices = model["prices"]
    # One price, or a list of them with the day on which each starts.
    dated = prices.elts if isinstance(prices, ast.List) else [prices]
    for one in dated:
        day = ""
        if _is_call(one, "ConditionalPrice"):
            constraint = _arguments(one).get("constraint")
            day = _start(constraint) if constraint is not None else ""
            one = _arguments(one)["prices"]
        for price_key, amount in _arguments(one).items():
            for start, usd in _tiers(amount):
                yield _literal(model["id"]), price_key, start, usd, day, source


def _tiers(amount: ast.expr) -> Iterator[tuple[str, str]]:
    """Yield (tokens, USD) of a price, which may have tiers by the size of a request."""
    if not _is_call(amount, "TieredPrices"):
        yield "0", _plain(Decimal(_literal(amount)))
        return
    yield "0", _plain(Decimal(_literal(_arguments(amount)["base"])))
    for tier in _arguments(amount)["tiers"].elts:
        parts = _arguments(tier)
        yield str(_literal(parts["start"])), _plain(Decimal(_literal(parts["price"])))


def _start(constraint: ast.expr) -> str:
    """Return the first day of a price; a constraint of another kind is not understood."""
    if not _is_call(constraint, "StartDateConstraint"):
        raise ValueError(f"cannot read {ast.unparse(constraint)}")
    day = _arguments(constraint)["start_date"]
    return "-".join(f"{_literal(part):02}" for part in day.args)


def _is_call(node: Any, name: str) -> bool:
    return isinstance(node, ast.Call) and getattr(node.func, "id", None) == name


def _arguments(call: Any) -> dict[str, Any]:
    return {keyword.arg: keyword.value for keyword in call.keywords}


def _literal(node: Any) -> Any:
    """Return the value of a constant, or of the constant in ``Decimal('0.1')``."""
    return ast.literal_eval(node.args[0] if isinstance(node, ast.Call) else node)
