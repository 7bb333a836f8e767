"""Offer files of the AWS Price List, made up: the forms are AWS's, the prices are the test's."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

BEDROCK = "AmazonBedrock"
FOUNDATION = "AmazonBedrockFoundationModels"
SERVICE = "AmazonBedrockService"

PREFIXES = {"us-east-1": "USE1", "us-west-2": "USW2", "eu-west-1": "EU", "eu-west-2": "EUW2"}


class Product(NamedTuple):
    """What is sold, and its price; ``attributes`` besides the usage type and the region."""

    usage_type: str
    usd: str
    unit: str = "1K tokens"
    attributes: Mapping[str, str] = {}
    region: str = "us-east-1"
    description: str = ""
    begin: str = "0"
    currency: str = "USD"


def sold_as(name: str) -> dict[str, str]:
    """Return the attribute by which a model of the Marketplace is known."""
    return {"servicename": f"{name} (Amazon Bedrock Edition)"}


def offer(code: str, products: Iterable[Product], published: str = "2026-11-20") -> dict[str, Any]:
    """Return an offer file. ``published``: a day, or a day and an hour: 2026-11-20T09."""
    day, _, hour = published.partition("T")
    moment = f"{day}T{hour or '12'}:00:00Z"
    listed = list(products)
    return {
        "formatVersion": "v1.0",
        "offerCode": code,
        "version": f"{day.replace('-', '')}{hour or '12'}0000",
        "publicationDate": moment,
        "products": {f"SKU{n}": _product(f"SKU{n}", code, p) for n, p in enumerate(listed)},
        "terms": {"OnDemand": {f"SKU{n}": _terms(f"SKU{n}", p) for n, p in enumerate(listed)}},
    }


def offer_bytes(code: str, products: Iterable[Product], published: str = "2026-11-20") -> bytes:
    return json.dumps(offer(code, products, published)).encode()


def items(code: str, products: Iterable[Product], published: str = "2026-11-20") -> list[str]:
    """Return the same as GetProducts does."""
    file = offer(code, products, published)
    return [
        json.dumps(
            {
                "product": product,
                "serviceCode": code,
                "terms": {"OnDemand": file["terms"]["OnDemand"][sku]},
                "version": file["version"],
                "publicationDate": file["publicationDate"],
            }
        )
        for sku, product in file["products"].items()
    ]


def _product(sku: str, code: str, product: Product) -> dict[str, Any]:
    attributes = {
        "servicecode": code,
        "locationType": "AWS Region",
        "regionCode": product.region,
        "usagetype": product.usage_type,
        **product.attributes,
    }
    return {"sku": sku, "productFamily": "Amazon Bedrock", "attributes": attributes}


def _terms(sku: str, product: Product) -> dict[str, Any]:
    # Like AWS's, it is the first of a month, and not the day of a change.
    term, rate = f"{sku}.JRTCKXETXF", f"{sku}.JRTCKXETXF.6YS6EN2CT7"
    dimension = {
        "rateCode": rate,
        "description": product.description,
        "beginRange": product.begin,
        "endRange": "Inf",
        "unit": product.unit,
        "appliesTo": [],
        "pricePerUnit": {product.currency: product.usd},
    }
    return {
        term: {
            "offerTermCode": "JRTCKXETXF",
            "sku": sku,
            "effectiveDate": "2026-11-01T00:00:00Z",
            "priceDimensions": {rate: dimension},
            "termAttributes": {},
        }
    }


def per(unit: str, usd_per_mtok: int) -> str:
    """Return a rate of the book as AWS writes it, per 1K or 1M tokens."""
    usd = Decimal(usd_per_mtok) / 10**6
    return f"{usd / 1000 if unit == '1K tokens' else usd:.10f}"
