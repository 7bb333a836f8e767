"""The cost of a month in FOCUS 1.2, the open form of bills: https://focus.finops.org.

A day that AWS's bill has for good has the bill's charges, and no cost of ours. What the bill does
not name of them, the user or the application, is taken from our usage of the same day, account,
region, model, kind, tier and context: the charge is split by tokens, in whole pico-dollars by the
largest remainder. Other days have our costs. ``x_CostSource`` says which, and no row has an
invoice. So the charges of a closed day add up to the bill's, those of another to ours.

FOCUS wants a cost in each row: what has no price has no row, and stands in the manifest.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from functools import lru_cache
from itertools import groupby
from typing import Any, NamedTuple

from sqlite_utils import Database

from etl.export.months import Month
from etl.export.table import SCALE, Column, Kind, Row, Table, decimal_text, whole
from etl.normalise.bills import CREDIT, DISCOUNT, FEE, REFUND, TAX, USAGE
from etl.normalise.identity import NO_TEAM, UNATTRIBUTED
from etl.normalise.parts import whole_parts
from etl.normalise.token_kinds import PRICE_UNITS
from etl.warehouse.read.exports import stream

BILL, COMPUTED, ESTIMATED = SOURCES = ("AWS bill", "computed", "estimated")

_UNKNOWN_USER, _UNKNOWN_APPLICATION = "(unknown)", "Unknown"
# Names that stand for none: not tags.
_NO_NAMES = frozenset({_UNKNOWN_USER, _UNKNOWN_APPLICATION, NO_TEAM, UNATTRIBUTED})

_PROVIDER = "AWS"
_CATEGORIES = {TAX: "Tax", CREDIT: "Credit", REFUND: "Adjustment", DISCOUNT: "Adjustment"} | {
    FEE: "Purchase"
}
_ONE_TIME = frozenset({TAX, CREDIT, REFUND, FEE})

# The price of tokens is of a million.
_MILLION = 10**6
# The unit of what is charged without counting anything that is known.
_CHARGE = "Charges"

_DECIMALS = (
    *("BilledCost", "ConsumedQuantity", "ContractedCost", "ContractedUnitPrice"),
    *("EffectiveCost", "ListCost", "ListUnitPrice", "PricingQuantity"),
)
_SUMMED = frozenset({"BilledCost", "ContractedCost", "EffectiveCost", "ListCost"})
_NAMES = (
    *("BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency"),
    *("BillingPeriodEnd", "BillingPeriodStart", "ChargeCategory", "ChargeClass"),
    *("ChargeDescription", "ChargeFrequency", "ChargePeriodEnd", "ChargePeriodStart"),
    *("ConsumedQuantity", "ConsumedUnit", "ContractedCost", "ContractedUnitPrice"),
    *("EffectiveCost", "InvoiceId", "InvoiceIssuerName", "ListCost", "ListUnitPrice"),
    *("PricingCategory", "PricingQuantity", "PricingUnit", "ProviderName", "PublisherName"),
    *("RegionId", "RegionName", "ServiceCategory", "ServiceName", "ServiceSubcategory"),
    *("SubAccountId", "SubAccountName", "Tags"),
    *("x_Application", "x_ChargeKind", "x_ContextAboveTokens", "x_CostSource"),
    *("x_InferenceScope", "x_IsEstimated", "x_IsSplitByUsage", "x_ModelId", "x_ServiceTier"),
    *("x_Team", "x_TokenKind", "x_UserName"),
)


def _column(name: str) -> Column:
    if name in _DECIMALS:
        return Column(name, Kind.DECIMAL, is_summed=name in _SUMMED)
    if name == "x_ContextAboveTokens":
        return Column(name, Kind.INTEGER)
    return Column(name, Kind.BOOLEAN if name.startswith("x_Is") else Kind.TEXT)


COLUMNS = tuple(map(_column, _NAMES))


class Cell(NamedTuple):
    """What has one price on a day."""

    day: str
    account_id: str
    region: str
    model_id: str | None
    token_kind: str | None
    inference_scope: str | None
    service_tier: str | None
    min_input_tokens: int | None


class Who(NamedTuple):
    """Whom usage belongs to."""

    user_name: str
    application: str
    team: str


class Usage(NamedTuple):
    """A row of ``focus_usage.sql``."""

    cell: Cell
    who: Who
    is_estimated: bool
    model_id: str
    rate: int | None
    list_rate: int | None
    is_closed: bool
    payer: str | None
    amount: int


class Billed(NamedTuple):
    """A row of ``focus_billed.sql``. ``amount`` None: nothing that is known is counted."""

    cell: Cell
    who: Who
    payer: str
    charge_kind: str
    counts: str | None
    amount: int | None
    cost: int
    list_rate: int | None


class Charge(NamedTuple):
    """A row of the export, before it has FOCUS's columns. Costs in pico-dollars."""

    cell: Cell
    who: Who
    payer: str
    source: str
    charge_kind: str
    unit: str
    amount: int | None
    cost: int
    unit_price: int | None
    list_price: int | None
    is_estimated: bool
    is_split: bool


class Period(NamedTuple):
    """A billing period: its first day, and both ends as FOCUS writes them."""

    first_day: str
    start: str
    end: str

    @classmethod
    def of(cls, month: Month) -> Period:
        days = month.days
        return cls(days[0], _start(days[0]), _end(days[-1]))


def focus(db: Database, month: Month) -> Table:
    """Return the charges of a month."""
    costs: dict[str, int] = dict.fromkeys(SOURCES, 0)

    def rows() -> Iterator[Row]:
        period = Period.of(month)
        names: dict[str, str] = dict(stream(db, "account_names", {})[1])
        for charge in _charges(db, month):
            costs[charge.source] += charge.cost
            yield _focus_row(charge, period, names)

    def more() -> dict[str, Any]:
        columns, found = stream(db, "focus_left_out", _parameters(month))
        left_out = dict(zip(columns, next(found), strict=True))
        sums = {source: decimal_text(cost) for source, cost in costs.items()}
        return {
            "cost_by_source": sums,
            "left_out": left_out,
            "is_lower_bound": any(left_out.values()),
        }

    return Table(COLUMNS, rows(), more)


def _parameters(month: Month) -> dict[str, str]:
    return {"month": str(month), **month.ends}


def _charges(db: Database, month: Month) -> Iterator[Charge]:
    """Yield the charges of a month, those of a day together: ours, then the bill's.

    Of a day, only usage that the bill has for good is kept in memory.
    """
    used = groupby(map(_usage, stream(db, "focus_usage", _parameters(month))[1]), _day)
    billed = groupby(map(_billed, stream(db, "focus_billed", {"month": str(month)})[1]), _day)
    for ours, charged in _together(used, billed):
        closed: defaultdict[Cell, list[Usage]] = defaultdict(list)
        for one in ours:
            if one.is_closed:
                closed[one.cell].append(one)
            elif one.rate is not None:
                yield _computed(one)
        yield from _billed_charges(charged, closed)


def _day(row: Usage | Billed) -> str:
    return row.cell.day


def _together(
    used: Iterator[tuple[str, Iterator[Usage]]], billed: Iterator[tuple[str, Iterator[Billed]]]
) -> Iterator[tuple[Iterator[Usage], Iterator[Billed]]]:
    """Yield what both have of each day, in order. Each is read before the next is asked for."""
    one, other = next(used, None), next(billed, None)
    while one or other:
        day = min(pair[0] for pair in (one, other) if pair)
        has_one, has_other = (pair is not None and pair[0] == day for pair in (one, other))
        yield one[1] if one and has_one else iter(()), other[1] if other and has_other else iter(())
        one = next(used, None) if has_one else one
        other = next(billed, None) if has_other else other


def _usage(row: Row) -> Usage:
    is_estimated, model_id, rate, list_rate, is_closed, payer, amount = row[11:]
    return Usage(
        Cell(*row[:8]),
        Who(*row[8:11]),
        bool(is_estimated),
        model_id,
        rate,
        list_rate,
        bool(is_closed),
        payer,
        amount,
    )


def _billed(row: Row) -> Billed:
    payer, charge_kind, counts, amount, cost, list_rate = row[11:]
    return Billed(
        Cell(*row[:8]),
        Who(*row[8:11]),
        payer,
        charge_kind,
        counts,
        amount,
        whole(cost) or 0,
        list_rate,
    )


def _computed(used: Usage) -> Charge:
    """Return the charge of usage with a price, at our rates."""
    unit = PRICE_UNITS.get(used.cell.token_kind or "", "tokens")
    rate = used.rate or 0
    return Charge(
        used.cell._replace(model_id=used.model_id),
        used.who,
        used.payer or used.cell.account_id,
        ESTIMATED if used.is_estimated else COMPUTED,
        USAGE,
        unit,
        used.amount,
        used.amount * rate,
        rate,
        used.list_rate,
        used.is_estimated,
        is_split=False,
    )


def _billed_charges(
    billed: Iterable[Billed], usage: Mapping[Cell, Sequence[Usage]]
) -> Iterator[Charge]:
    """Yield the bill's charges of a day, for whom it names or else for whom we know."""
    charges: dict[tuple[object, ...], Charge] = {}
    for line in billed:
        for charge in _split(line, usage.get(line.cell, [])):
            key = (charge.cell, charge.who, charge.payer, charge.charge_kind, charge.unit,
                   charge.is_estimated, charge.is_split)  # fmt: skip
            so_far = charges.get(key)
            charges[key] = (
                charge
                if so_far is None
                else so_far._replace(
                    amount=_sum(so_far.amount, charge.amount), cost=so_far.cost + charge.cost
                )
            )
    yield from charges.values()


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other


def _split(line: Billed, usage: Sequence[Usage]) -> Iterator[Charge]:
    whole_charge = Charge(
        line.cell, line.who, line.payer, BILL, line.charge_kind, line.counts or "", line.amount,
        line.cost, None, line.list_rate, is_estimated=False, is_split=False,
    )  # fmt: skip
    takers = _takers(line, usage) if line.charge_kind == USAGE and line.amount is not None else []
    if not takers:
        yield whole_charge
        return
    weights = [one.amount for one in takers]
    costs = whole_parts(line.cost, weights)
    amounts = whole_parts(line.amount or 0, weights)
    for one, cost, amount in zip(takers, costs, amounts, strict=True):
        if cost or amount:
            yield whole_charge._replace(
                who=one.who, cost=cost, amount=amount, is_estimated=one.is_estimated, is_split=True
            )


def _takers(line: Billed, usage: Sequence[Usage]) -> list[Usage]:
    """Return our usage that a charge is of: what the bill names stays, the rest is found.

    None where the bill names both user and application, or we do not know what it names.
    """
    has_user = line.who.user_name != _UNKNOWN_USER
    has_application = line.who.application != _UNKNOWN_APPLICATION
    if has_user and has_application:
        return []
    return [
        one
        for one in usage
        if (not has_user or one.who.user_name == line.who.user_name)
        and (not has_application or one.who.application == line.who.application)
    ]


def _focus_row(charge: Charge, period: Period, names: Mapping[str, str]) -> Row:
    """Return a charge in FOCUS's columns."""
    cell, who = charge.cell, charge.who
    category = _CATEGORIES.get(charge.charge_kind, "Usage")
    quantity, unit, unit_price, list_price, list_cost = _priced(charge, category)
    is_usage = category == "Usage"
    # A charge for nothing that is known to be counted is one charge.
    consumed = 1 if charge.amount is None else charge.amount
    values = {
        "BilledCost": charge.cost,
        "BillingAccountId": charge.payer,
        "BillingAccountName": names.get(charge.payer),
        "BillingCurrency": "USD",
        "BillingPeriodStart": period.start,
        "BillingPeriodEnd": period.end,
        "ChargeCategory": category,
        # What is dated in a month that was billed before corrects it.
        "ChargeClass": "Correction" if cell.day < period.first_day else None,
        "ChargeDescription": _description(charge),
        "ChargeFrequency": "One-Time" if charge.charge_kind in _ONE_TIME else "Usage-Based",
        "ChargePeriodStart": _start(cell.day),
        "ChargePeriodEnd": _end(cell.day),
        "ConsumedQuantity": consumed * 10**SCALE if is_usage else None,
        "ConsumedUnit": _unit_of(charge) if is_usage else None,
        "ContractedCost": charge.cost,
        "ContractedUnitPrice": unit_price,
        # A purchase is for later charges.
        "EffectiveCost": 0 if category == "Purchase" else charge.cost,
        "InvoiceId": None,
        "InvoiceIssuerName": _PROVIDER,
        "ListCost": list_cost,
        "ListUnitPrice": list_price,
        "PricingCategory": "Standard" if category in ("Usage", "Purchase") else None,
        "PricingQuantity": quantity,
        "PricingUnit": unit,
        "ProviderName": _PROVIDER,
        "PublisherName": _PROVIDER,
        "RegionId": cell.region or None,
        "RegionName": cell.region or None,
        "ServiceCategory": "AI and Machine Learning",
        "ServiceName": "Amazon Bedrock",
        "ServiceSubcategory": "Generative AI",
        "SubAccountId": cell.account_id or None,
        "SubAccountName": names.get(cell.account_id, cell.account_id) or None,
        "Tags": _tags(who),
        "x_Application": who.application,
        "x_ChargeKind": charge.charge_kind,
        "x_ContextAboveTokens": cell.min_input_tokens,
        "x_CostSource": charge.source,
        "x_InferenceScope": cell.inference_scope,
        "x_IsEstimated": charge.is_estimated,
        "x_IsSplitByUsage": charge.is_split,
        "x_ModelId": cell.model_id,
        "x_ServiceTier": cell.service_tier,
        "x_Team": who.team,
        "x_TokenKind": cell.token_kind,
        "x_UserName": who.user_name,
    }
    return tuple(values[name] for name in _NAMES)


def _priced(
    charge: Charge, category: str
) -> tuple[int | None, str | None, int | None, int | None, int]:
    """Return quantity and unit of the price, the two prices of a unit, and the cost at list price.

    A price is None where it times the quantity is not the cost exactly, and the list cost is what
    is paid where no list price is known.
    """
    if category not in ("Usage", "Purchase"):
        return None, None, None, None, charge.cost
    if charge.amount is None:
        price = charge.cost if charge.cost >= 0 else None
        return 10**SCALE, _unit_of(charge), price, price, charge.cost
    per_unit = _MILLION if charge.unit == "tokens" else 1
    unit = f"{per_unit} {_unit_of(charge)}" if per_unit > 1 else _unit_of(charge)
    rate = charge.unit_price
    if rate is None and charge.amount and charge.cost % charge.amount == 0:
        rate = charge.cost // charge.amount
    paid = None if rate is None or rate < 0 else rate * per_unit
    listed = None if charge.list_price is None else charge.list_price * per_unit
    list_cost = charge.cost if charge.list_price is None else charge.list_price * charge.amount
    return charge.amount * 10**SCALE // per_unit, unit, paid, listed, list_cost


def _unit_of(charge: Charge) -> str:
    """Return the unit in FOCUS's capitals: Tokens, Search Units."""
    return _CHARGE if charge.amount is None else charge.unit.title()


def _start(day: str) -> str:
    return f"{day}T00:00:00Z"


# The rows of a day come together.
@lru_cache(maxsize=2)
def _end(day: str) -> str:
    return _start((date.fromisoformat(day) + timedelta(days=1)).isoformat())


def _description(charge: Charge) -> str:
    """Say what is charged, without names of users."""
    cell = charge.cell
    usual = ("regional", "standard")
    words = [
        cell.model_id or "Amazon Bedrock",
        (cell.token_kind or charge.charge_kind).replace("_", " "),
        *(word for word in (cell.inference_scope, cell.service_tier) if word and word not in usual),
    ]
    above = f", above {cell.min_input_tokens} tokens" if cell.min_input_tokens else ""
    return " ".join(words) + above


def _tags(who: Who) -> str:
    tags = {"application": who.application, "team": who.team, "user": who.user_name}
    return json.dumps({key: name for key, name in tags.items() if name not in _NO_NAMES})
