"""AWS's Price List: what one of its prices is the price of.

An *offer file* has products (what is sold: a usage type, a region, names) and terms (prices in a
unit). A product does not say which model it is, nor which kind of token: both are in its names,
which have had several styles. Tables in ``sql/seeds`` say what the parts of these names mean; this
module applies them. A price is used only if every part of it has exactly one meaning. Anything else
is listed with the reason: it is never guessed, and no similar model's price is taken.

A ``Key`` is what can have only one price in a region at a time.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

from etl.normalise.model_ids import model_aliases
from etl.normalise.offer_files import EDITION, Offer, OfferPrice
from etl.normalise.price_list_tables import Name, Rule, Tables, Unit, folded

_REGION = re.compile(r"[a-z]{2,6}(?:-[a-z]+)+-[0-9]{1,2}")
_DECIMAL = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,20})?")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

# What a usage type means if it does not say.
_DEFAULTS = {"service_tier": "standard", "scope": "regional", "context": "short"}
_TIME_TO_LIVE = "5m"

# Of a model whose tokens are all text, AWS says so in some usage types and not in others.
_OF_TEXT = {"text_input": "input", "text_output": "output"}
_PLAIN = frozenset(_OF_TEXT.values())

# Nova writes to the cache for nothing, and AWS lists that as a price of zero. Any other zero may as
# well be a price that AWS has not entered yet.
_FREE = re.compile(r"amazon\.nova-.* cache_write_\w+")

# One dollar a unit; up to this rate, no sum of costs exceeds 64 bits.
_MAX_RATE = 10**12

_MICRO = 10**6


class Key(NamedTuple):
    """What has one price in a region; the names are those of the columns of ``prices``."""

    model_id: str
    scope: str
    service_tier: str
    token_kind: str
    min_input_tokens: int


class Listed(NamedTuple):
    """A price in the Price List: micro-dollars per million tokens (or images, seconds, ...)."""

    key: Key
    usd_per_mtok: int


class Use(NamedTuple):
    """What a bill's line counts: ``counts`` is tokens, images, ...

    ``per_million``: how many of the line's unit are a million; None if the unit is unknown.
    """

    key: Key
    counts: str
    charge_kind: str
    per_million: int | None


class NoUse(NamedTuple):
    """A bill's line that is no use of a model, or of one without a kind; the kind of its charge."""

    reason: str
    charge_kind: str


class Excluded(NamedTuple):
    """A price that is none of a call's, and why."""

    reason: str


class Unclear(NamedTuple):
    """A price without exactly one meaning, and why.

    ``model_id`` and ``key``: whose price it may be, as far as that is known.
    """

    reason: str
    model_id: str | None = None
    key: Key | None = None


@dataclass(frozen=True)
class Book:
    """The models that have a price or a call, and the thresholds of their long-context prices.

    ``speaking``: those whose plain tokens may be text or speech, which have different prices.
    """

    models: Collection[str]
    thresholds: Mapping[str, Collection[int]]
    speaking: Collection[str] = ()


class _UnclearError(Exception):
    """A part has no meaning, or two."""


class _ExcludedError(Exception):
    """A part says that it is no price of a call."""

    def __init__(self, reason: str, charge_kind: str = "usage") -> None:
        super().__init__(reason)
        self.charge_kind = charge_kind


def classify(price: OfferPrice, tables: Tables, book: Book) -> Listed | Excluded | Unclear:
    """Return what this is the price of, or why it is none."""
    model_id, key = None, None
    try:
        rule, groups = _rule(price, tables)
        model_id, named_tier = _model(price, groups, tables, book)
        key = _key(rule, _axes(price, groups, tables, named_tier), model_id, book)
        return Listed(key, _rate(price, rule, key, tables))
    except _ExcludedError as reason:
        return Excluded(str(reason))
    except _UnclearError as reason:
        return Unclear(str(reason), model_id, key)


def identify(price: OfferPrice, tables: Tables, book: Book) -> Use | NoUse | Unclear:
    """Return what a bill's line with these names counts, by the same tables as its price.

    The line has no price of its own: what it costs proves the unit, not the meaning.
    """
    model_id = None
    try:
        rule, groups = _rule(price, tables)
        model_id, named_tier = _model(price, groups, tables, book)
        key = _key(rule, _axes(price, groups, tables, named_tier), model_id, book)
    except _ExcludedError as reason:
        return NoUse(str(reason), reason.charge_kind)
    except _UnclearError as reason:
        return Unclear(str(reason), model_id)
    try:
        per_million = _unit(price, rule, tables).per_million
    except _UnclearError:
        per_million = None
    return Use(key, rule.counts, rule.charge_kind, per_million)


def _rule(price: OfferPrice, tables: Tables) -> tuple[Rule, Mapping[str, str]]:
    """Return the first rule that fits, and the parts of the usage type that it names."""
    if not _REGION.fullmatch(price.region):
        raise _UnclearError(f"regionCode {price.region!r} is not a region")
    for rule in tables.rules:
        text = price.attributes.get(rule.attribute, "")
        if found := rule.pattern.fullmatch(text):
            if rule.excluded:
                raise _ExcludedError(rule.excluded, rule.charge_kind)
            return rule, {name: part or "" for name, part in found.groupdict().items()}
    raise _UnclearError("no rule for this usage type")


def _axes(
    price: OfferPrice, groups: Mapping[str, str], tables: Tables, named_tier: str
) -> dict[str, str]:
    """Return what the words of the usage type say, with the defaults for what they do not.

    ``named_tier``: what the model's name says, if anything.
    """
    text = f"{groups.get('words', '')}-{groups.get('more', '')}"
    said = _meaning(text, tables)
    if said is None:
        raise _UnclearError(f"{text.strip('-_')!r} in the usage type has no one meaning")
    axes = _DEFAULTS | said
    # These repeat some of it, where AWS fills them in. "On-demand Inference" says nothing.
    for attribute in ("service_tier", "feature"):
        repeated = _meaning(price.attributes.get(attribute, ""), tables) or {}
        if any(axes.get(axis) != value for axis, value in repeated.items()):
            raise _UnclearError(f"{attribute} contradicts the usage type")
    if named_tier not in ("", axes["service_tier"]):
        raise _UnclearError("the model's name contradicts the usage type")
    return axes


def _meaning(text: str, tables: Tables) -> dict[str, str] | None:
    """Return the axes that the words name; None if a word is unknown, or two name one axis."""
    words = [word for word in re.split(r"[-_ ]+", _CAMEL.sub("_", text).lower()) if word]
    longest = max(map(len, tables.words))
    axes: dict[str, str] = {}
    while words:
        sizes = range(min(longest, len(words)), 0, -1)
        size = next((size for size in sizes if tuple(words[:size]) in tables.words), 0)
        if not size:
            return None
        axis, value = tables.words[tuple(words[:size])]
        if axis in axes:
            return None
        axes[axis] = value
        del words[:size]
    return axes


def _model(
    price: OfferPrice, groups: Mapping[str, str], tables: Tables, book: Book
) -> tuple[str, str]:
    """Return the one model that all of the product's names mean, and the tier they say, if any."""
    names = [name for name in _named(price, groups, tables, book) if name]
    models, tiers = {name.model_id for name in names}, {name.service_tier for name in names} - {""}
    if not models:
        raise _UnclearError("no model is known by this name")
    if len(models) > 1:
        raise _UnclearError("its names mean different models")
    return models.pop(), next(iter(tiers), "")


def _named(
    price: OfferPrice, groups: Mapping[str, str], tables: Tables, book: Book
) -> Iterator[Name | None]:
    """Yield what each name stands for, None for an unknown name."""
    if model_id := groups.get("id"):
        # The id of the model itself, by which a new one is priced too.
        yield _named_model("id", model_id, tables, book) or Name(_listed_id(model_id))
    if token := groups.get("model"):
        found = _named_model("usagetype", token, tables, book)
        if found is None and _begins_with_a_known_one(token, tables):
            # What follows may be anything: another size, a tier, a customised model.
            raise _UnclearError(f"{token!r} is more than the name of a model")
        yield found
    for attribute in ("model", "titanModel"):
        if name := price.attributes.get(attribute):
            yield _named_model("name", name, tables, book)
    if EDITION.search(service := price.attributes.get("servicename", "")):
        yield _named_model("name", EDITION.sub("", service), tables, book)


def _named_model(attribute: str, name: str, tables: Tables, book: Book) -> Name | None:
    known = tables.names.get((attribute, folded(name)))
    if known is None:
        return Name(_listed_id(name)) if name in book.models else None
    if known.excluded:
        raise _ExcludedError(known.excluded)
    return known


def _begins_with_a_known_one(token: str, tables: Tables) -> bool:
    names = (name for attribute, name in tables.names if attribute == "usagetype")
    return folded(token).startswith(tuple(names))


def _listed_id(model_id: str) -> str:
    """Return the id under which the prices of all of a model's ids are listed."""
    return model_aliases().get(model_id, model_id)


def _key(rule: Rule, axes: Mapping[str, str], model: str, book: Book) -> Key:
    if "ttl" in axes and "{ttl}" not in rule.token_kind:
        raise _UnclearError("a time to live, and no cache write")
    kind = rule.token_kind.format(ttl=axes.get("ttl", _TIME_TO_LIVE))
    above = _threshold(model, book) if axes["context"] == "long" else 0
    return Key(model, axes["scope"], axes["service_tier"], _kind(kind, model, book), above)


def _kind(kind: str, model: str, book: Book) -> str:
    """Return the kind, given whether the model's plain tokens are always text."""
    if kind in _PLAIN and model in book.speaking:
        raise _UnclearError("its plain tokens may be text or speech")
    return kind if model in book.speaking else _OF_TEXT.get(kind, kind)


def _threshold(model: str, book: Book) -> int:
    found = book.thresholds.get(model, ())
    if len(found) != 1:
        problem = "several thresholds" if found else "no threshold"
        raise _UnclearError(f"a long-context price, and the book has {problem} for {model}")
    return next(iter(found))


def _rate(price: OfferPrice, rule: Rule, key: Key, tables: Tables) -> int:
    """Return the price in micro-dollars per million, exactly."""
    if price.is_volume:
        raise _UnclearError("the price depends on the volume")
    if price.usd is None:
        raise _UnclearError("no price in dollars")
    try:
        if not _DECIMAL.fullmatch(price.usd):
            raise InvalidOperation
        usd = Decimal(price.usd)
    except InvalidOperation:
        raise _UnclearError(f"{price.usd!r} is not a price") from None
    rate = usd * _unit(price, rule, tables).per_million * _MICRO
    if rate != rate.to_integral_value():
        raise _UnclearError("not a whole number of micro-dollars per million")
    if rate > _MAX_RATE:
        raise _UnclearError("higher than any price")
    if not rate and not _FREE.fullmatch(f"{key.model_id} {key.token_kind}"):
        raise _UnclearError("a price of zero")
    return int(rate)


def _unit(price: OfferPrice, rule: Rule, tables: Tables) -> Unit:
    unit = tables.units.get(folded(price.unit))
    if unit is None:
        raise _UnclearError(f"the unit {price.unit!r} is unknown")
    if unit.description and not unit.description.fullmatch(
        price.description.rpartition("|")[2].strip()
    ):
        raise _UnclearError(f"the unit {price.unit!r} is unknown, and the description has none")
    if unit.counts != rule.counts:
        raise _UnclearError(f"priced in {unit.counts}, not in {rule.counts}")
    return unit


class Problem(NamedTuple):
    """A price of an offer file that is not used. ``is_excluded``: for a known reason."""

    usage_type: str
    name: str
    region: str
    price: str
    reason: str
    is_excluded: bool
    model_id: str | None = None


class Observation(NamedTuple):
    """What a version of an offer file says about a key: its price, None if that is unclear."""

    usd_per_mtok: int | None
    usage_type: str


@dataclass(frozen=True)
class Snapshot:
    """All prices of one region in one version of an offer file."""

    service_code: str
    region: str
    version: str
    published_at: str
    prices: Mapping[Key, Observation]
    problems: Sequence[Problem]


def snapshots(
    offer: Offer, tables: Tables, book: Book, regions: Collection[str] | None = None
) -> list[Snapshot]:
    """Return the prices of each region in an offer file; of these regions only, unless None.

    A key with two prices has none, and both are reported.
    """
    by_region: dict[str, list[OfferPrice]] = {}
    for price in offer.prices:
        if regions is None or price.region in regions:
            by_region.setdefault(price.region, []).append(price)
    return [
        _snapshot(offer, region, prices, tables, book)
        for region, prices in sorted(by_region.items())
    ]


def _snapshot(
    offer: Offer, region: str, prices: Iterable[OfferPrice], tables: Tables, book: Book
) -> Snapshot:
    found: dict[Key, set[tuple[str, int]]] = {}
    unclear: dict[Key, set[str]] = {}
    problems: list[Problem] = []
    for price in prices:
        match classify(price, tables, book):
            case Listed(key, rate):
                found.setdefault(key, set()).add((price.usage_type, rate))
            case Excluded(reason):
                problems.append(_problem(price, reason, is_excluded=True))
            case Unclear(reason, model_id, key):
                if key:
                    unclear.setdefault(key, set()).add(price.usage_type)
                problems.append(_problem(price, reason, model_id))
    observed = {key: Observation(None, min(usage_types)) for key, usage_types in unclear.items()}
    for key, rates in found.items():
        if len({rate for _, rate in rates}) > 1:
            problems += _contradictions(region, key, sorted(rates))
            observed[key] = Observation(None, min(rates)[0])
        else:
            usage_type, rate = min(rates)
            observed.setdefault(key, Observation(rate, usage_type))
    return Snapshot(
        offer.service_code, region, offer.version, offer.published_at, observed, problems
    )


def _problem(
    price: OfferPrice, reason: str, model_id: str | None = None, *, is_excluded: bool = False
) -> Problem:
    usd = "none" if price.usd is None else f"{price.usd} per {price.unit or 'unknown unit'}"
    return Problem(price.usage_type, price.name, price.region, usd, reason, is_excluded, model_id)


def _contradictions(region: str, key: Key, rates: Iterable[tuple[str, int]]) -> Iterator[Problem]:
    for usage_type, rate in rates:
        usd = f"{Decimal(rate) / _MICRO:f} per million"
        reason = f"two prices for {key.token_kind}"
        yield Problem(usage_type, key.model_id, region, usd, reason, False, key.model_id)
