"""Publish the plan; every value counts once, whatever happens in between.

The order of a run:

1. The user agrees to the price (``agree``).
2. Values of an earlier run with an unknown outcome are read back.
3. So are those that the ledger may not know (new series, periods earlier than any before or after a
   long pause): a warehouse that was rebuilt or restored from a copy must not publish twice.
4. The levels for the alarms are sent.
5. The amounts are sent, request by request: written to the ledger as in flight, sent, confirmed.

If a run fails half way, values that were sent stay recorded; the next run sends the rest.

CloudWatch would add up the values of two warehouses that publish to one account and region, so each
account and region must have only one publisher. Processes of one warehouse wait for its lock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlite_utils import Database

from etl.clock import Clock
from etl.config import Monitor, parse_duration
from etl.errors import BedrockUsageError, ConfigError, SourceError, StoppedError
from etl.monitor import prices
from etl.monitor.cloudwatch import (
    UnknownOutcomeError,
    explain_put,
    put_amounts,
    put_levels,
    read_amounts,
    shows_after,
)
from etl.monitor.plan import (
    OLDEST,
    PERIOD,
    DailyCost,
    PublishPlan,
    Range,
    choose_range,
    is_chosen,
    level_series,
    parse_time,
    plan_puts,
    price_a_month,
)
from etl.sources.aws import Place
from etl.times import utc_text
from etl.warehouse import published_metrics as ledger
from etl.warehouse.published_metrics import InFlight, Put, Target
from etl.warehouse.read.reports import run_report

# Values this close are the same: CloudWatch adds up floating-point numbers.
_ROUNDING = 1e-9


class NotAgreedError(BedrockUsageError):
    """The price was not agreed to, so nothing was sent."""


@dataclass
class Result:
    """The result of a run. ``left``: what it could not do, and why."""

    values: int = 0
    levels: int = 0
    requests: int = 0
    left: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Publisher:
    """Publishes one warehouse's figures to one account and region."""

    db: Database
    place: Place
    monitor: Monitor

    @property
    def clock(self) -> Clock:
        return self.place.clock

    def plan(self, *, since: datetime | None = None) -> PublishPlan:
        """Return what a run would do now. Asks AWS nothing and writes nothing.

        Raises ConfigError if a first run needs more metrics than ``max_metrics``.
        """
        now = self.clock.now()
        target = ledger.find_target(self.db, self.place.account_id, self.place.region)
        chosen = choose_range(
            target,
            self.monitor,
            now,
            since=since,
            dropped_before=ledger.dropped_before(self.db),
        )
        plan = self._plan(target, chosen, now)
        if plan.metrics <= self.monitor.max_metrics:
            return plan
        part = plan.without_new()
        if not part.known or part.metrics > self.monitor.max_metrics:
            raise ConfigError(_too_many(plan, self.monitor))
        return part

    def _plan(self, target: Target, chosen: Range, now: datetime) -> PublishPlan:
        parameters = chosen.parameters(with_estimates=self.monitor.include_estimates)
        by_team = "_by_team" if self.monitor.by == "team" else ""
        rows = run_report(self.db, f"monitor_periods{by_team}", parameters)
        published = ledger.published_amounts(
            self.db, target, parameters["since"], parameters["until"]
        )
        undecided = {(one.series, one.period_start) for one in ledger.in_flight(self.db, target)}
        puts = plan_puts(rows, published, undecided, self.monitor)
        known = ledger.known_series(self.db, target)
        limited = tuple(ledger.limits(self.db, target))
        return PublishPlan(
            target=target,
            range=chosen,
            puts=tuple(puts),
            levels=tuple(self._levels(target, limited, now)),
            known=frozenset(series for series in known if is_chosen(series, self.monitor)),
            limited=limited,
            corrections=sum((put.series, put.period_start) in published for put in puts),
            undecided=len(undecided),
            calls_without_cost=_not_in_cost("calls_without_cost", rows, self.monitor),
            unpriced_tokens=_not_in_cost("unpriced_tokens", rows, self.monitor),
        )

    def _levels(self, target: Target, limited: tuple[str, ...], now: datetime) -> list[DailyCost]:
        """Return the cost of each application with a daily limit, today or yesterday.

        Yesterday counts, if it cost more, until a run has seen it with its last calls
        (``settle``). Otherwise no alarm would report calls between its last run and midnight.
        """
        seen = parse_time(target.levels_at) if target.levels_at else now
        days = {day(now), day(max(seen - settle(self.monitor), now - timedelta(days=1)))}
        levels = []
        for application in limited:
            parameters = {"application": application, "since": min(days)}
            rows = run_report(self.db, "monitor_days", parameters)
            costs = {row["day"]: row["cost_picodollars"] for row in rows if row["day"] in days}
            known = [cost for cost in costs.values() if cost is not None]
            # A day without a row had no calls; a day with calls but no known cost is skipped.
            if known or not costs:
                levels.append(DailyCost(application, int(max(known, default=0))))
        return levels

    def run(self, plan: PublishPlan) -> Result:
        """Carry out a plan that was agreed to; return the result.

        Raises nothing for values that AWS did not accept: the result reports them, and the next run
        sends them.
        """
        target = ledger.ensure_target(self.db, plan.target)
        result = Result()
        try:
            self._send(target, plan, result)
        except StoppedError:
            result.left.append("stopped; run it again to continue")
        except SourceError as error:
            result.left.append(explain_put(error))
        return result

    def _send(self, target: Target, plan: PublishPlan, result: Result) -> None:
        now, since = self.clock.now(), utc_text(plan.range.since)
        if target.published_from is None:
            ledger.begin(self.db, target, since)
        ledger.forget_before(self.db, target, utc_text(now - OLDEST - timedelta(days=1)))
        has_looked = self._settle_in_flight(target, now)
        if self._adopt(target, plan) or has_looked:
            allowed = plan.known | plan.new
            plan = self._only(self._plan(target, plan.range, now), allowed)
        # Not earlier: from here on, periods before the ledger's first count as known.
        ledger.begin(self.db, target, since)
        if plan.levels:
            levels = {level_series(one.application): one.amount for one in plan.levels}
            put_levels(self.place, levels, now.replace(second=0))
            ledger.save_levels_at(self.db, target, utc_text(now))
            result.levels = len(levels)
            result.requests += 1
        self._send_batches(target, plan, result)
        if plan.undecided:
            result.left.append(
                f"{plan.undecided:,} values of an earlier run: CloudWatch does not show yet whether"
                " they arrived; a later run checks again"
            )
            return
        ledger.finish(self.db, target, since, utc_text(plan.range.until))

    @staticmethod
    def _only(plan: PublishPlan, allowed: frozenset[ledger.CustomMetric]) -> PublishPlan:
        """Return a renewed plan without series that the agreement does not cover."""
        kept = tuple(put for put in plan.puts if put.series in allowed)
        return replace(plan, puts=kept)

    def _send_batches(self, target: Target, plan: PublishPlan, result: Result) -> None:
        left = len(plan.puts)
        for batch in plan.batches:
            try:
                self._send_batch(target, batch)
            except (SourceError, StoppedError):
                result.left.append(f"{left:,} of {len(plan.puts):,} values were not sent")
                raise
            result.values += len(batch)
            result.requests += 1
            left -= len(batch)

    def _send_batch(self, target: Target, batch: tuple[Put, ...]) -> None:
        ledger.mark_in_flight(self.db, target, batch, utc_text(self.clock.now()))
        try:
            put_amounts(self.place, batch)
        except UnknownOutcomeError:
            raise  # it stays in flight: the next run reads it back
        except (SourceError, StoppedError):
            ledger.cancel(self.db, target, batch)
            raise
        ledger.confirm(self.db, target, batch)

    def _settle_in_flight(self, target: Target, now: datetime) -> bool:
        """Find out the result of requests without an answer; return whether there were any."""
        waiting = ledger.in_flight(self.db, target)
        if not waiting:
            return False
        periods = [parse_time(one.period_start) for one in waiting]
        oldest = max(min(periods), now - OLDEST - timedelta(days=1))
        shown = read_amounts(
            self.place, (one.series for one in waiting), oldest, max(periods) + PERIOD
        )
        decided = [
            (one, amount)
            for one in waiting
            if (amount := decide(one, shown.get((one.series, one.period_start)), now)) is not None
        ]
        ledger.save_amounts(
            self.db,
            target,
            [Put(one.series, one.period_start, amount) for one, amount in decided],
        )
        return True

    def _adopt(self, target: Target, plan: PublishPlan) -> bool:
        """Record published amounts that the ledger does not know; return whether there were any.

        Another warehouse has published them, or this one before it was rebuilt.
        """
        if not plan.unread:
            return False
        shown = read_amounts(self.place, plan.unread, plan.range.since, plan.range.until)
        known = ledger.published_amounts(
            self.db, target, utc_text(plan.range.since), utc_text(plan.range.until)
        )
        # Where the ledger has a value it is right: a value sent just now may not be visible yet.
        unknown = [
            Put(*key, amount) for key, amount in shown.items() if amount and key not in known
        ]
        ledger.save_amounts(self.db, target, unknown)
        return bool(unknown)


# No answer means in doubt, not failed (DECISIONS 80).
def decide(put: InFlight, shown: int | None, now: datetime) -> int | None:
    """Return CloudWatch's amount after a request of unknown outcome; None if it is too early.

    A Sum that includes the value is accepted at once. A Sum without it, or an unexpected Sum, is
    accepted only when the value would have to be visible.
    """
    after = put.published + put.amount
    if shown is not None and abs(shown - after) <= _ROUNDING * abs(after):
        return after
    if now < shows_after(parse_time(put.period_start), parse_time(put.sent_at)):
        return None
    if shown is None or abs(shown - put.published) <= _ROUNDING * abs(put.published):
        return put.published
    return shown


def agree(
    publisher: Publisher, plan: PublishPlan, ask: Callable[[PublishPlan], bool] | None
) -> PublishPlan:
    """Return the part of the plan whose price is agreed to; ``ask`` None: do not ask.

    Raises NotAgreedError if there is no such part.
    """
    accepted = Decimal(str(publisher.monitor.accept_usd_a_month))
    if plan.is_agreed(accepted):
        return plan
    if ask is None:
        part = plan.without_new()
        if part.known and part.is_agreed(accepted):
            return part
        raise NotAgreedError(
            f"publishing costs {prices.dollars(plan.a_month)} a month, which was not agreed to:"
            " run `bedrock-usage monitor publish` once, or set accept_usd_a_month under [monitor]"
        )
    if not ask(plan):
        raise NotAgreedError("not agreed: nothing was sent")
    target = ledger.ensure_target(publisher.db, plan.target)
    now = utc_text(publisher.clock.now())
    ledger.save_agreement(publisher.db, target, plan.metrics, now)
    return plan


def settle(monitor: Monitor) -> timedelta:
    """Return how long a period must be over before it is published."""
    return parse_duration(monitor.settle)


def day(moment: datetime) -> str:
    """Return the UTC day of a moment."""
    return utc_text(moment)[:10]


def _not_in_cost(column: str, rows: list[dict[str, Any]], monitor: Monitor) -> int:
    """Return how many calls or tokens of a column are not in the published costs."""
    if "CostUSD" not in monitor.metrics:
        return 0
    chosen = set(monitor.names)
    return sum(row[column] for row in rows if not chosen or row["application"] in chosen)


def _too_many(plan: PublishPlan, monitor: Monitor) -> str:
    pairs = len({series[:2] for series in plan.known | plan.new})
    return (
        f"{plan.metrics:,} metrics ({len(monitor.metrics)} for each of {pairs:,} pairs of"
        f" {'a team' if monitor.by == 'team' else 'an application'} and a model) would cost"
        f" {prices.dollars(plan.a_month)} a month, and max_metrics allows {monitor.max_metrics:,}"
        f" ({prices.dollars(price_a_month(monitor.max_metrics))}). Under [monitor], name fewer"
        f" metrics or {monitor.by}s, or raise max_metrics"
    )
