"""What a call's tokens cost, and why: which input counts, the price of each kind, the estimate.

``row``: the call's row of the view ``calls``; ``trial``: the warehouse that it is from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlite_utils import Database

from etl.inspect.lines import Line
from etl.normalise.discounts import Discount
from etl.normalise.token_kinds import CACHE_COLUMNS
from etl.show.numbers import HOW_TO_PRICE
from etl.warehouse.read.inspect import (
    ids_with_prices,
    near_price,
    read_call_prices,
    read_estimates,
    read_input_forms,
)
from etl.warehouse.write.discounts import stored_discounts


def input_form_lines(row: Mapping[str, Any] | None, db: Database) -> Iterator[Line]:
    """Yield whether the reported input contains the cached tokens, who says so, and the rest."""
    if row is None or row["input_form"] is None:
        return
    forms = read_input_forms(db, row["event_time"], row["event_id"])
    for number, form in enumerate(forms):
        family = "any model" if form["family"] == "*" else f"models {form['family']}*"
        how = (
            f"{form['token_source']} of {family}, table input_forms: {form['source']}"
            f" (checked {form['checked_on']})"
        )
        name = "input form" if len(forms) == 1 else f"input form {number + 1}"
        yield Line(name, form["form"], how)
    yield Line("input counted", row["input_tokens"], _why_input(row, len(forms)))


def _why_input(row: Mapping[str, Any], sources: int) -> str:
    cached = sum(row[column] or 0 for column in CACHE_COLUMNS)
    reported = row["reported_input_tokens"]
    match row["input_form"]:
        case "net":
            return "as reported: it does not contain the cached tokens"
        case "gross" if cached > reported:
            return f"as reported: it should contain the {cached:,} cached tokens, but is less"
        case "gross":
            return f"{reported:,} reported, less the {cached:,} cached tokens in it"
    several = "the counts are from several sources; " if sources > 1 else ""
    return f"as reported: {several}whether the cached tokens are in it is not known"


def price_lines(row: Mapping[str, Any] | None, trial: Database) -> Iterator[Line]:
    """Yield the price of each kind of token of a call, and its cost."""
    if row is None:
        return
    prices = read_call_prices(trial, row["event_time"], row["event_id"])
    discounts = stored_discounts(trial)
    for price in prices:
        yield Line(
            f"price of {price['token_kind']}", price["usd_per_mtok"], _price(price, discounts)
        )
        if price["price_id"] is None:
            yield from _near_price(near_price(trial, row, price["token_kind"]))
    yield Line("cost", row["cost_usd"], _why_cost(row, prices, trial))
    if row["list_cost_usd"] != row["cost_usd"] or row["list_unpriced_tokens"]:
        yield Line("list cost", row["list_cost_usd"], _why_list_cost(row))


def _near_price(gap: Mapping[str, Any] | None) -> Iterator[Line]:
    if gap is not None and gap["near_price_id"] is not None:
        how = (
            f"USD per million, not used: another {gap['missing'].replace(', ', ' and another ')}:"
            f" {gap['near_price']} (row {gap['near_price_id']} of prices)"
        )
        yield Line("  nearest price", gap["near_usd_per_mtok"], how)


def _price(price: Mapping[str, Any], discounts: Sequence[Discount]) -> str:
    if price["price_id"] is None:
        return "no price"
    until = price["effective_to"] or "now"
    band = f", above {price['min_input_tokens']:,} input" if price["min_input_tokens"] else ""
    kind = "your own rate" if price["origin"] == "import" else "list price"
    return (
        f"USD per million: {kind}{_before(price, discounts)} of {price['model_id']}"
        f" in {price['region']}, {price['scope']},"
        f" {price['service_tier']}{band}, {price['effective_from']} to {until};"
        f" {price['source']} (checked {price['checked_on']})"
    )


def _before(price: Mapping[str, Any], discounts: Sequence[Discount]) -> str:
    """Say what list price a rate started from, and which discount changed it."""
    listed, number = price["list_usd_per_mtok"], price["discount_number"]
    if number:
        return (
            f" {listed:g} less discount {number} of {len(discounts)} ({discounts[number - 1]}),"
            " the price"
        )
    if price["rate_class"] != "negotiated":
        return ""
    known = "without a list price" if listed is None else f"list price {listed:g}"
    return f" (negotiated, {known})"


def _why_list_cost(row: Mapping[str, Any]) -> str:
    lacking = row["list_unpriced_tokens"]
    without = f"; {lacking:,} tokens have no list price" if lacking else ""
    return f"USD: without discounts and negotiated rates{without}"


def _why_cost(row: Mapping[str, Any], prices: Sequence[Mapping[str, Any]], trial: Database) -> str:
    if row["cost_usd"] is None and ":provisioned-model/" in row["raw_model_id"]:
        return "provisioned capacity: AWS bills its hours, not its tokens (view capacity_hours)"
    lacking = [price["token_kind"] for price in prices if price["price_id"] is None]
    if lacking:
        ids = ", ".join(ids_with_prices(trial, row["raw_model_id"])) or "no id"
        bound = "" if row["cost_usd"] is None else "USD, a lower bound: "
        return (
            f"{bound}no {' and '.join(lacking)} price in {row['region']}, {row['inference_scope']},"
            f" {row['service_tier']}: looked for {ids}. {HOW_TO_PRICE}"
        )
    if row["cost_usd"] is None:
        why = "a failed call" if row["error_code"] else "its tokens are unknown"
        return f"{why}; CloudWatch's estimates are per hour only"
    return "USD: tokens x price, summed over the known kinds"


def estimate_lines(event_time: str, event_id: str, warehouse: Database) -> Iterator[Line]:
    """Yield what made the estimate of the hour, for each kind that the call lacks."""
    for one in read_estimates(warehouse, event_time, event_id):
        yield Line(f"{one['token_kind']} estimate", one["method"], _why_estimate(one))


def _why_estimate(one: Mapping[str, Any]) -> str:
    """Say what shares CloudWatch's total of the hour, of which this call gets a part."""
    if one["method"] == "single caller":
        return "no one else called while CloudWatch counted the tokens of the hour"
    if one["weight"] is None:
        return "CloudWatch's total of the hour, the same for each call: their sizes are not known"
    per = " at its usual input" if one["unit"] == "input tokens" else ""
    fitted = f"14 days from {one['window_start'][:10]}, by {one['bucket_seconds']} s"
    return (
        f"{one['weight']:,.0f} tokens a call{per} for this caller, ±{one['relative_error']:.0%};"
        f" from {fitted}; in hours that were left out, such sizes save"
        f" {one['held_out_gain']:.0%} of the error of equal ones"
    )
