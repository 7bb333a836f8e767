"""A warehouse published to the fake CloudWatch, and what CloudWatch then shows."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from etl.config import Monitor
from etl.monitor.plan import NAMESPACE, PublishPlan
from etl.monitor.publish import Publisher, Result, agree
from etl.warehouse import published_metrics as ledger
from etl.warehouse.database import open_warehouse
from tests.support import HAIKU, call, load, role_identity, write_log
from tests.sync.support import World, utc

ALL = ("InputTokens", "OutputTokens", "CacheReadTokens", "CostUSD", "Calls", "FailedCalls")
EVERYTHING = Monitor(metrics=ALL, max_metrics=1000, accept_usd_a_month=1000.0)


class Live:
    """A world with applications' calls to publish."""

    def __init__(self, world: World) -> None:
        self.world, self.clock, self.aws = world, world.clock, world.aws
        self._numbers = iter(range(1, 10_000))

    def call(
        self,
        application: str = "Search",
        ago: timedelta = timedelta(hours=3),
        *,
        tokens: tuple[int, int] | None = (1000, 100),
        model: str = HAIKU,
        **fields: Any,
    ) -> None:
        """Deliver a call of an application."""
        self.world.place.deliver(self._record(application, ago, tokens, model, fields))

    def late(
        self,
        application: str = "Search",
        ago: timedelta = timedelta(hours=3),
        *,
        tokens: tuple[int, int] | None = (1000, 100),
        model: str = HAIKU,
    ) -> None:
        """Load a call that arrives too late for any sync to find it."""
        record = self._record(application, ago, tokens, model, {})
        log = write_log(self.world.path.with_suffix(".json"), [record])
        with open_warehouse(self.world.path) as db:
            load(db, log)

    def _record(
        self,
        application: str,
        ago: timedelta,
        tokens: tuple[int, int] | None,
        model: str,
        fields: dict[str, Any],
    ) -> dict[str, Any]:
        return call(
            next(self._numbers),
            eventTime=utc(self.clock.now() - ago),
            tokens=tokens,
            userIdentity=role_identity(f"{application}-BedrockRole"),
            requestParameters={"modelId": model},
            **fields,
        )

    def sync(self, *sources: str) -> None:
        assert self.world.sync(sources=sources or ("cloudtrail",)).problems == []

    def plan(self, monitor: Monitor = EVERYTHING) -> PublishPlan:
        with open_warehouse(self.world.path) as db:
            return Publisher(db, self.world.places()[0], monitor).plan()

    def publish(self, monitor: Monitor = EVERYTHING, **options: Any) -> Result:
        """Do one run like a scheduled one, which does not ask."""
        with open_warehouse(self.world.path) as db:
            publisher = Publisher(db, self.world.places()[0], monitor)
            plan = agree(publisher, publisher.plan(**options), None)
            return publisher.run(plan)

    def puts(self) -> int:
        """Count the PutMetricData requests that CloudWatch got, whatever it answered."""
        return self.aws.count("PutMetricData")

    def sums(self, metric: str, *, by: str = "Application") -> dict[str, float]:
        """Return CloudWatch's total of a metric by one of the dimensions."""
        metrics = self.world.place.metrics
        metrics.show(self.clock.now())
        found: dict[str, float] = {}
        for key in metrics.listed():
            if (key.namespace, key.name) == (NAMESPACE, metric):
                total = sum(metrics.find(key).sums(0, 2**40, 300).values())
                name = dict(key.dimensions).get(by)
                if name is None:
                    continue
                found[name] = round(found.get(name, 0.0) + total, 12)
        return found

    def points(self, metric: str, application: str = "Search") -> dict[int, float]:
        """Return the five-minute sums by epoch second."""
        metrics = self.world.place.metrics
        metrics.show(self.clock.now())
        points: dict[int, float] = {}
        for key in metrics.listed():
            if key.name == metric and dict(key.dimensions)["Application"] == application:
                points |= metrics.find(key).sums(0, 2**40, 300)
        return points

    def costs(self, column: str = "cost_usd") -> dict[str, float]:
        """Return the rows of the view ``application_costs``."""
        sql = f"select application, {column} from application_costs where {column} > 0"
        return {name: round(value, 12) for name, value in self.world.rows(sql)}

    def in_flight(self) -> int:
        ((number,),) = self.world.rows(
            "select count(*) from monitor_points where in_flight is not null"
        )
        return int(number)

    def limit(self, application: str, dollars: str) -> None:
        with open_warehouse(self.world.path) as db:
            place = self.world.places()[0]
            target = ledger.find_target(db, place.account_id, place.region)
            ledger.save_limit(db, ledger.ensure_target(db, target), application, dollars)
