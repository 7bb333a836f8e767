"""AWS's Price List: where its offer files are, and their content.

- **Public files** need no credentials. For each service there is a list of its versions, and for
  each version a list of regions with the address of each region's file.
- **The API** (``pricing``) has the addresses of the same files, for any day. It needs permissions,
  and is only in us-east-1. GetProducts has the current prices, for a caller who may not list files.
- **A folder or a file** that somebody downloaded.

Sources: AWS Billing guide, "Getting price list files manually" and "Finding services and products";
API reference of the Price List service (read through the SDK's model, checked 2026-11-29).
"""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from etl.clock import Clock
from etl.errors import AccessError, DataError, RetriableError
from etl.sources.aws import Place
from etl.sources.download import download

PUBLIC = "https://pricing.us-east-1.amazonaws.com"

# The only region of the API that the public files are named after.
API_REGION = "us-east-1"

# All regions of one service take 17 MB.
_MAX_BYTES = 128 << 20

_VERSION = re.compile(r"[0-9]{14}")
_ADDRESS = re.compile(r"/offers/v1\.0/aws/[A-Za-z0-9]+/[0-9]+/[a-z0-9-]+/index\.json")


class PriceFile(NamedTuple):
    """An offer file, or the products of a service as the API returns them.

    ``read`` raises DataError, the kinds of SourceError, and StoppedError.
    """

    name: str
    read: Callable[[], bytes | list[str]]


def endpoint() -> str:
    """Return where the public files are; AWS's own variables for endpoints change it."""
    for variable in ("AWS_ENDPOINT_URL_PRICING", "AWS_ENDPOINT_URL"):
        if address := os.environ.get(variable):
            return address.rstrip("/")
    return PUBLIC


def public_files(
    service_code: str, regions: Collection[str] | None, as_of: date | None, clock: Clock
) -> list[PriceFile]:
    """Return the public file of each region, None for all regions that have one.

    ``as_of``: the files that were in force at the end of this day, else the current ones. Raises
    the kinds of SourceError.
    """
    base = f"{endpoint()}/offers/v1.0/aws/{service_code}"
    version = "current" if as_of is None else _version_of(f"{base}/index.json", as_of, clock)
    if version is None:
        return []
    listed = _index(f"{base}/{version}/region_index.json", "regions", clock)
    return [
        PriceFile(f"{service_code} {region}", _download(f"{endpoint()}{address}", clock))
        for region, found in sorted(listed.items())
        if (regions is None or region in regions)
        and isinstance(found, dict)
        and _ADDRESS.fullmatch(address := str(found.get("currentVersionUrl")))
    ]


def _version_of(url: str, as_of: date, clock: Clock) -> str | None:
    """Return the last version published by the end of a day; a version is its time."""
    latest = f"{as_of:%Y%m%d}235959"
    versions = [one for one in _index(url, "versions", clock) if _VERSION.fullmatch(one)]
    return max((one for one in versions if one <= latest), default=None)


def _index(url: str, key: str, clock: Clock) -> dict[str, Any]:
    try:
        found = json.loads(download(url, clock, max_bytes=_MAX_BYTES))[key]
    except (ValueError, KeyError, TypeError):
        found = None
    if not isinstance(found, dict):
        raise RetriableError(f"{url}: incomplete response, {key} is missing; try again later")
    return found


def _download(url: str, clock: Clock) -> Callable[[], bytes]:
    return lambda: download(url, clock, max_bytes=_MAX_BYTES)


def api_files(
    service_code: str, regions: Collection[str] | None, as_of: date | None, place: Place
) -> list[PriceFile]:
    """Return the file of each region as the API lists them; otherwise as ``public_files``.

    A caller who may not list files gets the current products of each region instead.
    """
    try:
        return list(_listed_files(service_code, regions, as_of, place))
    except AccessError:
        if as_of is not None or regions is None:
            raise
        return [
            PriceFile(f"{service_code} {region}", _products(service_code, region, place))
            for region in sorted(regions)
        ]


def _listed_files(
    service_code: str, regions: Collection[str] | None, as_of: date | None, place: Place
) -> Iterator[PriceFile]:
    moment = datetime.combine(as_of, time(23, 59, 59), UTC) if as_of else place.clock.now()
    query = {"ServiceCode": service_code, "EffectiveDate": moment, "CurrencyCode": "USD"}
    for page in place.pages("pricing", "ListPriceLists", query, requires="PriceLists"):
        for listed in page["PriceLists"]:
            region = listed.get("RegionCode", "")
            if regions is None or region in regions:
                arn = listed.get("PriceListArn", "")
                yield PriceFile(f"{service_code} {region}", _listed_file(arn, place))


def _listed_file(arn: str, place: Place) -> Callable[[], bytes]:
    def read() -> bytes:
        query = {"PriceListArn": arn, "FileFormat": "json"}
        url = place.call("pricing", "GetPriceListFileUrl", query, requires="Url")["Url"]
        # An endpoint of the user's own may be without TLS; AWS's never is.
        own = urlsplit(endpoint())
        if urlsplit(url).scheme != "https" and not url.startswith(f"{own.scheme}://{own.netloc}/"):
            raise AccessError("pricing:GetPriceListFileUrl returned an address without TLS")
        return download(url, place.clock, max_bytes=_MAX_BYTES)

    return read


def _products(service_code: str, region: str, place: Place) -> Callable[[], list[str]]:
    def read() -> list[str]:
        query = {
            "ServiceCode": service_code,
            "Filters": [{"Type": "TERM_MATCH", "Field": "regionCode", "Value": region}],
            "FormatVersion": "aws_v1",
        }
        pages = place.pages("pricing", "GetProducts", query, requires="PriceList")
        return [text for page in pages for text in page["PriceList"]]

    return read


def local_files(path: Path) -> list[PriceFile]:
    """Return the offer files of a folder and the folders in it, or one file: .json or .json.gz.

    Raises DataError if there is none.
    """
    if not path.is_dir():
        return [PriceFile(path.name, lambda: _read(path))]
    found = sorted(file for file in path.rglob("*") if file.name.endswith((".json", ".json.gz")))
    # The lists of versions and regions that a copy of AWS's folders contains.
    files = [file for file in found if not _is_index(file)]
    if not files:
        raise DataError(f"{path}: no offer file (.json or .json.gz) in this folder")
    return [PriceFile(str(file.relative_to(path)), _reading(file)) for file in files]


def _reading(file: Path) -> Callable[[], bytes]:
    return lambda: _read(file)


def _is_index(file: Path) -> bool:
    if file.name.removesuffix(".gz") == "region_index.json":
        return True
    # Of the versions of one service: AmazonBedrock/index.json.
    return file.name == "index.json" and (file.parent / "current").is_dir()


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as content:
            data = content.read(_MAX_BYTES + 1)
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}") from None
    if data.startswith(b"\x1f\x8b"):
        unzip = zlib.decompressobj(wbits=31)
        try:
            data = unzip.decompress(data, _MAX_BYTES + 1)
        except zlib.error:
            raise DataError("the gzip data is damaged; download it again") from None
        if not unzip.eof and len(data) <= _MAX_BYTES:
            raise DataError("the gzip data is incomplete; download it again")
    if len(data) > _MAX_BYTES:
        raise DataError(f"larger than {_MAX_BYTES >> 20} MB, too large for a price list")
    return data
