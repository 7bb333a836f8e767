"""Other price lists: litellm's and genai-prices', from the repository's extracts or given files.

A path may be the data file as the project has it, a wheel or another zip file, a folder into which
one was unpacked or installed, or an extract. Nothing in it is run.
"""

from __future__ import annotations

import csv
import gzip
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path, PurePath
from typing import NamedTuple

from etl import resources
from etl.errors import DataError
from etl.normalise import price_packages
from etl.normalise.listed_prices import (
    GENAI_KINDS,
    Item,
    is_on_demand_bedrock,
    parse_rate,
)
from etl.normalise.model_ids import parse_model_id
from etl.price_check.book import Use

_REGIONS = resources.SQL / "seeds" / "price_list_regions.csv"
_LITELLM, _GENAI = "litellm", "genai-prices"

# The data of a package is a few MB.
_MAX_BYTES = 100_000_000

# What a file that is something else leads to.
_NOT_ITS_DATA = (
    *(AttributeError, LookupError, RecursionError, SyntaxError, TypeError, ValueError),
    *(EOFError, csv.Error, zipfile.BadZipFile, zlib.error),
)

Row = Mapping[str, str]


class Listed(NamedTuple):
    """A rate of another list. ``by``: the list, and its own name for what is sold."""

    by: str
    use: Use
    usd_per_mtok: int


class OtherList(NamedTuple):
    """A list, with the versions it is from."""

    name: str
    versions: tuple[str, ...]
    rates: list[Listed]


def read_lists(litellm: Path | None, genai: Path | None, day: str) -> list[OtherList]:
    """Return the lists that there are; a path comes instead of the repository's newest extract.

    ``day``: of genai-prices' dated rates, those in force then. Raises DataError.
    """
    extracts = resources.EXTRACTS
    retired, newest = (
        extracts / "litellm_1.98.0_bedrock.csv.gz",
        extracts / "litellm_bedrock.csv.gz",
    )
    files = [file for file in (retired, litellm or newest) if file.exists() or file == litellm]
    lists = []
    if files:
        rows = [row for file in files for row in _rows(file, _LITELLM)]
        lists.append(_other_list(_LITELLM, rows, _litellm_rates(rows)))
    file = genai or extracts / "genai_prices_bedrock.csv.gz"
    if genai or file.exists():
        rows = _rows(file, _GENAI)
        lists.append(_other_list(_GENAI, rows, _genai_rates(rows, day)))
    return lists


def _other_list(name: str, rows: list[Row], rates: Iterable[Listed]) -> OtherList:
    return OtherList(name, tuple(dict.fromkeys(row["source"] for row in rows)), list(rates))


# Files


def _rows(path: Path, name: str) -> list[Row]:
    """Return the rates of a file, as the extracts have them. Raises DataError."""
    try:
        rows = _read(path, name)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from None
    except _NOT_ITS_DATA:
        rows = []
    # To compare with nothing is not the same as to find nothing.
    if not rows:
        raise DataError(
            f"{path} has no Bedrock prices of {name}: give its data file, its wheel, or the folder"
            " where it is installed"
        )
    return rows


def _read(path: Path, name: str) -> list[Row]:
    package = _PACKAGES[name]
    if path.name.endswith((".csv", ".csv.gz")):
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rt", encoding="utf-8", newline="") as file:
            extract = csv.DictReader(file)
            return list(extract) if {*package.columns} <= {*(extract.fieldnames or ())} else []
    rates = package.read(_text(path, package.is_data), f"{name} of {path.name}")
    return [dict(zip(package.columns, rate, strict=True)) for rate in rates]


def _text(path: Path, is_data: Callable[[PurePath], bool]) -> str:
    if path.is_dir():
        found = min(filter(is_data, path.rglob("*.*")), key=lambda file: (len(file.parts), file))
        return _text(found, is_data)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as files:
            inside = [one for one in files.infolist() if is_data(PurePath(one.filename))]
            member = min(inside, key=lambda one: (one.filename.count("/"), one.filename))
            if member.file_size > _MAX_BYTES:
                raise DataError(f"{path}: {member.filename} is larger than 100 MB")
            return files.read(member).decode("utf-8")
    if path.stat().st_size > _MAX_BYTES:
        raise DataError(f"{path} is larger than 100 MB")
    return path.read_text(encoding="utf-8")


def _is_litellm(file: PurePath) -> bool:
    return file.name.startswith("model_prices_and_context_window") and file.suffix == ".json"


def _is_genai(file: PurePath) -> bool:
    return file.parts[-2:] in (("genai_prices", "data.py"), ("prices", "data.json"))


class _Package(NamedTuple):
    columns: tuple[str, ...]
    read: Callable[[str, str], price_packages.Rows]
    is_data: Callable[[PurePath], bool]


_PACKAGES = {
    _LITELLM: _Package(price_packages.LITELLM_COLUMNS, price_packages.read_litellm, _is_litellm),
    _GENAI: _Package(price_packages.GENAI_COLUMNS, price_packages.read_genai, _is_genai),
}


# litellm


class _Entry(NamedTuple):
    model_id: str
    geo: str
    region: str
    sheet: dict[Item, int]


def _litellm_rates(rows: Iterable[Row]) -> Iterator[Listed]:
    """Yield the rates of every entry; one that a later file has too is as that file has it."""
    regions = _geo_regions()
    entries = _entries(rows)
    for key, entry in entries.items():
        if entry.geo == "global" or _is_the_global_price(entry, entries.values()):
            scope, places = "global", ["*"]
        else:
            scope, places = "regional", [entry.region] if entry.region else regions[entry.geo]
        for item, usd in entry.sheet.items():
            for region in places:
                yield Listed(f"{_LITELLM} {key}", Use(entry.model_id, region, scope, item), usd)


def _entries(rows: Iterable[Row]) -> dict[str, _Entry]:
    entries: dict[str, _Entry] = {}
    versions: dict[str, str] = {}
    for row in filter(is_on_demand_bedrock, rows):
        key = row["key"]
        if versions.setdefault(key, row["source"]) != row["source"]:
            versions[key] = row["source"]
            del entries[key]
        model_id = row["model"].rpartition("/")[2]
        entry = entries.setdefault(key, _Entry(model_id, row["scope"], row["region"], {}))
        if rate := _rate(row):
            entry.sheet[rate[0]] = rate[1]
    return entries


def _rate(row: Row) -> tuple[Item, int] | None:
    """Return a rate; one in a unit that is new to us has that unit as its kind.

    A rate finer than the price list can have is rounded: here a thousandth is no difference.
    """
    try:
        return parse_rate(row)
    except (KeyError, ValueError):
        name, _, usd = row["raw_key"].partition("=")
        kind = name if usd else row["kind"]
        amount = Decimal(usd).scaleb(12) if usd else Decimal(row["usd_per_mtok"]).scaleb(6)
        return Item(row["tier"], kind, int(row["ctx_min"])), round(amount)


def _is_the_global_price(entry: _Entry, entries: Iterable[_Entry]) -> bool:
    """Return whether an entry without a prefix is not its own region's price.

    Claude 4.5 and later have the global price there, 10 % low: the us. entry differs, and the
    global one does not.
    """
    if entry.geo != "in_region" or entry.region:
        return False
    same = [other for other in entries if other.model_id == entry.model_id]
    return _differs(entry, same, "us") and not _differs(entry, same, "global")


def _differs(entry: _Entry, others: Iterable[_Entry], geo: str) -> bool:
    return any(
        other.geo == geo
        and any(entry.sheet[i] != other.sheet[i] for i in entry.sheet.keys() & other.sheet)
        for other in others
    )


def _geo_regions() -> dict[str, list[str]]:
    """Return the regions in which the price of a profile's prefix is compared."""
    with _REGIONS.open(encoding="utf-8", newline="") as file:
        return {row["geo"]: row["regions"].split() for row in csv.DictReader(file)}


# genai-prices


def _genai_rates(rows: Iterable[Row], day: str) -> Iterator[Listed]:
    """Yield the rates in force on a day; kinds that are not token prices are left out."""
    latest: dict[tuple[str, Item], Row] = {}
    for row in rows:
        kind = GENAI_KINDS.get(row["price_key"])
        if kind is None or row["effective_from"] > day:
            continue
        key = row["model_id"], Item("standard", kind, int(row["tier_start"]))
        if key not in latest or latest[key]["effective_from"] <= row["effective_from"]:
            latest[key] = row
    for (name, item), row in latest.items():
        names = parse_model_id(name.removeprefix("regional."))
        region = "*" if names.inference_scope == "global" else "us-east-1"
        use = Use(names.canonical_model_id, region, names.inference_scope, item)
        yield Listed(f"{_GENAI} {name}", use, round(Decimal(row["usd"]).scaleb(6)))
