"""What unusual use is found by: kept in step with the calls, and found in the views."""

from __future__ import annotations

import random
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from etl.normalise.user_agent import software
from etl.sql_files import sql_text
from etl.warehouse.database import open_warehouse
from etl.warehouse.upkeep.forget import forget
from etl.warehouse.upkeep.vacuum import drop_calls, drop_unused_names
from etl.warehouse.write.watch import renew_watch
from tests.cases import cases
from tests.cli.running import run
from tests.support import (
    ACCOUNT,
    HAIKU,
    RENEWED,
    SONNET,
    call,
    dump,
    load,
    role_identity,
    rows,
    write_log,
)

FIRST, LAST = date(2026, 9, 28), date(2026, 11, 29)
OFFICE, HOME, ELSEWHERE = "192.0.2.7", "198.51.100.7", "203.0.113.7"
PYTHON = "Boto3/1.{0} os/linux lang/python#3.{0}"
WORKER = role_identity("worker")


def at(day: date, hour: int = 10, minute: int = 0) -> str:
    return f"{day}T{hour:02}:{minute:02}:00Z"


def quiet(last: date = LAST) -> list[dict[str, Any]]:
    """Return calls of two people and a machine, each day: alice at home on Fridays."""
    found = []
    for n in range((last - FIRST).days + 1):
        day = FIRST + timedelta(days=n)
        friday = day.weekday() == 4
        agent = PYTHON.format(n // 7)
        office = {"eventTime": at(day), "userAgent": agent, "sourceIPAddress": OFFICE}
        found += [
            call(10 * n + 1, tokens=(200_000, 0), **office | {"sourceIPAddress": HOME if friday else OFFICE}),
            call(10 * n + 2, tokens=(200_000, 0), user="bob", **office | {"requestParameters": {"modelId": SONNET}}),
            call(10 * n + 3, tokens=(200_000, 0), **office | {"userIdentity": WORKER}),
        ]  # fmt: skip
    return found


def loaded(db: Database, folder: Path, *calls: dict[str, Any]) -> None:
    (number,) = rows(db, "select count(*) from events")[0]
    load(db, write_log(folder / f"{number}.json", calls))
    renew_watch(db)


def unusual(db: Database, view: str = "new_principals") -> list[tuple[Any, ...]]:
    columns = {
        "new_principals": "kind, value, user_name, why",
        "cost_spikes": "period, period_start, dimension, name",
        "suspicious_errors": "kind, user_name, event_count, model_count, region_count",
    }
    return sorted(rows(db, f"select {columns[view]} from {view}"))


def odd(number: int, day: date = LAST, **fields: Any) -> dict[str, Any]:
    """Return a call of alice from her office, but for the fields."""
    usual = {"eventTime": at(day, 11), "userAgent": PYTHON.format(9), "sourceIPAddress": OFFICE}
    return call(9000 + number, **{"tokens": (10, 0)} | usual | fields)


CURL = {"userAgent": "curl/8.1"}
AWAY = {"sourceIPAddress": ELSEWHERE}


def test_what_is_as_always_is_not_unusual(db: Database, tmp_path: Path) -> None:
    loaded(db, tmp_path, *quiet(), odd(1))
    for view in ("new_principals", "cost_spikes", "suspicious_errors"):
        assert unusual(db, view) == []
    assert rows(db, "select count(*) from unwatched_days") == [(0,)]


@cases(
    ("fields", "expected"),
    [
        ({"userIdentity": role_identity("backdoor")},
         [("principal", f"arn:aws:sts::{ACCOUNT}:assumed-role/backdoor", "backdoor", "its first call")]),
        ({"awsRegion": "sa-east-1"}, [("region", "sa-east-1", "alice", "nobody used it before")]),
        ({"requestParameters": {"modelId": "amazon.nova-pro-v1:0"}},
         [("model", "amazon.nova-pro-v1:0", "alice", "nobody used it before")]),
        (CURL, [("agent", "curl", "alice", "nobody used it before")]),
        # Bob's model and another network are nothing each, but together they are.
        ({"requestParameters": {"modelId": SONNET}}, []),
        (AWAY, []),
        (AWAY | {"requestParameters": {"modelId": SONNET}},
         [("model", SONNET.removeprefix("us."), "alice", "new together with: network"),
          ("network", "203.0.113.0/24", "alice", "new together with: model")]),
        # People travel, machines do not.
        (AWAY | {"userIdentity": WORKER},
         [("network", "203.0.113.0/24", "worker", "this machine never called from there")]),
        # A release is the same software.
        ({"userAgent": PYTHON.format(77)}, []),
    ],
)  # fmt: skip
def test_new_principals(
    tmp_path: Path, empty_warehouse: Path, fields: dict[str, Any], expected: list[tuple[Any, ...]]
) -> None:
    folder = Path(tmp_path / str(random.random()))
    folder.mkdir()
    (folder / "w.db").write_bytes(empty_warehouse.read_bytes())
    with open_warehouse(folder / "w.db") as db:
        loaded(db, folder, *quiet(), odd(1, **fields))
        assert unusual(db) == expected
        for event_id, next_step, calls in rows(
            db, "select event_id, next_step, calls from new_principals"
        ):
            assert next_step == f"bedrock-usage inspect '{event_id}'"
            assert calls == 1


def test_who_is_somewhere_else_every_day_is_not_unusual_there(db: Database, tmp_path: Path) -> None:
    """Not even with a model that is new to it: of such callers a network tells nothing."""
    roaming = [
        odd(n, FIRST + timedelta(days=n), userIdentity=WORKER, sourceIPAddress=f"198.18.{n}.1")
        for n in range((LAST - FIRST).days)
    ]
    new = {"sourceIPAddress": "198.18.99.1", "requestParameters": {"modelId": SONNET}}
    loaded(db, tmp_path, *quiet(), *roaming, odd(99, userIdentity=WORKER, **new))
    assert unusual(db) == []


def test_what_is_new_when_everything_is_new_is_not_unusual(db: Database, tmp_path: Path) -> None:
    loaded(db, tmp_path, *quiet(FIRST + timedelta(days=9)))
    assert unusual(db) == []


def test_spikes_of_a_day_and_of_an_hour(db: Database, tmp_path: Path) -> None:
    big = {"requestParameters": {"modelId": SONNET}, "user": "bob"}
    spike = [
        odd(n, tokens=(1_000_000, 0), **big) | {"eventTime": at(LAST, 15, n)} for n in range(10)
    ]
    loaded(db, tmp_path, *quiet(), *spike)
    assert unusual(db, "cost_spikes") == [
        ("day", str(LAST), "application", "Unknown"),
        ("day", str(LAST), "user", "bob"),
        ("hour", at(LAST, 15), "application", "Unknown"),
        ("hour", at(LAST, 15), "user", "bob"),
    ]
    (row,) = db.query("select * from cost_spikes where period = 'day' and dimension = 'user'")
    # 0.2 and 10 million tokens at 3.30 dollars.
    assert (row["cost_usd"], row["usual_cost_usd"], row["deviation_usd"]) == (33.66, 0.66, 0)
    assert row["compared_periods"] == 8
    assert row["next_step"] == (
        f"bedrock-usage report breakdown --user 'bob' --since {LAST} --until {LAST}"
    )


def test_a_command_with_a_name_is_safe_to_paste(db: Database, tmp_path: Path) -> None:
    name = "it's $(reboot)"
    loaded(db, tmp_path, *quiet(), odd(1, user=name))
    db.execute("update users set alias = user_name")
    spike = [odd(2, user=name, tokens=(400_000_000, 0))]
    loaded(db, tmp_path, *spike, odd(3, user=name, eventTime=at(FIRST)))
    steps = rows(db, "select next_step from cost_spikes where name = ?", [name])
    assert all("'it'\\''s $(reboot)'" in step for (step,) in steps)
    assert steps


def test_calls_that_are_refused_everywhere(db: Database, tmp_path: Path) -> None:
    models = (HAIKU, SONNET, "amazon.nova-pro-v1:0")

    def refused(error: str, day: date, first: int = 0) -> list[dict[str, Any]]:
        return [
            odd(first + n, day, errorCode=error, awsRegion=region, requestParameters={"modelId": model},
                tokens=None)
            for n, (region, model) in enumerate(
                (region, model) for region in ("us-east-1", "eu-west-1") for model in models
            )
        ]  # fmt: skip

    loaded(db, tmp_path, *quiet(), *refused("AccessDenied", LAST - timedelta(days=3)))
    found = ("refused calls", "alice", 6, 3, 2)
    assert unusual(db, "suspicious_errors") == [found]
    # What happened before is not unusual again.
    loaded(db, tmp_path, *refused("ValidationException", LAST, 100))
    assert unusual(db, "suspicious_errors") == [found]
    # One model in one region, however often.
    often = [odd(200 + n, errorCode="AccessDenied", tokens=None) for n in range(50)]
    loaded(db, tmp_path, *often)
    assert unusual(db, "suspicious_errors") == [found]


def look(number: int, name: str, region: str, when: str) -> dict[str, Any]:
    return call(
        7000 + number, eventName=name, awsRegion=region, eventTime=when, requestParameters=None
    )


def test_looks_at_the_account(db: Database, tmp_path: Path) -> None:
    regions = ("us-east-1", "eu-west-1", "ap-south-1")
    loaded(db, tmp_path, *quiet(), *(
        look(n, "GetModelInvocationLoggingConfiguration", region, at(LAST, 9))
        for n, region in enumerate(regions)
    ))  # fmt: skip
    assert unusual(db, "suspicious_errors") == [("listing regions", "alice", 3, None, 3)]
    loaded(
        db, tmp_path, look(9, "DeleteModelInvocationLoggingConfiguration", "us-east-1", at(LAST, 9))
    )
    assert ("logging switched off", "alice", 1, None, 1) in unusual(db, "suspicious_errors")


def test_a_daily_listing_is_a_habit(db: Database, tmp_path: Path) -> None:
    loaded(db, tmp_path, *quiet(), *(
        look(10 * n + m, "ListFoundationModels", region, at(LAST - timedelta(days=5 - n), 3))
        for n in range(6)
        for m, region in enumerate(("us-east-1", "eu-west-1", "ap-south-1"))
    ))  # fmt: skip
    # Three days make the habit.
    hours = rows(db, "select hour from suspicious_errors order by 1")
    assert hours == [(at(LAST - timedelta(days=5 - n), 3),) for n in range(3)]


def test_it_depends_on_the_calls_alone(tmp_path: Path, empty_warehouse: Path) -> None:
    """Not on their order, on how they are cut into loads, nor on when it is renewed."""
    calls = [
        *quiet(),
        odd(1, **CURL),
        odd(2, errorCode="AccessDenied", tokens=None),
        odd(3, **AWAY),
    ]
    dumps = []
    for number, seed in enumerate((1, 2, 3)):
        draw = random.Random(seed)
        some = draw.sample(calls, len(calls))
        path = tmp_path / f"{number}.db"
        path.write_bytes(empty_warehouse.read_bytes())
        with open_warehouse(path) as db:
            for part, cut in enumerate((some[: len(some) // 3], some[len(some) // 3 :], some[:9])):
                load(db, write_log(tmp_path / f"{number}-{part}.json", cut))
                if draw.random() < 0.5:
                    renew_watch(db)
            renew_watch(db)
            dumps.append({view: unusual(db, view) for view in ("new_principals", "cost_spikes")} | {
                "uses": sorted(rows(
                    db, "select principal_arn, user_name, kind, value, first_time, calls, failed_calls"
                    " from int_first_uses"
                )),
                "costs": sorted(rows(db, "select hour, calls, cost_picodollars from cost_hours")),
                "failed": sorted(rows(db, "select hour, failed_calls, first_time from failed_hours")),
                "failed days": rows(db, "select day, sum(failed_calls) from failed_days group by 1"),
                "wrong": rows(db, sql_text("checks/failed_days_are_current")),
            })  # fmt: skip
    assert dumps[0] == dumps[1] == dumps[2]
    assert len(dumps[0]["uses"]) > 10
    assert [count for _, count in dumps[0]["failed days"]] == [1]
    assert dumps[0]["wrong"] == []


def test_costs_by_the_hour_add_up_to_the_days(db: Database, tmp_path: Path) -> None:
    loaded(db, tmp_path, *quiet())
    by_hour = rows(
        db,
        "select substr(hour, 1, 10), sum(cost_picodollars) from cost_hours where user_key > 0 group by 1",
    )
    by_day = rows(db, "select day, sum(cost_picodollars) from priced_daily group by 1")
    assert by_hour == by_day
    assert rows(db, "select sum(cost_picodollars) from cost_hours where application_key > 0") == [
        (sum(cost for _, cost in by_day),)
    ]


def test_what_was_used_first_is_known_when_calls_are_gone(db: Database, tmp_path: Path) -> None:
    failed = odd(3, LAST - timedelta(days=20), errorCode="AccessDenied", tokens=None)
    load(db, write_log(tmp_path / "log.json", [*quiet(), failed]))
    # Not renewed before.
    drop_calls(db, at(LAST, 0), dropped_at=at(LAST))
    drop_unused_names(db)
    db.execute("insert or ignore into unwatched_days select distinct day from usage_daily")
    loaded(db, tmp_path, odd(1), odd(2, **AWAY | {"userIdentity": WORKER}))
    assert rows(db, "select day, failed_calls from failed_days") == [
        (str(LAST - timedelta(days=20)), 1)
    ]
    assert [row[:3] for row in unusual(db)] == [("network", "203.0.113.0/24", "worker")]
    assert rows(db, "pragma foreign_key_check") == []


def test_a_forgotten_name_is_forgotten_here_too(db: Database, tmp_path: Path) -> None:
    loaded(db, tmp_path, *quiet(), odd(1, userAgent="Boto3/1.2 app/maria-notes"))
    forget(db, ["maria-notes"])
    assert not rows(db, "select 1 from agents where agent like '%maria%'")


def test_a_load_renews_it(tmp_path: Path) -> None:
    path, log = tmp_path / "w.db", write_log(tmp_path / "log.json", [*quiet(), odd(1, **CURL)])
    assert run("load", log, "--db", path)[0] == 0
    with open_warehouse(path) as db:
        assert [row[0] for row in unusual(db)] == ["agent"]
        assert rows(db, "select count(*) from forecast_month")[0][0] >= 3
    before = dump(path, without=())
    assert run("load", log, "--reread", "--db", path)[0] == 0
    after = dump(path, without=())
    assert {name: after[name] for name in RENEWED} == {name: before[name] for name in RENEWED}


@cases(
    ("agent", "expected"),
    [
        ("Boto3/1.42 md/Botocore#1.42 ua/2.1 os/linux#6.1 md/arch#x86_64 lang/python#3.12 cfg/retry-mode#legacy"
         " Botocore/1.42", "Boto3 os/linux lang/python Botocore"),
        ("aws-cli/2.15.0 Python/3.11.6 Linux/5.10 exe/x86_64.amzn.2", "aws-cli Python Linux"),
        ("[aws-sdk-go-v2/1.2 os/macos lang/go#1.22]", "aws-sdk-go-v2 os/macos lang/go"),
        ("Mozilla/5.0 (X11; Linux) Chrome/132.0", "Mozilla Chrome"),
        ("curl/8.5", "curl"),
        ("", ""),
    ],
)  # fmt: skip
def test_what_a_user_agent_is_made_with(agent: str, expected: str) -> None:
    assert software(agent) == expected
