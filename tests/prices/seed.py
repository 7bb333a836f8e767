"""The list prices as the file has them, looked up by code that shares nothing with the package."""

import csv
from decimal import Decimal
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SEED = ROOT / "sql" / "seeds" / "list_prices.csv"

COLUMNS = [
    *("model_id", "region", "scope", "service_tier", "token_kind", "min_input_tokens"),
    *("usd_per_mtok", "effective_from", "effective_to", "source", "checked_on"),
]
TODAY = "2026-11-29"


def read_rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


ROWS = read_rows(SEED)
ALIASES = {r["alias_id"]: r["model_id"] for r in read_rows(SEED.with_name("model_aliases.csv"))}


def look_up(model, region, kind, *, scope="regional", tier="standard", day=TODAY, total_input=1):
    """Return USD per million as a Decimal, or None if that is unpriced."""
    model = ALIASES.get(model, model)
    for place in (region,) if "-gov-" in region else (region, "*"):
        hits = [
            row
            for row in ROWS
            if (row["model_id"], row["region"], row["scope"]) == (model, place, scope)
            and (row["service_tier"], row["token_kind"]) == (tier, kind)
            and row["effective_from"] <= day < (row["effective_to"] or "9999")
            and (row["min_input_tokens"] == "0" or int(row["min_input_tokens"]) < total_input)
        ]
        if hits:
            best = max(hits, key=lambda row: int(row["min_input_tokens"]))
            return Decimal(best["usd_per_mtok"]) / 1_000_000
    return None


KINDS = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")
US_REGIONS = ("us-east-1", "us-east-2", "us-west-2")
