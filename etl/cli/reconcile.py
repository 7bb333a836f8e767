"""``bedrock-usage reconcile``: our figures beside the bill's, and why they differ."""

from __future__ import annotations

import re
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import click

from etl.cli.shared.options import config_option, db_option, format_option, month_option
from etl.clock import Clock
from etl.config import load_config
from etl.show.numbers import dollars
from etl.show.reconcile import closed_difference, print_comparison
from etl.warehouse.database import open_warehouse
from etl.warehouse.read.bills import compare_bill
from etl.warehouse.write.bills import apply_tolerance


class Limit(NamedTuple):
    """How much a bill may differ: whole pico-dollars, or a part of the bill in millionths."""

    picodollars: int = 0
    millionths: int = 0

    def of(self, billed_usd: float) -> int:
        """Return the limit for a bill, in pico-dollars."""
        return self.picodollars or round(abs(billed_usd) * 10**6) * self.millionths


class _Limit(click.ParamType):  # type: ignore[type-arg]  # generic in newer clicks only
    """Dollars, 100 or $100, or a percentage of the bill, 2%."""

    name = "amount"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Limit:
        found = re.fullmatch(r"\$?([0-9]{1,9}(?:\.[0-9]{1,4})?)(%?)", str(value), re.ASCII)
        if found is None or (found[2] and str(value).startswith("$")):
            self.fail(f"{value!r} is neither dollars like 100 nor a percentage like 2%", param, ctx)
        amount = Decimal(found[1])
        if found[2]:
            return Limit(millionths=int(amount * 10_000))
        return Limit(picodollars=int(amount * 10**12))


@click.command()
@month_option("Only this month; repeatable. [default: all that a bill has]")
@click.option(
    "--fail-above",
    type=_Limit(),
    metavar="AMOUNT",
    help="Exit with 1 if the closed days of a month differ by more: dollars, or 2% of the bill.",
)
@format_option("csv")
@config_option
@db_option
def reconcile(
    month: tuple[str, ...],
    fail_above: Limit | None,
    format_: str,
    config: Path | None,
    db: Path,
) -> None:
    """Compare AWS's bill with our figures, and explain the difference.

    Ours are the figures as they stood before the bill was known. The difference is cut into reasons
    that add up to it: price, missing calls, calls not yet billed, estimate error and others
    (docs/bill.md). A month is open while its days may change, agrees within 1 % or $1 ([reconcile]
    in the configuration), is explained if no more than that is not understood, or unexplained.
    """
    settings = load_config(config).reconcile
    with open_warehouse(db) as warehouse:
        if config is not None:
            apply_tolerance(warehouse, settings.millionths, settings.picodollars)
        found = compare_bill(warehouse, month, in_full=format_ == "json")
    print_comparison(found, format_, Clock().now().date())
    if fail_above is not None:
        over = [
            (one, amount)
            for one in found.months
            if abs(amount := closed_difference(one, found)) > fail_above.of(one["billed_cost_usd"])
        ]
        for one, amount in over:
            click.echo(
                f"{one['month']}, payer {one['payer_account_id']}: the closed days differ by"
                f" {dollars(amount / 10**12, 2)}",
                err=True,
            )
        sys.exit(1 if over else 0)
