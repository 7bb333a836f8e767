"""Numbers and words for people, the same in the terminal and on a page."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from etl.normalise.token_kinds import TOKENS_ALONE

Row = Mapping[str, Any]

UNKNOWN = "–"


def number(value: int | None) -> str:
    """Group the digits; None means unknown, never 0."""
    return UNKNOWN if value is None else f"{value:,}"


def rate(micro_dollars: int | None) -> str:
    """Return a rate in dollars per million, exactly, with two decimals at least."""
    if micro_dollars is None:
        return UNKNOWN
    dollars, rest = divmod(micro_dollars, 10**6)
    return f"{dollars:,}.{f'{rest:06}'.rstrip('0'):0<2}"


def some_of(names: Sequence[str], most: int, separator: str = ", ") -> str:
    """Return the first names, and how many more there are: a, b and 3 more."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return f"{separator.join(names[:most])}{more}"


def count(value: int, noun: str) -> str:
    """Count things: 1 call, 2 calls."""
    return f"{value:,} {noun}{'' if value == 1 else 's'}"


def size(length: int) -> str:
    """Return a number of bytes in the unit that suits it: 512 B, 4.1 MB, 2.0 GB."""
    value, units = float(length), ["B", "kB", "MB", "GB", "TB"]
    while value >= 999.95 and len(units) > 1:
        value /= 1000
        del units[0]
    return f"{value:.{0 if units[0] == 'B' else 1}f} {units[0]}"


def coverage(with_tokens: int, calls: int) -> str:
    """Say for how many calls AWS reports tokens call by call."""
    known = f" ({percent(with_tokens, calls)})" if calls else ""
    return f"Events with token data: {with_tokens:,} / {calls:,}{known}"


# How tokens are known, in the order of trust: columns of the view token_coverage, and their words.
TOKEN_PARTS = {
    "actual_tokens": "measured",
    "single_caller_tokens": "single caller",
    "calibrated_tokens": "calibrated",
    "call_share_tokens": "by calls",
    "unattributed_tokens": "unattributed",
}


# How the tokens of a row are known: its data_source, in a word. Estimated: of a mixed row.
SOURCES = {
    "Actual Tokens from CloudTrail": "measured",
    "Actual Tokens from invocation log": "measured",
    "CloudWatch (Estimated)": "estimated",
    "No token data": "no tokens",
    "Estimated": "partly estimated",
    "Mixed": "mixed",
}


def source(row: Row) -> str:
    """Return how the tokens of a row are known, in a word or two."""
    name: str = row["data_source"]
    if name == "Mixed" and row.get("estimated_cost_usd"):
        name = "Estimated"
    return SOURCES.get(name, name)


def token_parts(row: Row | None) -> str:
    """Say how the tokens are known; empty if there are none.

    Tokens: 40.0 % measured, 35.0 % calibrated, 25.0 % by calls; 5 without a price
    """
    known = {column: row[column] for column in TOKEN_PARTS if row[column]} if row else {}
    if row is None or not known:
        return ""
    whole = sum(known.values())
    parts = ", ".join(f"{_part(known[name], whole)} {TOKEN_PARTS[name]}" for name in known)
    unpriced = row["unpriced_tokens"]
    return f"Tokens: {parts}" + (f"; {tokens(unpriced)} without a price" if unpriced else "")


def _part(part: int, whole: int) -> str:
    return "<0.1 %" if part < whole / 2000 else percent(part, whole)


def percent(part: float | None, whole: float | None) -> str:
    """Return a part in percent; unknown for a part of nothing."""
    if part is None or not whole:
        return UNKNOWN
    return f"{100 * part / whole:.1f} %"


def share(value: float | None) -> str:
    """Return a share in percent."""
    return percent(value, 1)


def span(length: timedelta) -> str:
    """Return a length of time in its two largest units: 45 s, 12 min, 3 h 20 min, 2 d 4 h."""
    seconds = max(0, round(length.total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    minutes = seconds // 60
    if minutes < 60:
        return f"{minutes} min"
    large, small, units = (
        (minutes // 60, minutes % 60, ("h", "min"))
        if minutes < 48 * 60
        else (minutes // 1440, minutes % 1440 // 60, ("d", "h"))
    )
    return f"{large} {units[0]}" + (f" {small} {units[1]}" if small else "")


def missing(total: Row) -> str:
    """Say what a cost does not include, as a clause; empty if it includes everything."""
    calls, unpriced = total["unpriced_calls"], total["unpriced_tokens"]
    things = [count(calls, "call")] if calls else []
    if unpriced:
        things.append(f"{tokens(unpriced)} token{'' if unpriced == 1 else 's'}")
    if things:
        things[-1] += " without a price"
    if total["calls_without_tokens"]:
        things.append(f"{count(total['calls_without_tokens'], 'call')} without token data")
    is_single = calls + unpriced + total["calls_without_tokens"] == 1
    return f"{' and '.join(things)} {'is' if is_single else 'are'} not included" if things else ""


# A price in one region is never used for another, so the region is part of what is missing.
HOW_TO_PRICE = (
    "`bedrock-usage report gaps` shows the nearest prices; `bedrock-usage prices sync` reads AWS's"
    " Price List, and `bedrock-usage prices import` adds your own rates"
)


def without_price(rows: Iterable[Row]) -> list[str]:
    """Return "MODEL in REGION, REGION" for rows of usage that lack a price."""
    regions: dict[str, set[str]] = {}
    for row in rows:
        if row["unpriced_calls"] or row["unpriced_tokens"]:
            regions.setdefault(row["model_id"], set()).add(row["region"])
    return [f"{model} in {', '.join(sorted(places))}" for model, places in regions.items()]


def capacity(row: Row) -> str:
    """Say which hours of provisioned capacity no cost includes; empty if there are none."""
    if not row["hours"]:
        return ""
    hours = f"{row['hours']:,.0f} hour{'' if round(row['hours']) == 1 else 's'}"
    units = f"{row['model_unit_hours']:,.0f} x model unit"
    return f"{hours} of provisioned capacity ({units}) are not in these costs"


def guardrails(row: Row, where: str = "these costs") -> str:
    """Say what guardrails charged that no cost includes; empty if none was used."""
    unknown = f"{count(row['unknown_calls'], 'call')} with a guardrail"
    if not row["units"]:
        return (
            f"{unknown} whose units nothing shows: not in {where}" if row["unknown_calls"] else ""
        )
    has_no_price = (
        [f"{number(row['unpriced_units'])} have no price"] if row["unpriced_units"] else []
    )
    lacking = has_no_price + (
        [f"{unknown} show{'s' if row['unknown_calls'] == 1 else ''} no units"]
        if row["unknown_calls"]
        else []
    )
    amount = UNKNOWN if row["cost_usd"] is None else dollars(row["cost_usd"], 4)
    bound = "≥ " if lacking and row["cost_usd"] is not None else ""
    without = f" ({', '.join(lacking)})" if lacking else ""
    return f"{count(row['units'], 'unit')} of guardrails, {bound}{amount}{without}: not in {where}"


def tokens(value: int | None) -> str:
    """Round to three digits: 1,234 as it is, 56.7k, 8.90M."""
    if value is None:
        return UNKNOWN
    for size, unit in ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**4, "k")):
        if value >= size:
            scaled = value / min(size, 10**3) if unit == "k" else value / size
            return f"{scaled:.{max(0, 3 - len(str(int(scaled))))}f}{unit}"
    return f"{value:,}"


def all_tokens(row: Row) -> int | None:
    """Return the sum of all kinds of token that are known; None where none is."""
    known = [row[kind.shown] for kind in TOKENS_ALONE if row[kind.shown] is not None]
    return sum(known) if known else None


def tokens_by_kind(row: Row) -> str:
    """Return the known kinds of token in words: 65.5M input, 6.12M output, 102M cache read."""
    return ", ".join(
        f"{tokens(row[kind.shown])} {kind.heading.lower()}"
        for kind in TOKENS_ALONE
        if row[kind.shown] is not None
    )


# What changed between two periods: of whom, and the causes, which add up to the change.
MOVED = {"application": "Application", "user": "User", "team": "Team", "model": "Model"}
CAUSES = {"volume": "Volume", "size": "Size", "mix": "Mix", "price": "Price"}
ABOUT_CAUSES = (
    "Volume: calls. Size: tokens a call. Mix: models, regions, tiers and kinds of token, such as"
    " cached ones. Price: rates."
)


# What is special of a day: the states of ``etl.web.covered``, in words.
DAY_STATES = {"": "", "running": "not over", "gap": "partly not read", "none": "not loaded"}


# Names that stand for what is not known, explained where they stand.
_UNATTRIBUTED = "usage that CloudWatch counted and no known call accounts for"
EXPLAINED = {
    "application": {
        "Unknown": "calls that name no application, neither by role, profile, metadata nor user"
        " agent; a rule ([[application_rules]] in bedrock_usage.toml) gives them one",
        "(unattributed)": _UNATTRIBUTED,
    },
    "user": {"(unattributed)": _UNATTRIBUTED},
    "team": {
        "(no team)": "calls that nothing gives a team; a rule ([[team_rules]] in"
        " bedrock_usage.toml) does",
        "(unattributed)": _UNATTRIBUTED,
    },
}


def top_of(all_names: int, first: int, noun: str) -> str:
    """Return the title of a list of those that cost most: Top 10 of 19 users."""
    shown = f"Top {first} of {all_names:,}" if all_names > first else f"All {all_names:,}"
    return f"The only {noun}" if all_names == 1 else f"{shown} {noun}s"


def shown_of(all_names: int, first: int, noun: str) -> str:
    """Return how many of all names are drawn by name; empty if all are."""
    return f", top {first} of {all_names:,}" if all_names > first else ""


def per_million(dollars_per_million: float) -> str:
    """Return a price in dollars per million, with two decimals at least: 3.30, 0.0375."""
    whole, _, rest = f"{dollars_per_million:,.6f}".partition(".")
    return f"{whole}.{rest.rstrip('0'):0<2}"


def per_unit(row: Row, column: str) -> str:
    """Return what a call, a user or 1,000 tokens cost, with three digits; marked as a cost is."""
    usd = row.get(column)
    if usd is None:
        return UNKNOWN
    digits = max(2, 2 - math.floor(math.log10(usd))) if usd > 0 else 2
    return ("≥ " if row["is_lower_bound"] else "") + dollars(usd, min(digits, 9))


def breakable(name: str) -> list[str]:
    """Return the parts of a name between which a line may end."""
    return re.findall(r"[^-._@/:]*[-._@/:]+|[^-._@/:]+", name)


def cost(row: Row, decimals: int) -> str:
    """Return a row's cost, marked if it is a lower bound; unpriced is not the same as unknown.

    The row may be a sum or a call, which has no ``unpriced_calls``.
    """
    if row["cost_usd"] is None:
        is_unpriced = row["unpriced_tokens"] or row.get("unpriced_calls")
        return "unpriced" if is_unpriced else UNKNOWN
    return ("≥ " if row["is_lower_bound"] else "") + dollars(row["cost_usd"], decimals)


def width(row: Row) -> float | None:
    """Return how far off a row's cost may be, the larger of both sides; None if not known."""
    low, paid, high = (row.get(f"cost_{end}usd") for end in ("low_", "", "high_"))
    if low is None or paid is None or high is None:
        return None
    return float(round(max(high - paid, paid - low), 9))


def off(row: Row, decimals: int) -> str:
    """Return how far off a row's cost may be, as a column shows it."""
    amount = width(row)
    return UNKNOWN if amount is None else dollars(amount, decimals)


def bounds(row: Row, decimals: int) -> str:
    """Say between which amounts a row's cost is; empty where it is exact, or a lower bound."""
    if row["cost_usd"] is None or row["is_lower_bound"]:
        return ""
    low = dollars(row["cost_low_usd"], decimals)
    if row["cost_high_usd"] is None:
        certain = f": {low} is certain" if row["cost_low_usd"] else ""
        return f"It is not known how far off the estimate is{certain}"
    if not width(row):
        return ""
    high = dollars(row["cost_high_usd"], decimals)
    return f"Over a week or more, the true cost is between {low} and {high} in 9 of 10 cases"


def list_cost(row: Row, decimals: int) -> str:
    """Return what a row costs at list price, marked if it is a lower bound."""
    is_lower_bound = row["is_lower_bound"] or row["list_unpriced_tokens"]
    listed = {"cost_usd": row["list_cost_usd"], "unpriced_tokens": row["list_unpriced_tokens"]}
    return cost({**row, **listed, "is_lower_bound": is_lower_bound}, decimals)


def saved(row: Row, decimals: int) -> str:
    """Return what discounts and negotiated rates save."""
    amount = saving(row)
    return UNKNOWN if amount is None else dollars(amount, decimals)


def saving(row: Row) -> float | None:
    """Return list cost less cost, None where they do not cover the same tokens."""
    listed, paid = row["list_cost_usd"], row["cost_usd"]
    if listed is None or paid is None or row["list_unpriced_tokens"] > row["unpriced_tokens"]:
        return None
    return float(round(listed - paid, 9))


def differs_from_list(row: Row) -> bool:
    """Return whether a discount or a negotiated rate changes what a row costs."""
    return bool(
        row["list_cost_usd"] != row["cost_usd"]
        or row["list_unpriced_tokens"] != row["unpriced_tokens"]
    )


def decimals(usd: float | None) -> int:
    """Return how many decimals an amount is shown with where there is room for few figures."""
    return 2 if (usd or 0) >= 1 else 6


def dollars(value: float, decimals: int) -> str:
    """Return US dollars; an amount that would round to 0 is shown as below the smallest."""
    if value < 0:
        return f"-{dollars(-value, decimals)}"
    smallest = 10**-decimals
    return f"<${smallest:.{decimals}f}" if 0 < value < smallest else f"${value:,.{decimals}f}"


def change(value: float, decimals: int) -> str:
    """Return by how many dollars something changed."""
    return f"{'' if value < 0 else '+'}{dollars(value, decimals)}"


def period(first: str, last: str) -> str:
    """Return the days of a period: a day, a whole month, or its first and last day."""
    if first == last:
        return first
    is_last = (date.fromisoformat(last) + timedelta(days=1)).day == 1
    is_month = first.endswith("-01") and is_last and first[:7] == last[:7]
    return first[:7] if is_month else f"{first} to {last}"


def of_month(month: Row, rows: Sequence[Row]) -> list[Row]:
    """Return the rows of a month and payer of the bill."""
    key = (month["month"], month["payer_account_id"])
    return [row for row in rows if (row["month"], row["payer_account_id"]) == key]


def kind_of_use(row: Row) -> str:
    """Return the kind of token in words, with what is unusual of its tier, scope and so on."""
    words = [row["token_kind"]] if row["token_kind"] else []
    return ", ".join(words + unusual(row)) or UNKNOWN


_USUAL = {"inference_scope": "regional", "service_tier": "standard", "endpoint": "runtime"}


def unusual(row: Row) -> list[str]:
    """Return what is unusual about the use of a model, in words; only of the columns it has."""
    words = [row[name] for name, word in _USUAL.items() if row.get(name) not in (None, word)]
    above = row.get("min_input_tokens")
    return [*words, *([f"above {above:,}"] if above else [])]
