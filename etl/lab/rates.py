"""The cost of tokens, worked out independently of the warehouse's views.

The price table and the discounts are the warehouse's, including the user's own rates. The choice
among them is made here a second time, in the order that DESIGN gives, because ``verify`` must not
compare a view with itself. Money is a whole number of pico-dollars.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from fnmatch import fnmatchcase
from typing import NamedTuple

from etl.normalise.discounts import Discount
from etl.normalise.model_ids import model_aliases
from etl.show.numbers import Row

_GEO = re.compile(r"^(us-gov|us|eu|apac|jp|au|ca|in|amer|global)\.(?=[\w-]+\.)")
_OPAQUE = "application-inference-profile/"

# The origins of rates, the one that is used first.
ORIGINS = ("import", "price_list", "seed")


class Place(NamedTuple):
    """What decides the price of a call besides its tokens; ``day`` as YYYY-MM-DD."""

    model_id: str
    region: str
    account_id: str
    day: str


def is_priceable(model_id: str) -> bool:
    """Return whether the id itself names the model; an application inference profile does not."""
    return _OPAQUE not in model_id


# Prices are chosen here again, so that the lab proves the views (DECISIONS 68).
def cost_picodollars(
    rows: Iterable[Row],
    place: Place,
    usage: Mapping[str, int],
    discounts: Sequence[Discount] = (),
) -> int | None:
    """Return the cost of the tokens that have a rate; None if tokens were used and none has one.

    ``usage``: tokens by their names in the ledger, ``input_tokens`` and so on.
    """
    region, day = place.region, place.day
    tail = place.model_id.rpartition("/")[2]
    names = _names(_GEO.sub("", tail))
    scope = "global" if tail.startswith("global.") else "regional"
    asked = sum(tokens for kind, tokens in usage.items() if kind != "output_tokens")
    fitting = [
        row
        for row in rows
        if row["model_id"] in names
        and _is_of_region(row, region)
        and (row["scope"], row["service_tier"]) == (scope, "standard")
        and row["effective_from"] <= day < (row["effective_to"] or "9999")
        and (row["min_input_tokens"] == 0 or row["min_input_tokens"] < asked)
    ]
    used = {kind: tokens for kind, tokens in usage.items() if tokens}
    rates = {
        kind: _rate(fitting, kind.removesuffix("_tokens"), names, place, discounts) for kind in used
    }
    known = [used[kind] * rate for kind, rate in rates.items() if rate is not None]
    return sum(known) if known or not used else None


def _is_of_region(row: Row, region: str) -> bool:
    return bool(
        row["region"] == region or (row["region"] == "*" and not region.startswith("us-gov-"))
    )


def _rate(
    rows: Iterable[Row],
    kind: str,
    names: Sequence[str],
    place: Place,
    discounts: Sequence[Discount],
) -> int | None:
    # The ordinary cache write of some vendors lives 30 minutes.
    kinds = (kind, "cache_write_30m") if kind == "cache_write_5m" else (kind,)
    best = max(
        (row for row in rows if row["token_kind"] in kinds),
        key=lambda row: (
            row["rate_class"] == "negotiated",
            -ORIGINS.index(row["origin"]),
            -kinds.index(row["token_kind"]),
            -names.index(row["model_id"]),
            row["region"] != "*",
            row["min_input_tokens"],
            row["effective_from"],
        ),
        default=None,
    )
    if best is None:
        return None
    if best["rate_class"] == "negotiated":
        return int(best["usd_per_mtok"])
    return _discounted(int(best["usd_per_mtok"]), kind, names[0], place, discounts)


def _discounted(
    rate: int, kind: str, model_id: str, place: Place, discounts: Sequence[Discount]
) -> int:
    """Return a list rate less the first discount that matches, in whole pico-dollars."""
    values = {
        "model": (model_id, place.model_id.rpartition("/")[2]),
        "region": (place.region,),
        "account": (place.account_id,),
        "tier": ("standard",),
        "kind": (kind,),
    }
    for discount in discounts:
        is_met = all(
            patterns is None or any(fnmatchcase(v, p) for v in texts for p in patterns)
            for name, texts in values.items()
            for patterns in (discount.patterns(name),)
        )
        start, end = discount.start, discount.end
        if (
            is_met
            and (start is None or start.isoformat() <= place.day)
            and (end is None or place.day < end.isoformat())
        ):
            kept = rate * (100 - Decimal(discount.percent_text)) / 100
            return int(kept.quantize(Decimal(1), ROUND_HALF_UP))
    return rate


def _names(model_id: str) -> list[str]:
    """Return the ids that a price may be listed under, the exact one first."""
    unversioned = re.sub(r"-v\d+(:\d+)?$", "", model_id)
    candidates = (
        model_id,
        re.sub(r":\d+$", "", model_id),
        unversioned,
        re.sub(r"-20\d{2}-?\d{2}-?\d{2}$", "", unversioned),
        model_aliases().get(model_id, model_id),
    )
    return list(dict.fromkeys(candidates))
