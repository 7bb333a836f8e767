"""What a line of AWS's bill means: CUR 2.0, the legacy report, and FOCUS 1.0 and 1.2.

A line names a usage type, a unit and attributes of a product, as the Price List does, and the same
tables say what they mean (``etl.normalise.price_list``). So its model, kind of token, tier, scope
and context are known or not, and never those of a similar line: what is Bedrock's and not
understood is a line of its own kind.

- **Which lines are Bedrock's**: by product family, else by product code, else by the name of what
  the Marketplace sells. Its taxes, credits and refunds may lack that name: they are Bedrock's if
  lines of the same month with their product code are.
- **Tokens** are the quantity in the line's unit. Units are misleading (thousands, or millions), so
  the cost proves them: at the price book's rate, only one power of a thousand is near.
- **The caller** is the line's principal, empty where the bill does not say. Sessions of AgentCore
  have a name each and are one caller.
- **Money** is whole 10^-12 of the line's own currency. In CUR, ``cost`` is unblended, and discounts
  and credits are lines of their own, or become such: so the sum of all lines is the invoice, and
  where there are net costs, the sum of these. FOCUS
  has deducted discounts in ``BilledCost``, which is both ``cost`` and ``net_cost`` here (AWS's
  dictionary of FOCUS 1.2: "inclusive of all reduced rates and discounts").
- **Refused**: an export without a needed column, or with a date or an amount that is none.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from typing import Any, NamedTuple

from etl.errors import RejectError
from etl.normalise.offer_files import EDITION, OfferPrice
from etl.normalise.price_list import Book, Key, NoUse, Unclear, Use, identify
from etl.normalise.price_list_tables import Tables

USAGE, DISCOUNT, CREDIT, REFUND, TAX, FEE = "usage", "discount", "credit", "refund", "tax", "fee"
CAPACITY, GUARDRAIL, OTHER, NOT_UNDERSTOOD = "capacity", "guardrail", "other", "not understood"

# The exports of one bill: the first that has an account's lines is used.
FORMS = ("CUR 2.0", "legacy CUR", "FOCUS 1.2", "FOCUS 1.0")

# Each field of a line, and the columns that may have it, the best first.
_CUR: Mapping[str, tuple[str, ...]] = {
    "payer": ("bill_payer_account_id",),
    "account": ("line_item_usage_account_id",),
    "start": ("line_item_usage_start_date",),
    "kind": ("line_item_line_item_type",),
    "code": ("line_item_product_code",),
    "usage_type": ("line_item_usage_type",),
    "quantity": ("line_item_usage_amount",),
    "currency": ("line_item_currency_code",),
    "cost": ("line_item_unblended_cost",),
    "net_cost": ("line_item_net_unblended_cost",),
    "unit": ("pricing_unit", "product_unit"),
    "region": ("product_region_code", "product_region"),
    "seller": ("bill_billing_entity",),
    "family": ("product_product_family",),
    "description": ("line_item_line_item_description",),
    "resource": ("line_item_resource_id",),
    "principal": ("line_item_iam_principal",),
    "attributes": ("product",),
    "tags": ("tags",),
    "resource_tags": ("resource_tags",),
}
_FOCUS: Mapping[str, tuple[str, ...]] = {
    "payer": ("BillingAccountId",),
    "account": ("SubAccountId",),
    "start": ("ChargePeriodStart",),
    "kind": ("ChargeCategory",),
    "code": ("x_ServiceCode", "ServiceName"),
    "usage_type": ("x_UsageType", "SkuMeter"),
    "quantity": ("PricingQuantity", "ConsumedQuantity"),
    "currency": ("BillingCurrency",),
    "cost": ("BilledCost",),
    "net_cost": ("BilledCost",),
    "unit": ("PricingUnit", "ConsumedUnit"),
    "region": ("RegionId",),
    "seller": ("InvoiceIssuerName",),
    "service": ("ServiceName",),
    "description": ("ChargeDescription",),
    "resource": ("ResourceId",),
    "attributes": ("SkuPriceDetails",),
    "tags": ("Tags",),
}
_NEEDED = (
    *("payer", "account", "start", "kind", "code", "usage_type", "quantity", "currency", "cost"),
)
_ONLY_IN_FOCUS_1_2 = frozenset({"InvoiceId", "SkuMeter", "PricingCurrency", "SkuPriceDetails"})

# Attributes that CUR 2.0 has in one column, and the legacy report in one each.
_ATTRIBUTES = {
    "model": ("model",),
    "titanModel": ("titan_model", "titanmodel"),
    "feature": ("feature",),
    "service_tier": ("service_tier", "servicetier"),
    "servicename": ("servicename", "product_name", "service_name"),
}
_NAMES_OF_PRODUCTS = ("servicename", "product_name", "service_name")
_ATTRIBUTE_COLUMN, _TAG_COLUMN = "product_", "resource_tags_"
_RESOURCE_TAG = "resourceTags/"

_FAMILY, _CODE, _WORD, _MARKETPLACE = "Amazon Bedrock", "AmazonBedrock", "bedrock", "marketplace"

_AGENT_CORE = re.compile(r"(?<=/BedrockAgentCore-)[^/]+\Z")
_PROFILE = re.compile(r"arn:[^:]+:bedrock:[^:]*:[^:]*:application-inference-profile/.+")

_KINDS = {
    **dict.fromkeys(("Usage", "DiscountedUsage", "SavingsPlanCoveredUsage"), USAGE),
    **dict.fromkeys(("Fee", "RIFee", "Purchase"), FEE),
    **dict.fromkeys(("SavingsPlanRecurringFee", "SavingsPlanUpfrontFee"), FEE),
    **{"SavingsPlanNegation": DISCOUNT, "Tax": TAX, "Credit": CREDIT, "Refund": REFUND},
}

_EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)
_PICO = Decimal(10) ** 12
_MAX_AMOUNT = 2**63 - 1

# Rates of one model differ by less than this; units differ by a thousand.
_NEAR = 30
_UNITS = (1_000, 1_000_000, 1)


class Form(NamedTuple):
    """How an export writes a line. ``fields``: the columns that each field is read from."""

    name: str
    fields: Mapping[str, tuple[str, ...]]

    @property
    def columns(self) -> list[str]:
        """All columns to read."""
        return list(dict.fromkeys(name for names in self.fields.values() for name in names))

    def columns_of(self, *fields: str) -> list[str]:
        """Return the columns of some fields, as far as there are any."""
        return [name for field in fields for name in self.fields.get(field, ())]


class Caller(NamedTuple):
    """Whom a line is charged for, as it says; what it does not say is empty. ``tags``: JSON."""

    account_id: str
    region: str
    principal: str
    profile: str
    tags: str


class LineKey(NamedTuple):
    """What lines are summed by; None: it does not apply, or is not known.

    ``counts``: what is counted, tokens or others. ``unit_evidence``: proved (the cost confirms the
    unit), stated (by the unit alone), cost (the unit is unknown) or corrected (the cost contradicts
    it). ``reason``: why a line is not understood.
    """

    day: str
    payer: str
    caller: Caller
    charge_kind: str
    usage_type: str
    currency: str
    model_id: str | None = None
    token_kind: str | None = None
    inference_scope: str | None = None
    service_tier: str | None = None
    min_input_tokens: int | None = None
    counts: str | None = None
    unit_evidence: str | None = None
    reason: str | None = None


class LineSums(NamedTuple):
    """The sums of lines; money in 10^-12 of the currency. ``amount`` None: not known."""

    lines: int
    amount: int | None
    cost: int
    net_cost: int | None


class BillMonth(NamedTuple):
    """One month of an export, as one run of it wrote it. ``columns``: those that are read.

    ``source``: the folder that it was read from; ``read_at``: when, ``written_at``: when AWS wrote
    it, UTC text. ``is_wanted``: it takes the place even of what AWS wrote later.
    """

    source: str
    export: str
    form: str
    month: str
    run: str
    columns: tuple[str, ...]
    lines: Mapping[LineKey, LineSums]
    read_at: str | None = None
    written_at: str | None = None
    is_wanted: bool = False


def form_of(columns: Collection[str], *, is_report: bool = False) -> Form:
    """Return how lines with these columns are written. Raises RejectError if one is missing."""
    is_focus = "ChargePeriodStart" in columns
    known = _FOCUS if is_focus else _CUR
    fields = {
        field: found
        for field, names in known.items()
        if (found := tuple(name for name in names if name in columns))
    }
    if missing := [known[field][0] for field in _NEEDED if field not in fields]:
        raise RejectError(f"the export lacks the columns {', '.join(missing)}: add them to it")
    if is_focus:
        return Form("FOCUS 1.2" if _ONLY_IN_FOCUS_1_2 & {*columns} else "FOCUS 1.0", fields)
    wanted = {name for names in _ATTRIBUTES.values() for name in names}
    flat = [name for name in columns if name.removeprefix(_ATTRIBUTE_COLUMN) in wanted]
    fields["flat_attributes"] = tuple(name for name in flat if name.startswith(_ATTRIBUTE_COLUMN))
    fields["flat_names"] = tuple(
        name for name in flat if name.removeprefix(_ATTRIBUTE_COLUMN) in _NAMES_OF_PRODUCTS
    )
    fields["flat_tags"] = tuple(name for name in columns if name.startswith(_TAG_COLUMN))
    return Form("legacy CUR" if is_report else "CUR 2.0", fields)


class _Line:
    """One line of an export, field by field."""

    def __init__(self, form: Form, row: Mapping[str, Any]) -> None:
        self._form, self._row = form, row

    def text(self, field: str) -> str:
        """Return the first text that there is; empty for none."""
        values = (self._row.get(name) for name in self._form.fields.get(field, ()))
        return next((str(value) for value in values if value not in (None, "")), "")

    def value(self, field: str) -> object:
        """Return the first value that there is."""
        values = (self._row.get(name) for name in self._form.fields.get(field, ()))
        return next((value for value in values if value not in (None, "")), None)

    def pairs(self, field: str) -> dict[str, str]:
        """Return a map, which CSV has as JSON."""
        value = self.value(field)
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except ValueError:
                return {}
        if not isinstance(value, Mapping):
            return {}
        return {str(key): str(one) for key, one in value.items() if one not in (None, "")}

    def flat(self, field: str, prefix: str) -> dict[str, str]:
        """Return columns with a prefix as a map."""
        names = self._form.fields.get(field, ())
        return {
            name.removeprefix(prefix): str(value)
            for name in names
            if (value := self._row.get(name)) not in (None, "")
        }

    def attributes(self) -> dict[str, str]:
        """Return the product's attributes, by their names in the columns of exports."""
        service = {"service_name": name} if (name := self.text("service")) else {}
        flat = self.flat("flat_attributes", _ATTRIBUTE_COLUMN)
        return self.pairs("attributes") | flat | service

    def tags(self) -> dict[str, str]:
        """Return all tags by their full names."""
        own = self.pairs("resource_tags") | self.flat("flat_tags", _TAG_COLUMN)
        return {f"{_RESOURCE_TAG}{key}": value for key, value in own.items()} | self.pairs("tags")


def _is_bedrock(line: _Line, attributes: Mapping[str, str], *, is_sold: bool) -> bool:
    if line.text("family") == _FAMILY or line.text("code").startswith((_CODE, _FAMILY)):
        return True
    names = [attributes.get(name, "") for name in _NAMES_OF_PRODUCTS]
    if is_sold:
        names.append(line.text("description"))
    return any(_WORD in name.casefold() for name in names)


def _day(value: object) -> str:
    if isinstance(value, datetime):
        return (value.astimezone(UTC) if value.tzinfo else value).date().isoformat()
    try:
        return datetime.fromisoformat(str(value)[:10]).date().isoformat()
    except ValueError:
        raise RejectError("a line has no date of its use") from None


def _decimal(value: object) -> Decimal:
    # A float has no more digits than its shortest text.
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        raise RejectError("a line has an amount that is no number") from None
    if not found.is_finite():
        raise RejectError("a line has an amount that is no number")
    return found


def _money(value: object) -> int:
    return int(_EXACT.multiply(_decimal(value), _PICO).to_integral_value(ROUND_HALF_EVEN))


def _charge(line: _Line) -> str:
    """Return the kind of charge by the type of the line alone."""
    written = line.text("kind")
    if written == "Adjustment":
        about = line.text("description").casefold()
        if DISCOUNT in about or REFUND in about:
            return DISCOUNT if DISCOUNT in about else REFUND
    if written.endswith("Discount"):
        return DISCOUNT
    return _KINDS.get(written, NOT_UNDERSTOOD)


def _caller(line: _Line) -> Caller:
    tags, resource = line.tags(), line.text("resource")
    return Caller(
        # FOCUS names no account where a charge is of the payer as a whole, such as a tax.
        account_id=line.text("account") or line.text("payer"),
        region=line.text("region"),
        principal=_AGENT_CORE.sub("*", line.text("principal")),
        profile=resource if _PROFILE.fullmatch(resource) else "",
        tags=json.dumps(tags, ensure_ascii=False, sort_keys=True) if tags else "",
    )


class Meanings:
    """What lines mean, by the tables and the prices of one warehouse.

    ``rates``: pico-dollars per token of a region and key, at any time; of all regions under ``*``.
    ``profiles``: the model of each application inference profile, by ARN.
    """

    def __init__(
        self,
        tables: Tables,
        book: Book,
        rates: Mapping[tuple[str, Key], Collection[int]],
        profiles: Mapping[str, str],
    ) -> None:
        self._tables, self._book, self._rates, self._profiles = tables, book, rates, profiles
        self._known: dict[tuple[object, ...], Use | NoUse | Unclear] = {}

    def of(
        self, line: _Line, attributes: Mapping[str, str], caller: Caller
    ) -> Use | NoUse | Unclear:
        """Return what a line counts."""
        named = {
            name: found
            for name, keys in _ATTRIBUTES.items()
            if (found := next((attributes[key] for key in keys if key in attributes), ""))
        }
        editions = [attributes.get(name, "") for name in _NAMES_OF_PRODUCTS]
        named["servicename"] = next((name for name in editions if EDITION.search(name)), "")
        named["usagetype"] = line.text("usage_type")
        about = line.text("description") if line.text("unit").casefold() == "units" else ""
        key = (caller.region, caller.profile, line.text("unit"), about, *sorted(named.items()))
        if key not in self._known:
            price = OfferPrice(
                named["usagetype"], caller.region, named, line.text("unit"), about, None
            )
            self._known[key] = self._identified(price, caller.profile)
        return self._known[key]

    def _identified(self, price: OfferPrice, profile: str) -> Use | NoUse | Unclear:
        found = identify(price, self._tables, self._book)
        if isinstance(found, Unclear) and found.model_id is None and profile in self._profiles:
            attributes = {**price.attributes, "model": self._profiles[profile]}
            return identify(price._replace(attributes=attributes), self._tables, self._book)
        return found

    def amount(
        self, use: Use, region: str, quantity: Decimal, cost: int | None
    ) -> tuple[Decimal | None, str | None]:
        """Return how many of what it counts a line has, and the evidence for the unit.

        ``cost``: None if it is not in dollars, as all rates are.
        """
        stated = None if use.per_million is None else Decimal(1_000_000) / use.per_million
        by_stated = None if stated is None else quantity * stated
        rates = [
            rate
            for place in (region, "*")
            for rate in self._rates.get((place, use.key), ())
            if rate > 0
        ]
        # A correction may take back both.
        if not rates or use.counts != "tokens" or cost is None or cost * quantity <= 0:
            return by_stated, None if by_stated is None else "stated"
        units = dict.fromkeys(([] if stated is None else [stated]) + [Decimal(u) for u in _UNITS])
        for unit in units:
            implied = Decimal(cost) / (quantity * unit)
            if any(rate / Decimal(_NEAR) <= implied <= rate * _NEAR for rate in rates):
                against = "cost" if stated is None else "corrected"
                return quantity * unit, "proved" if unit == stated else against
        return None, None


class _Sums:
    """The sums of lines so far."""

    def __init__(self) -> None:
        self._lines: Counter[LineKey] = Counter()
        self._costs: Counter[LineKey] = Counter()
        self._net: dict[LineKey, int | None] = {}
        self._amounts: dict[LineKey, Decimal | None] = {}

    def add(
        self, key: LineKey, lines: int, amount: Decimal | None, cost: int, net: int | None
    ) -> None:
        is_new = key not in self._costs
        self._lines[key] += lines
        self._costs[key] += cost
        self._net[key] = _sum(0 if is_new else self._net[key], net)
        self._amounts[key] = _sum(Decimal(0) if is_new else self._amounts[key], amount)

    def add_all(self, other: _Sums) -> None:
        for key, cost in other._costs.items():
            self.add(key, other._lines[key], other._amounts[key], cost, other._net[key])

    def add_discounts(self) -> None:
        """Add what the net costs deduct, as discounts that count no lines.

        CUR 2.0 has lines of discounts only with "manual discount compatibility", and some kinds
        only; the net costs have all. Lines of discounts have a net cost of zero where those of
        usage have it deducted: what both say is added once.
        """
        are_net = {
            key.payer
            for key, net in self._net.items()
            if key.charge_kind == USAGE and net not in (None, self._costs[key])
        }
        deducted: list[tuple[LineKey, int]] = []
        for key, net in self._net.items():
            if net is None and key.charge_kind == DISCOUNT and key.payer in are_net:
                self._net[key] = net = 0
            if net is not None and net != self._costs[key]:
                less = key._replace(
                    charge_kind=DISCOUNT, counts=None, unit_evidence=None, reason=None
                )
                deducted.append((less, net - self._costs[key]))
        for less, cost in deducted:
            self.add(less, 0, None, cost, 0)

    def items(self) -> dict[LineKey, LineSums]:
        return {
            key: LineSums(self._lines[key], _whole(self._amounts[key]), cost, self._net[key])
            for key, cost in self._costs.items()
        }


class BillLines:
    """Sums the lines of one month of an export, as they are read."""

    def __init__(self, form: Form, meanings: Meanings) -> None:
        self._form, self._meanings = form, meanings
        self._sums = _Sums()
        # Codes of what the Marketplace sells: Bedrock's, and lines without a name.
        self._codes: set[str] = set()
        self._unnamed: defaultdict[str, _Sums] = defaultdict(_Sums)

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add those rows that are Bedrock's. Raises RejectError."""
        for row in rows:
            line = _Line(self._form, row)
            attributes = line.attributes()
            is_sold = _MARKETPLACE in line.text("seller").casefold()
            code = line.text("code") if is_sold else ""
            if _is_bedrock(line, attributes, is_sold=is_sold):
                self._codes.add(code)
                self._add(self._sums, line, attributes)
            elif code and _charge(line) != USAGE:
                self._add(self._unnamed[code], line, attributes)

    def _add(self, sums: _Sums, line: _Line, attributes: Mapping[str, str]) -> None:
        cost, caller = _money(line.value("cost")), _caller(line)
        net = line.value("net_cost")
        key, amount = self._key(line, attributes, caller, cost)
        sums.add(key, 1, amount, cost, None if net is None else _money(net))

    def _key(
        self, line: _Line, attributes: Mapping[str, str], caller: Caller, cost: int
    ) -> tuple[LineKey, Decimal | None]:
        """Return what a line is summed by, and how many it counts."""
        charge = _charge(line)
        key = LineKey(
            day=_day(line.value("start")),
            payer=line.text("payer"),
            caller=caller,
            charge_kind=charge,
            usage_type=line.text("usage_type"),
            currency=line.text("currency"),
        )
        if charge == NOT_UNDERSTOOD:
            return key._replace(reason="this type of line is not known"), None
        found = self._meanings.of(line, attributes, caller)
        if isinstance(found, Use):
            key = key._replace(
                model_id=found.key.model_id if found.charge_kind == USAGE else None,
                token_kind=found.key.token_kind,
                inference_scope=found.key.scope,
                service_tier=found.key.service_tier,
                min_input_tokens=found.key.min_input_tokens,
            )
        if charge not in (USAGE, FEE):
            return key, None
        return self._used(line, key, found, cost)

    def _used(
        self, line: _Line, key: LineKey, found: Use | NoUse | Unclear, cost: int
    ) -> tuple[LineKey, Decimal | None]:
        """Complete the key of a line of usage, or of a fee, by what it counts."""
        is_usage = key.charge_kind == USAGE
        if isinstance(found, Unclear):
            if self._is_other(line):
                return key._replace(charge_kind=OTHER), None
            key = key._replace(model_id=found.model_id)
            if is_usage:
                return key._replace(charge_kind=NOT_UNDERSTOOD, reason=found.reason), None
            return key, None
        if isinstance(found, NoUse):
            if found.charge_kind == USAGE and is_usage:
                return key._replace(charge_kind=NOT_UNDERSTOOD, reason=found.reason), None
            is_kind = is_usage or found.charge_kind == CAPACITY
            return key._replace(charge_kind=found.charge_kind) if is_kind else key, None
        if not is_usage:
            return key, None
        quantity = _decimal(line.value("quantity") or 0)
        dollars = cost if key.currency == "USD" else None
        amount, evidence = self._meanings.amount(found, key.caller.region, quantity, dollars)
        key = key._replace(charge_kind=found.charge_kind)
        if amount is None:
            reason = "the unit is not known, and the cost fits none"
            return key._replace(charge_kind=NOT_UNDERSTOOD, reason=reason), None
        return key._replace(counts=found.counts, unit_evidence=evidence), amount

    def _is_other(self, line: _Line) -> bool:
        """Return whether a line is of a service of Bedrock that serves no model."""
        return line.text("code") == "AmazonBedrockAgentCore"

    def sums(self) -> dict[LineKey, LineSums]:
        """Return the sums. Raises RejectError if one is too large to be stored."""
        all_sums = _Sums()
        for some in [self._sums, *(self._unnamed[code] for code in self._codes & {*self._unnamed})]:
            all_sums.add_all(some)
        all_sums.add_discounts()
        found = all_sums.items()
        for sums in found.values():
            if any(abs(value or 0) > _MAX_AMOUNT for value in sums):
                raise RejectError("a day of one caller costs more than 9 million: too much for one")
        return found


def _sum(so_far: Any, more: Any) -> Any:
    """Return a sum, None if a part is unknown."""
    return None if so_far is None or more is None else so_far + more


def _whole(amount: Decimal | None) -> int | None:
    return None if amount is None else int(amount.to_integral_value(ROUND_HALF_EVEN))


def columns_that_changed(before: Sequence[str], now: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the columns that an export no longer has, and those that it has now."""
    return sorted({*before} - {*now}), sorted({*now} - {*before})
