"""How often quiet months look unusual, and whether stolen keys and runaway costs do.

    python -m bench.anomalies [--months 6] [--seed 1]

A made-up account of 18 people and 12 machines is loaded week by week, as syncs would, and the views
``new_principals``, ``cost_spikes`` and ``suspicious_errors`` are read after each week. Quiet does
not mean dull: people work from home and travel, try models, regions and tools of others, have large
days; a tool and a model that nobody used appear now and then; machines are throttled and
misconfigured; releases change versions. Printed are the false alarms of each month (a view and day
with rows) and the numbers of rows. Then each planted case is loaded into a copy of its own, and
looked for.
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from sqlite_utils import Database

from etl.normalise.rows import Event, OtherOperation, Tokens
from etl.times import utc_text
from etl.warehouse.database import open_warehouse
from etl.warehouse.write.batch import Batch, Loader
from etl.warehouse.write.watch import renew_watch

ACCOUNT = "111122223333"
START = date(2026, 1, 5)
WARM_UP_DAYS, MONTH_DAYS, WEEK_DAYS = 63, 28, 7
PEOPLE, MACHINES = 18, 12
VIEWS = {
    "new_principals": ("first_time", "kind", "value", "user_name", "why"),
    "cost_spikes": ("period_start", "period", "dimension", "name", "cost_usd"),
    "suspicious_errors": ("hour", "kind", "user_name", "what"),
}
MODELS = [
    "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "us.anthropic.claude-haiku-4-5-20251001-v1:0",
    "amazon.nova-pro-v1:0",
    "amazon.nova-lite-v1:0",
    "anthropic.claude-3-haiku-20240307-v1:0",
]
LATER_MODELS = [
    "us.anthropic.claude-opus-4-5-20251101-v1:0",
    "amazon.nova-micro-v1:0",
    "mistral.mistral-large-2402-v1:0",
    "meta.llama3-1-70b-instruct-v1:0",
    "cohere.command-r-v1:0",
]
REGIONS = ("us-east-1", "us-west-2", "eu-west-1")
TOOLS = ["Boto3/1.{} os/linux lang/python#3.{}", "aws-sdk-js/3.{} os/macos lang/js#20.{}"]
LATER_TOOLS = [
    "claude-cli/1.{} os/macos#{}",
    "aws-sdk-go-v2/1.{} os/linux lang/go#1.{}",
    "curl/8.{}{}",
]


@dataclass
class Caller:
    """A person or a machine, and its habits."""

    name: str
    is_machine: bool
    calls_a_day: float
    input_tokens: float
    models: list[str]
    regions: list[str]
    tools: list[str]
    networks: list[str]
    application: str
    is_roaming: bool = False


@dataclass
class Company:
    """Everybody, and what is in use anywhere."""

    rng: random.Random
    callers: list[Caller] = field(default_factory=list)
    models: list[str] = field(default_factory=lambda: list(MODELS))
    tools: list[str] = field(default_factory=lambda: list(TOOLS))

    def network(self) -> str:
        return ".".join(str(self.rng.randrange(1, 255)) for _ in range(3)) + ".0/24"


def company(seed: int) -> Company:
    rng = random.Random(seed)
    made = Company(rng)
    office = made.network()
    for number in range(PEOPLE + MACHINES):
        is_machine = number >= PEOPLE
        made.callers.append(
            Caller(
                name=f"machine{number}" if is_machine else f"person{number}",
                is_machine=is_machine,
                calls_a_day=rng.lognormvariate(3.4 if is_machine else 2.4, 0.6),
                input_tokens=rng.lognormvariate(11.8, 0.7),
                models=rng.sample(MODELS, rng.randint(1, 2 if is_machine else 3)),
                regions=[rng.choice(REGIONS)],
                tools=[rng.choice(TOOLS)],
                networks=[made.network()] if is_machine else [office, made.network()],
                application=f"app{number if is_machine else rng.randrange(5)}",
                is_roaming=is_machine and rng.random() < 0.3,
            )
        )
    return made


class Call(NamedTuple):
    """One call; ``error`` None: it succeeded."""

    caller: Caller
    at: datetime
    model: str
    region: str
    tool: str
    network: str
    tokens: tuple[int, int]
    error: str | None = None


def day_of(made: Company, day: date) -> Iterator[Call]:
    """Yield the calls of a quiet day."""
    rng = made.rng
    if rng.random() < 1 / 90 and (new := LATER_MODELS[len(made.models) - len(MODELS) :]):
        made.models.append(new[0])
    if rng.random() < 1 / 120 and (new := LATER_TOOLS[len(made.tools) - len(TOOLS) :]):
        made.tools.append(new[0])
    for caller in made.callers:
        yield from _calls(made, caller, day)


def _calls(made: Company, caller: Caller, day: date) -> Iterator[Call]:
    rng = made.rng
    is_off = day.weekday() > 4 and not caller.is_machine and rng.random() < 0.8
    if is_off:
        return
    _change_habits(made, caller)
    mean = caller.calls_a_day * (rng.uniform(2, 3) if rng.random() < 0.01 else 1)
    network = made.network() if not caller.is_machine and rng.random() < 0.02 else None
    misconfigured = rng.random() < 0.01
    for _ in range(int(rng.lognormvariate(0, 0.35) * mean)):
        hour = rng.randrange(24) if caller.is_machine else min(23, max(6, int(rng.gauss(14, 3))))
        at = datetime(
            day.year, day.month, day.day, hour, rng.randrange(60), rng.randrange(60), tzinfo=UTC
        )
        roams = made.network() if caller.is_roaming else None
        draw = rng.random()
        error = (
            "ThrottlingException"
            if draw < 0.01
            else "ValidationException"
            if draw < 0.015
            else None
        )
        yield Call(
            caller,
            at,
            rng.choice(caller.models),
            rng.choice(caller.regions),
            rng.choice(caller.tools).format(day.toordinal() // 14 % 90, day.toordinal() // 90 % 9),
            network or roams or rng.choice(caller.networks),
            (
                int(caller.input_tokens * rng.lognormvariate(0, 1)),
                int(caller.input_tokens / 8 * rng.lognormvariate(0, 1)),
            ),
            "AccessDeniedException" if misconfigured else error,
        )


def _change_habits(made: Company, caller: Caller) -> None:
    rng = made.rng
    if rng.random() < (0.003 if caller.is_machine else 0.015):
        caller.models.append(rng.choice(made.models))
    if rng.random() < (0.001 if caller.is_machine else 0.006):
        caller.regions.append(rng.choice(REGIONS))
    if rng.random() < (0.0005 if caller.is_machine else 0.004):
        caller.tools.append(rng.choice(made.tools))
    if not caller.is_machine and rng.random() < 0.002:
        # Somebody moves.
        caller.networks[-1] = made.network()


def event_of(rng: random.Random, call: Call) -> Event:
    """Return a call as CloudTrail reports it."""
    caller = call.caller
    kind = f"assumed-role/{caller.name}" if caller.is_machine else f"user/{caller.name}"
    service = "sts" if caller.is_machine else "iam"
    return Event(
        event_time=utc_text(call.at),
        event_id=str(uuid.UUID(int=rng.getrandbits(128))),
        request_id=str(uuid.UUID(int=rng.getrandbits(128))),
        shared_event_id=None,
        account_id=ACCOUNT,
        region=call.region,
        event_source="bedrock.amazonaws.com",
        event_name="InvokeModel",
        model_id=call.model,
        principal_arn=f"arn:aws:{service}::{ACCOUNT}:{kind}",
        principal_type="AssumedRole" if caller.is_machine else "IAMUser",
        session_name=None,
        user_agent=call.tool,
        user_name=caller.name,
        application=caller.application,
        application_source="user agent",
        error_code=call.error,
        inference_region=None,
        service_tier=None,
        is_home_copy=True,
        is_correction=False,
        source_address=call.network,
        tokens=None if call.error else Tokens("additionalEventData", *call.tokens),
    )


def look(
    rng: random.Random, caller: Caller, at: datetime, region: str, name: str
) -> OtherOperation:
    """Return an operation of the control plane."""
    called = event_of(rng, Call(caller, at, MODELS[0], region, TOOLS[0].format(1, 1), "", (0, 0)))
    return OtherOperation(
        called.event_time, called.event_id, True, ACCOUNT, region, "bedrock.amazonaws.com", name,
        called.principal_arn, called.principal_type, None, called.user_agent, caller.name, None,
        caller.networks[0], None, None,
    )  # fmt: skip


def quiet_looks(made: Company, day: date) -> Iterator[OtherOperation]:
    """Yield what sync lists every day, and what people look at in the console."""
    rng, at = made.rng, datetime(day.year, day.month, day.day, 3, tzinfo=UTC)
    for region in (*REGIONS, "ap-south-1"):
        yield look(rng, made.callers[-1], at, region, "ListFoundationModels")
    for caller in made.callers[:PEOPLE]:
        if rng.random() < 0.05:
            region = rng.choice(caller.regions)
            for name in ("ListFoundationModels", "GetModelInvocationLoggingConfiguration"):
                yield look(rng, caller, at + timedelta(hours=9), region, name)


def load_days(db: Database, made: Company, first: date, number: int) -> None:
    """Load some quiet days."""
    loader = Loader(db)
    for day in (first + timedelta(days=n) for n in range(number)):
        events = sorted(event_of(made.rng, call) for call in day_of(made, day))
        loader.write(Batch(events=events, operations=list(quiet_looks(made, day))))
    renew_watch(db)


def unusual(db: Database) -> dict[str, set[tuple[Any, ...]]]:
    """Return the rows of each view."""
    return {
        view: set(db.conn.execute(f"select {', '.join(columns)} from {view}"))
        for view, columns in VIEWS.items()
    }


# Of a copy of the company on a day: what happens, and the view and words that must show it.
Planted = tuple[Batch, str, tuple[str, ...]]


def _attack(made: Company, day: date, caller: Caller, calls: int, **changes: Any) -> Batch:
    """Return calls of a caller within half an hour, as always but for the changes."""
    at = datetime(day.year, day.month, day.day, 11, tzinfo=UTC)
    usual = Call(
        caller, at, caller.models[0], caller.regions[0], caller.tools[0].format(1, 1),
        caller.networks[0], (3_000, 300),
    )  # fmt: skip
    some = (
        usual._replace(at=at + timedelta(seconds=1800 * n // calls), **changes)
        for n in range(calls)
    )
    return Batch(events=[event_of(made.rng, call) for call in some])


def plants(made: Company, day: date) -> dict[str, Callable[[], Planted]]:
    """Return each case by its name; the callers are settled ones."""
    person, machine = made.callers[0], next(c for c in made.callers[PEOPLE:] if not c.is_roaming)
    stranger = Caller("backup-admin", False, 1, 1, MODELS[:1], ["us-east-1"], TOOLS[:1],
                      [made.network()], "app0")  # fmt: skip
    at = datetime(day.year, day.month, day.day, 11, tzinfo=UTC)
    places = [(model, region) for model in (*MODELS, *LATER_MODELS) for region in REGIONS]

    def refused(error: str) -> Batch:
        batches = [
            _attack(made, day, person, 1, model=model, region=region, error=error)
            for model, region in places
        ]
        return Batch(events=[event for batch in batches for event in batch.events])

    def looks(name: str, regions: tuple[str, ...]) -> Batch:
        return Batch(operations=[look(made.rng, person, at, region, name) for region in regions])

    def attack(
        caller: Caller, calls: int, view: str, words: tuple[str, ...], **changes: Any
    ) -> Planted:
        return _attack(made, day, caller, calls, **changes), view, words

    elsewhere = {"network": made.network(), "tool": "python-requests/2.31"}
    everywhere = (*REGIONS, "ap-south-1", "sa-east-1")
    return {
        "a principal nobody knows": lambda: attack(
            stranger, 5, "new_principals", ("principal", stranger.name)
        ),
        "a person's key from elsewhere, with another tool": lambda: attack(
            person, 5, "new_principals", ("network", person.name), **elsewhere
        ),
        "a person's key in a region nobody uses": lambda: attack(
            person, 5, "new_principals", ("region", person.name), region="sa-east-1"
        ),
        "a person's key with a model nobody uses": lambda: attack(
            person, 5, "new_principals", ("model", person.name), model="ai21.jamba-1-5-large-v1:0"
        ),
        "a person's key with a tool nobody uses": lambda: attack(
            person, 5, "new_principals", ("agent", person.name), tool="oai-reverse-proxy/1.0"
        ),
        "a machine's key from elsewhere": lambda: attack(
            machine, 5, "new_principals", ("network", machine.name), network=made.network()
        ),
        "a person's runaway day": lambda: attack(
            person,
            400,
            "cost_spikes",
            ("day", "user", person.name),
            model=MODELS[0],
            tokens=(100_000, 5_000),
        ),
        "an application's runaway hour": lambda: attack(
            machine,
            300,
            "cost_spikes",
            ("hour", "application", machine.application),
            model=MODELS[0],
            tokens=(100_000, 5_000),
        ),
        "access denied everywhere": lambda: (
            refused("AccessDeniedException"),
            "suspicious_errors",
            ("refused calls", person.name),
        ),
        "not valid everywhere": lambda: (
            refused("ValidationException"),
            "suspicious_errors",
            ("refused calls", person.name),
        ),
        "throttled everywhere": lambda: (
            refused("ThrottlingException"),
            "suspicious_errors",
            ("refused calls", person.name),
        ),
        "a sweep of ListFoundationModels": lambda: (
            looks("ListFoundationModels", everywhere),
            "suspicious_errors",
            ("listing regions", person.name),
        ),
        "a sweep of the invocation logging": lambda: (
            looks("GetModelInvocationLoggingConfiguration", everywhere),
            "suspicious_errors",
            ("listing regions", person.name),
        ),
        "invocation logging switched off": lambda: (
            looks("DeleteModelInvocationLoggingConfiguration", REGIONS[:1]),
            "suspicious_errors",
            ("logging switched off", person.name),
        ),
    }


def is_found(path: Path, planted: Planted, day: date) -> bool:
    """Return whether a view shows what is planted into a copy, on its day."""
    batch, view, words = planted
    copy = path.with_name("copy.db")
    shutil.copy(path, copy)
    with open_warehouse(copy) as db:
        before = unusual(db)[view]
        Loader(db).write(batch)
        renew_watch(db)
        new = unusual(db)[view] - before
    copy.unlink()
    texts = [tuple(map(str, row)) for row in new if str(row[0]).startswith(day.isoformat())]
    return any(all(word in text for word in words) for text in texts)


def main() -> None:
    """Print false alarms by month, and what of the planted cases is found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--months", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    made, first = company(arguments.seed), START + timedelta(days=WARM_UP_DAYS)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "warehouse.db"
        with open_warehouse(path, create=True) as db:
            load_days(db, made, START, WARM_UP_DAYS)
            seen = unusual(db)
            for month in range(arguments.months):
                found = Counter[str]()
                alarms = set[tuple[str, str]]()
                for week in range(MONTH_DAYS // WEEK_DAYS):
                    days = month * MONTH_DAYS + week * WEEK_DAYS
                    load_days(db, made, first + timedelta(days=days), WEEK_DAYS)
                    for view, rows in unusual(db).items():
                        for row in sorted(rows - seen[view], key=str):
                            print(f"  {view}: {', '.join(map(str, row))}")
                        found[view] += len(rows - seen[view])
                        alarms |= {(view, str(row[0])[:10]) for row in rows - seen[view]}
                        seen[view] |= rows
                print(f"month {month + 1}: {len(alarms)} false alarms {dict(+found)}", flush=True)
            (last,) = db.conn.execute("select max(day) from usage_daily").fetchone()
            db.execute("pragma wal_checkpoint(truncate)")
        day = date.fromisoformat(last)
        for name, plant in plants(made, day).items():
            print(f"{'found' if is_found(path, plant(), day) else 'MISSED'}: {name}", flush=True)


if __name__ == "__main__":
    main()
