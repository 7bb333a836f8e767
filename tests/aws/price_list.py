"""The Price List: its public files, and the service ``pricing`` that lists them.

A file is published for one region of one service and version, as AWS does: ``publish`` splits what
it gets. A version is the time of its publication. Public files need no signature.

https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/using-price-list-query-api.html
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any

from tests.aws.calls import Answer, AwsError, Call, Handler, HttpRequest
from tests.aws.paging import page

_BASE = "/offers/v1.0/aws"
_REGION_INDEX = re.compile(rf"{_BASE}/(\w+)/(\w+)/region_index\.json")
_VERSION_INDEX = re.compile(rf"{_BASE}/(\w+)/index\.json")
_FILE = re.compile(rf"{_BASE}/(\w+)/(\d+)/([a-z0-9-]+)/index\.json")
_ARN = re.compile(r"arn:aws:pricing:::price-list/aws/(\w+)/USD/(\d+)/([a-z0-9-]+)")


class PriceLists:
    """All published files, and what was downloaded.

    ``faults``: answers that come first. ``page``: how long a page of the API is.
    """

    def __init__(self) -> None:
        self.files: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.downloads: list[str] = []
        self.faults: list[Answer] = []
        self.page = 100

    def publish(self, offer: dict[str, Any]) -> None:
        """Publish an offer file, in parts for its regions."""
        code, version = offer["offerCode"], offer["version"]
        by_region: dict[str, list[str]] = {}
        for sku, product in offer["products"].items():
            by_region.setdefault(product["attributes"]["regionCode"], []).append(sku)
        for region, skus in by_region.items():
            terms = offer["terms"]["OnDemand"]
            self.files[code, version, region] = offer | {
                "products": {sku: offer["products"][sku] for sku in skus},
                "terms": {"OnDemand": {sku: terms[sku] for sku in skus}},
            }

    def versions(self, code: str, until: str = "9") -> list[str]:
        return sorted({v for c, v, _ in self.files if c == code and v <= until})

    def answer(self, http: HttpRequest) -> Answer:
        """Answer a request for a public file."""
        self.downloads.append(http.path)
        if self.faults:
            return self.faults.pop(0)
        content = self._content(http.path)
        if content is None:
            return Answer(403, b"<Error><Code>AccessDenied</Code></Error>")
        return Answer(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _content(self, path: str) -> dict[str, Any] | None:
        if match := _FILE.fullmatch(path):
            return self.files.get((match[1], match[2], match[3]))
        if match := _VERSION_INDEX.fullmatch(path):
            versions = {
                version: {"offerVersionUrl": f"{_BASE}/{match[1]}/{version}/index.json"}
                for version in self.versions(match[1])
            }
            return {"offerCode": match[1], "versions": versions} if versions else None
        if match := _REGION_INDEX.fullmatch(path):
            code = match[1]
            asked = [match[2]] if match[2] != "current" else self.versions(code)[-1:]
            regions = {
                region: {
                    "regionCode": region,
                    "currentVersionUrl": f"{_BASE}/{code}/{version}/{region}/index.json",
                }
                for c, version, region in self.files
                if c == code and version in asked
            }
            return {"offerCode": code, "regions": regions} if regions else None
        return None


def list_price_lists(call: Call) -> dict[str, Any]:
    """Answer with the files in force at a time, by region."""
    lists: PriceLists = call.aws.price_lists
    code = call.params["ServiceCode"]
    moment: datetime = call.params["EffectiveDate"]
    versions = lists.versions(code, f"{moment:%Y%m%d%H%M%S}")
    found = [
        {
            "PriceListArn": f"arn:aws:pricing:::price-list/aws/{c}/USD/{version}/{region}",
            "RegionCode": region,
            "CurrencyCode": "USD",
            "FileFormats": ["csv", "json"],
        }
        for c, version, region in sorted(lists.files)
        if c == code and version in versions[-1:]
    ]
    shown, token = page(call, found, call.params.get("MaxResults", lists.page))
    answer: dict[str, Any] = {"PriceLists": shown}
    return answer | ({"NextToken": token} if token else {})


def get_price_list_file_url(call: Call) -> dict[str, Any]:
    match = _ARN.fullmatch(call.params["PriceListArn"])
    if match is None or match.groups() not in call.aws.price_lists.files:
        raise AwsError("NotFoundException", "there is no such price list")
    return {"Url": f"{call.aws.url}{_BASE}/{match[1]}/{match[2]}/{match[3]}/index.json"}


def get_products(call: Call) -> dict[str, Any]:
    """Answer with the newest products of a service and region, as JSON texts."""
    lists: PriceLists = call.aws.price_lists
    code = call.params["ServiceCode"]
    asked = {one["Field"]: one["Value"] for one in call.params.get("Filters", ())}
    texts = [
        json.dumps(
            {
                "product": product,
                "serviceCode": code,
                "terms": {"OnDemand": offer["terms"]["OnDemand"][sku]},
                "version": offer["version"],
                "publicationDate": offer["publicationDate"],
            }
        )
        for (c, version, region), offer in sorted(lists.files.items())
        if c == code
        and version in lists.versions(code)[-1:]
        and asked.get("regionCode") in (None, region)
        for sku, product in offer["products"].items()
    ]
    shown, token = page(call, texts, call.params.get("MaxResults", lists.page))
    answer: dict[str, Any] = {"FormatVersion": "aws_v1", "PriceList": shown}
    return answer | ({"NextToken": token} if token else {})


OPERATIONS: dict[str, Handler] = {
    "ListPriceLists": list_price_lists,
    "GetPriceListFileUrl": get_price_list_file_url,
    "GetProducts": get_products,
}
