"""Writes AWS's bill of a known history of calls, in every style in which AWS exports it.

``Line`` is one line in plain words; a style gives it the columns and types that AWS does. Nothing
here reads a table of the program: names and units are those that FACTS and AWS's pages show.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

PAYER, ACCOUNT, OTHER_ACCOUNT = "999988887777", "111122223333", "444455556666"
BUCKET = "company-billing"

CODES = {
    "us-east-1": "USE1",
    "us-west-2": "USW2",
    "eu-west-1": "EUW1",
}


class Line(NamedTuple):
    """A line of a bill. ``hour`` None: the line is of the whole day."""

    day: str
    usage_type: str
    quantity: Decimal
    cost: Decimal
    unit: str = "1K tokens"
    hour: int | None = None
    code: str = "AmazonBedrock"
    family: str = "Amazon Bedrock"
    seller: str = "AWS"
    kind: str = "Usage"
    account: str = ACCOUNT
    payer: str = PAYER
    region: str = "us-east-1"
    currency: str = "USD"
    description: str = ""
    resource: str = ""
    principal: str | None = None
    net_cost: Decimal | None = None
    product: tuple[tuple[str, str], ...] = ()
    tags: tuple[tuple[str, str], ...] = ()

    @property
    def start(self) -> str:
        return f"{self.day}T{self.hour or 0:02d}:00:00Z"

    @property
    def end(self) -> str:
        if self.hour is None or self.hour == 23:
            return f"{self.day}T23:59:59Z"
        return f"{self.day}T{self.hour + 1:02d}:00:00Z"


class Model(NamedTuple):
    """How AWS bills a model. ``names``: the usage type of each kind of token, without its prefix.

    ``rates``: dollars per million tokens of each kind; ``per_unit``: tokens in a unit.
    """

    model_id: str
    names: dict[str, str]
    rates: dict[str, str]
    unit: str
    per_unit: int
    product: tuple[tuple[str, str], ...]
    code: str = "AmazonBedrock"
    family: str = "Amazon Bedrock"
    seller: str = "AWS"
    description: str = ""


NOVA = Model(
    "amazon.nova-pro-v1:0",
    {
        "input": "NovaPro-input-tokens",
        "output": "NovaPro-output-tokens",
        "cache_read": "NovaPro-cache-read-input-token-count",
    },
    {"input": "0.80", "output": "3.20", "cache_read": "0.20"},
    "1K tokens",
    1_000,
    (("model", "Nova Pro"), ("provider", "Amazon"), ("feature", "On-demand Inference")),
)
# The one that the product code AmazonBedrock alone misses.
SONNET = Model(
    "anthropic.claude-sonnet-4-5-20250929-v1:0",
    {
        "input": "MP:{place}_InputTokenCount-Units",
        "output": "MP:{place}_OutputTokenCount-Units",
        "cache_read": "MP:{place}_CacheReadInputTokenCount-Units",
        "cache_write_1h": "MP:{place}_CacheWrite1hInputTokenCount-Units",
    },
    {"input": "3.30", "output": "16.50", "cache_read": "0.33", "cache_write_1h": "6.60"},
    "Units",
    1_000_000,
    (("servicename", "Claude Sonnet 4.5 (Amazon Bedrock Edition)"),),
    code="AmazonBedrockFoundationModels",
)
# Sold by the Marketplace: neither a family nor a code says Bedrock.
HAIKU = Model(
    "anthropic.claude-3-haiku-20240307-v1:0",
    {
        "input": "MP:{place}_InputTokenCount-Units",
        "output": "MP:{place}_OutputTokenCount-Units",
    },
    {"input": "0.25", "output": "1.25"},
    "Units",
    1_000_000,
    (("product_name", "Claude 3 Haiku (Amazon Bedrock Edition)"),),
    code="4x7ab2c9d8e1f0a5b6c7d8e9f",
    family="",
    seller="AWS Marketplace",
    description="AWS Marketplace software usage|{region}|Million Input Tokens",
)
MODELS = (NOVA, SONNET, HAIKU)


def principal(user: str, account: str = ACCOUNT) -> str:
    return f"arn:aws:iam::{account}:user/{user}"


def usage(
    model: Model,
    kind: str,
    tokens: int,
    day: str,
    *,
    price_factor: str = "1",
    **fields: Any,
) -> Line:
    """Return the line that charges tokens at the list price, or at a multiple of it."""
    region = fields.get("region", "us-east-1")
    place = CODES[region]
    name = model.names[kind].format(place=place)
    cost = Decimal(tokens) * Decimal(model.rates[kind]) / 1_000_000 * Decimal(price_factor)
    line = Line(
        day,
        f"{place}-{name}",
        Decimal(tokens) / model.per_unit,
        cost,
        unit=model.unit,
        code=model.code,
        family=model.family,
        seller=model.seller,
        product=model.product,
        description=model.description.format(region=region),
    )
    return line._replace(**fields)


_CUR = {
    "bill_payer_account_id": "payer",
    "bill_billing_entity": "seller",
    "line_item_usage_account_id": "account",
    "line_item_usage_start_date": "start",
    "line_item_usage_end_date": "end",
    "line_item_product_code": "code",
    "line_item_usage_type": "usage_type",
    "line_item_line_item_type": "kind",
    "line_item_line_item_description": "description",
    "line_item_resource_id": "resource",
    "line_item_usage_amount": "quantity",
    "line_item_currency_code": "currency",
    "line_item_unblended_cost": "cost",
    "line_item_net_unblended_cost": "net_cost",
    "pricing_unit": "unit",
    "product_region_code": "region",
    "product_product_family": "family",
}
_LEGACY = {
    "bill/PayerAccountId": "payer",
    "bill/BillingEntity": "seller",
    "lineItem/UsageAccountId": "account",
    "lineItem/UsageStartDate": "start",
    "lineItem/UsageEndDate": "end",
    "lineItem/ProductCode": "code",
    "lineItem/UsageType": "usage_type",
    "lineItem/LineItemType": "kind",
    "lineItem/LineItemDescription": "description",
    "lineItem/ResourceId": "resource",
    "lineItem/UsageAmount": "quantity",
    "lineItem/CurrencyCode": "currency",
    "lineItem/UnblendedCost": "cost",
    "lineItem/NetUnblendedCost": "net_cost",
    "pricing/unit": "unit",
    "product/regionCode": "region",
    "product/productFamily": "family",
}
_LEGACY_PRODUCT = {
    "model": "product/model",
    "feature": "product/feature",
    "servicename": "product/servicename",
    "product_name": "product/ProductName",
}
_FOCUS = {
    "BillingAccountId": "payer",
    "InvoiceIssuerName": "seller",
    "SubAccountId": "account",
    "ChargePeriodStart": "start",
    "ChargePeriodEnd": "end",
    "x_ServiceCode": "code",
    "x_UsageType": "usage_type",
    "ChargeDescription": "description",
    "ResourceId": "resource",
    "PricingQuantity": "quantity",
    "BillingCurrency": "currency",
    "BilledCost": "cost",
    "PricingUnit": "unit",
    "RegionId": "region",
}
_CATEGORIES = {"Usage": "Usage", "Tax": "Tax", "Credit": "Credit", "Fee": "Purchase"}
_NUMBERS = frozenset({"quantity", "cost", "net_cost"})

STYLES = ("cur2", "legacy", "focus1.0", "focus1.2")
FORMATS = ("parquet", "csv.gz")


def _row(line: Line, style: str, columns: frozenset[str] | None) -> dict[str, Any]:
    """Return a line in a style; maps are dicts, amounts Decimals."""
    of = {"cur2": _CUR, "legacy": _LEGACY}.get(style, _FOCUS)
    row: dict[str, Any] = {name: getattr(line, field) for name, field in of.items()}
    product, tags = dict(line.product), dict(line.tags)
    if style == "cur2":
        row |= {"product": product, "tags": tags, "line_item_iam_principal": line.principal}
    elif style == "legacy":
        row |= {name: product.get(key) for key, name in _LEGACY_PRODUCT.items()}
        row["resourceTags/user:team"] = tags.get("resourceTags/user_team")
    else:
        category = _CATEGORIES.get(line.kind, "Adjustment")
        service = product.get("servicename") or product.get("product_name") or "Amazon Bedrock"
        row |= {"ChargeCategory": category, "ServiceName": service, "Tags": tags}
        row["ChargeDescription"] = line.description or line.kind
        if style == "focus1.2":
            row |= {"InvoiceId": "1234", "SkuPriceDetails": product}
    return {k: v for k, v in row.items() if columns is None or k in columns}


def _parquet(path: Path, rows: list[dict[str, Any]], style: str, row_group: int) -> None:
    import pyarrow
    import pyarrow.parquet

    amount = pyarrow.decimal128(30, 12) if style.startswith("focus") else pyarrow.float64()
    from etl.normalise.bill_manifests import column_name

    def column(name: str) -> Any:
        values = [row[name] for row in rows]
        if isinstance(values[0], dict):
            pairs = [sorted(value.items()) for value in values]
            return pyarrow.array(pairs, pyarrow.map_(pyarrow.string(), pyarrow.string()))
        if isinstance(values[0], Decimal) or name in ("net", "line_item_net_unblended_cost"):
            plain = values if style.startswith("focus") else [_float(value) for value in values]
            return pyarrow.array(plain, amount)
        if name.lower().endswith(("date", "periodstart", "periodend")):
            times = [datetime.fromisoformat(value) for value in values]
            return pyarrow.array(times, pyarrow.timestamp("ms", "UTC"))
        return pyarrow.array([None if v is None else str(v) for v in values], pyarrow.string())

    names = list(rows[0])
    table = pyarrow.table({column_name(name): column(name) for name in names})
    pyarrow.parquet.write_table(table, path, compression="snappy", row_group_size=row_group)


def _float(value: Decimal | None) -> float | None:
    return None if value is None else float(value)


def _csv(path: Path, rows: list[dict[str, Any]]) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(rows[0])
    for row in rows:
        writer.writerow(
            "" if v is None else json.dumps(v) if isinstance(v, dict) else str(v)
            for v in row.values()
        )
    path.write_bytes(gzip.compress(text.getvalue().encode(), mtime=0))


def write_export(
    folder: Path,
    lines: Iterable[Line],
    *,
    style: str = "cur2",
    form: str = "parquet",
    name: str = "bedrock",
    month: str = "2026-10",
    run: str = "run-1",
    parts: int = 1,
    row_group: int = 1_000,
    columns: Sequence[str] | None = None,
    has_run_folder: bool = False,
    written_at: str | None = None,
) -> Path:
    """Write a month of an export as AWS delivers it; return its manifest.

    ``columns``: only these, as the style names them. ``has_run_folder``: the run has its own folder.
    ``written_at``: the time of all files, UTC text.
    """
    kept = None if columns is None else frozenset(columns)
    rows = [_row(line, style, kept) for line in lines]
    root = folder / "exports" / name
    if style == "legacy":
        below = f"{month.replace('-', '')}01-{_next(month).replace('-', '')}01"
        data = root / below / run
        manifest = root / below / f"{name}-Manifest.json"
        address = f"exports/{name}/{below}/{run}"
    else:
        data = root / "data" / f"BILLING_PERIOD={month}"
        manifest = root / "metadata" / f"BILLING_PERIOD={month}" / f"{name}-Manifest.json"
        address = f"exports/{name}/data/BILLING_PERIOD={month}"
        if has_run_folder:
            data, manifest = data / run, manifest.parent / run / manifest.name
            address = f"{address}/{run}"
    data.mkdir(parents=True, exist_ok=True)
    manifest.parent.mkdir(parents=True, exist_ok=True)
    suffix = "snappy.parquet" if form == "parquet" else form
    files = []
    for part in range(parts):
        file = f"{name}-{part + 1:05d}.{suffix}"
        some = rows[part::parts]
        if form == "parquet":
            _parquet(data / file, some, style, row_group)
        else:
            _csv(data / file, some)
        files.append(f"{address}/{file}")
    manifest.write_text(json.dumps(_manifest(style, name, run, list(rows[0]), files)))
    if written_at:
        for path in (manifest, *data.iterdir()):
            set_time(path, written_at)
    return manifest


def set_time(path: Path, written_at: str) -> None:
    """Set when a file was written, UTC text."""
    seconds = datetime.fromisoformat(written_at).timestamp()
    os.utime(path, (seconds, seconds))


def _next(month: str) -> str:
    year, number = map(int, month.split("-"))
    return f"{year + number // 12}-{number % 12 + 1:02d}"


def _manifest(
    style: str, name: str, run: str, columns: list[str], files: list[str]
) -> dict[str, Any]:
    if style == "legacy":
        return {
            "assemblyId": run,
            "account": PAYER,
            "reportName": name,
            "columns": [
                dict(zip(("category", "name"), one.split("/"), strict=True)) for one in columns
            ],
            "bucket": BUCKET,
            "reportKeys": files,
            "additionalArtifactKeys": [],
        }
    return {
        "executionId": run,
        "exportArn": f"arn:aws:bcm-data-exports:us-east-1:{PAYER}:export/{name}-0f1e2d3c",
        "columns": [{"name": one, "type": "String"} for one in columns],
        "dataFiles": [f"s3://{BUCKET}/{file}" for file in files],
        "additionalOutputFiles": [],
    }
