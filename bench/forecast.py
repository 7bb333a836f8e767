"""How far off the forecast of a month is, on the tenth and the twentieth day, over made-up months.

    python -m bench.forecast [--fleets 40]

A fleet is thirty applications over seven months: offices that rest at weekends and on holidays,
services that never do, jobs of some weekdays; growing, shrinking or steady, with noise, spikes,
new versions that change the level at once, and applications that begin late. Printed are the error
of the month's cost, for single applications and for the sum of a fleet, beside two plain guesses:
*daily average* (the month so far, at the same pace to its end) and *last month* (the same again);
and how often the cost was within the band. Seeds are fixed.
"""

from __future__ import annotations

import argparse
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from statistics import mean, median
from typing import NamedTuple

from etl.forecast.model import forecast

START, END = date(2026, 1, 1), date(2026, 7, 31)
DAYS = [START + timedelta(days=n) for n in range((END - START).days + 1)]
MONTHS = (4, 5, 6, 7)
AT = (10, 20)
APPLICATIONS = 30
# An application that is known for less is new.
NEW_DAYS = 42


class Guess(NamedTuple):
    """One month of one series: errors as parts of its cost; whether the band has the cost."""

    errors: Mapping[str, float]
    is_within: bool
    width: float
    is_new: bool


def series(rng: random.Random, holidays: set[date]) -> dict[date, float]:
    """Return what an application costs each day, from its first day on."""
    kind = rng.choices(("office", "service", "jobs"), (5, 4, 1))[0]
    weekend = rng.uniform(0, 0.3)
    days_of_jobs = set(rng.sample(range(7), rng.randint(1, 3)))
    growth = rng.choices((0.0, rng.uniform(0, 0.02), rng.uniform(-0.01, 0)), (4, 4, 1))[0]
    noise = rng.uniform(0.08, 0.35)
    level = rng.lognormvariate(2, 1.5)
    first = rng.choice(DAYS[60:]) if rng.random() < 0.2 else START
    wander = 0.0
    costs = {}
    for number, day in enumerate(DAYS):
        if rng.random() < 1 / 120:
            level *= rng.lognormvariate(0, 0.4)
        wander = 0.9 * wander + rng.gauss(0, 0.04)
        cost = level * (1 + growth) ** min(number, 150) * 2.718**wander
        if kind == "office":
            cost *= weekend if day.weekday() > 4 or day in holidays else 1
        elif kind == "jobs":
            cost *= 1 if day.weekday() in days_of_jobs else 0
        cost *= rng.lognormvariate(-(noise**2) / 2, noise)
        if rng.random() < 0.01:
            cost *= rng.uniform(3, 8)
        if day >= first:
            costs[day] = cost
    return costs


def fleet(seed: int) -> list[dict[date, float]]:
    """Return the series of a fleet, the sum of all of them last."""
    rng = random.Random(seed)
    holidays = {rng.choice(DAYS) for _ in range(8)}
    found = [series(rng, holidays) for _ in range(APPLICATIONS)]
    total: defaultdict[date, float] = defaultdict(float)
    for one in found:
        for day, cost in one.items():
            total[day] += cost
    return [*found, dict(total)]


def guess(costs: Mapping[date, float], month: int, at: int) -> Guess | None:
    """Guess a month at the end of a day of it. None: the forecast has not enough days."""
    own = [day for day in DAYS if day.month == month]
    known = {day.toordinal(): cost for day, cost in costs.items() if day <= own[at - 1]}
    found = forecast(known, [day.toordinal() for day in own[at:]])
    came = sum(costs.get(day, 0.0) for day in own)
    if found is None or came <= 0:
        return None
    so_far = sum(costs.get(day, 0.0) for day in own[:at])
    before = sum(costs.get(day, 0.0) for day in DAYS if day.month == month - 1)
    guesses = {
        "forecast": so_far + found.middle,
        "daily average": so_far / at * len(own),
        "last month": before,
    }
    return Guess(
        {name: abs(value - came) / came for name, value in guesses.items()},
        so_far + found.low <= came <= so_far + found.high,
        (found.high - found.low) / came,
        len(known) < NEW_DAYS,
    )


def guesses(fleets: int) -> Iterator[tuple[str, int, Guess]]:
    """Yield whose guess it is (applications, new ones or all), the day, and the guess."""
    for seed in range(fleets):
        *applications, total = fleet(seed)
        for who, some in (("applications", applications), ("all", [total])):
            for costs in some:
                for month in MONTHS:
                    for at in AT:
                        if (one := guess(costs, month, at)) is not None:
                            yield ("new applications" if one.is_new else who), at, one


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fleets", type=int, default=40)
    found: defaultdict[tuple[str, int], list[Guess]] = defaultdict(list)
    for who, at, one in guesses(parser.parse_args().fleets):
        found[who, at].append(one)
    names = ("forecast", "daily average", "last month")
    print(f"| median (mean) error | {' | '.join(names)} | within the band | its width | months |")
    print("|---|---|---|---|---|---|---|")
    for (who, at), some in sorted(found.items()):
        errors = [
            f"{median(one.errors[name] for one in some):.1%}"
            f" ({mean(one.errors[name] for one in some):.1%})"
            for name in names
        ]
        within = mean(one.is_within for one in some)
        width = median(one.width for one in some)
        band = f"{within:.1%} | {width:.1%} | {len(some):,}"
        print(f"| {who}, day {at} | {' | '.join(errors)} | {band} |")


if __name__ == "__main__":
    main()
