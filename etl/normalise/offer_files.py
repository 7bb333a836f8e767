"""Offer files of AWS's Price List: products, and the prices of their on-demand terms.

What a price is the price of is for ``etl.normalise.price_list`` to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from etl.errors import DataError
from etl.times import utc_text

# The first has Amazon's own models and open ones, the second what is sold through the Marketplace,
# the third mostly reserved capacity.
SERVICE_CODES = ("AmazonBedrock", "AmazonBedrockFoundationModels", "AmazonBedrockService")

EDITION = re.compile(r"\s*\(Amazon Bedrock Edition\)$")


class OfferPrice(NamedTuple):
    """A price as an offer file has it. ``usd``: None if there is none in dollars."""

    usage_type: str
    region: str
    attributes: Mapping[str, str]
    unit: str
    description: str
    usd: str | None
    is_volume: bool = False

    @property
    def name(self) -> str:
        """The name of the model, or of its edition, for people."""
        found = (self.attributes.get(one) for one in ("model", "titanModel", "servicename"))
        return next((EDITION.sub("", name) for name in found if name), "")


class Offer(NamedTuple):
    """An offer file. ``published_at``: UTC text; versions are ordered by it."""

    service_code: str
    version: str
    published_at: str
    prices: Sequence[OfferPrice]


class _Dimension(msgspec.Struct):
    unit: str = ""
    description: str = ""
    price: dict[str, str] = msgspec.field(default_factory=dict, name="pricePerUnit")
    begin: str = msgspec.field(default="0", name="beginRange")


class _Term(msgspec.Struct):
    dimensions: dict[str, _Dimension] = msgspec.field(default_factory=dict, name="priceDimensions")


class _Product(msgspec.Struct):
    attributes: dict[str, str]
    sku: str = ""


class _File(msgspec.Struct):
    code: str = msgspec.field(name="offerCode")
    version: str
    published: str = msgspec.field(name="publicationDate")
    products: dict[str, _Product]
    terms: dict[str, dict[str, dict[str, _Term]]]


class _Item(msgspec.Struct):
    """What GetProducts returns, as text: one product with its terms."""

    code: str = msgspec.field(name="serviceCode")
    version: str
    published: str = msgspec.field(name="publicationDate")
    product: _Product
    terms: dict[str, dict[str, _Term]]


def parse_offer(content: bytes | str) -> Offer:
    """Read an offer file. Raises DataError if it is not one of Bedrock's."""
    try:
        file = msgspec.json.decode(content, type=_File)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"not an offer file of the AWS Price List ({error})") from None
    terms = file.terms.get("OnDemand", {})
    prices = [
        price
        for sku, product in file.products.items()
        for price in _prices(product, terms.get(sku))
    ]
    return _offer(file, prices)


def parse_products(items: Iterable[str]) -> Offer | None:
    """Read what GetProducts returned for one service; None if nothing. Raises DataError."""
    newest: _Item | None = None
    prices: list[OfferPrice] = []
    for text in items:
        try:
            item = msgspec.json.decode(text, type=_Item)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise DataError(
                f"GetProducts returned something else than products ({error})"
            ) from None
        newest = item if newest is None or item.published > newest.published else newest
        prices += _prices(item.product, item.terms.get("OnDemand"))
    return _offer(newest, prices) if newest else None


def _offer(file: _File | _Item, prices: Sequence[OfferPrice]) -> Offer:
    if file.code not in SERVICE_CODES:
        raise DataError(f"prices of {file.code!r}, not of Bedrock")
    try:
        published = datetime.fromisoformat(file.published)
    except ValueError:
        raise DataError(f"publicationDate {file.published!r} is not a time") from None
    moment = published.replace(tzinfo=published.tzinfo or UTC)
    return Offer(file.code, file.version, utc_text(moment), prices)


def _prices(product: _Product, terms: Mapping[str, _Term] | None) -> Iterator[OfferPrice]:
    """Yield a product's on-demand prices; a product with other terms only has none."""
    attributes = product.attributes
    for term in (terms or {}).values():
        for one in term.dimensions.values():
            yield OfferPrice(
                attributes.get("usagetype", ""),
                attributes.get("regionCode", ""),
                attributes,
                one.unit,
                one.description,
                one.price.get("USD"),
                is_volume=one.begin != "0",
            )
