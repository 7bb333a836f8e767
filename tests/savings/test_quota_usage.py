"""How near models are to their limits, and whose calls were refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from etl.normalise.quotas import known_models, parse_quota
from etl.normalise.rows import QuotaPeak
from etl.warehouse.database import open_warehouse
from etl.warehouse.write.batch import Batch, Loader
from etl.warehouse.write.minutes import renew_minutes
from tests.cli.running import run
from tests.support import (
    ACCOUNT,
    HAIKU,
    call,
    load,
    role_identity,
    rows,
    write_log,
    write_metrics,
)
from tests.web.html_page import Page
from tests.web.pages import open_pages

NAME = "model inference {} per minute for Anthropic Claude 3 Haiku"
SEEN = "2026-11-03T00:00:00Z"
FIGURES = (
    "route, quota_kind, period, limit_value, highest, highest_at, highest_source, is_lower_bound,"
    " share_pct, throttled_calls"
)
THROTTLED = {"errorCode": "ThrottlingException"}


def limit(db: Database, *quotas: tuple[str, int], region: str = "us-east-1") -> None:
    found = [
        parse_quota(
            {"QuotaCode": f"L-{number}", "QuotaName": name, "Value": float(value)},
            account_id=ACCOUNT,
            region=region,
            seen_at=SEEN,
            is_default=False,
            models=known_models([]),
        )
        for number, (name, value) in enumerate(quotas)
    ]
    Loader(db).write(Batch(renewed={"quotas": found}))


def usage(db: Database) -> list[tuple[Any, ...]]:
    return rows(db, f"select {FIGURES} from quota_usage order by quota_code")


def minute(number: int) -> str:
    return f"2026-11-02T10:{number:02}:30Z"


def test_the_best_that_is_known_of_a_minute(db: Database, tmp_path: Path) -> None:
    limit(
        db,
        (f"On-demand {NAME.format('tokens')}", 1_000),
        (f"On-demand {NAME.format('requests')}", 10),
        (f"Cross-region {NAME.format('tokens')}", 1_000),
        ("Model invocation max tokens per day for Anthropic Claude 3 Haiku", 100_000),
        ("Cross-Model Account-Level Tokens Per Day", 5),
    )
    calls = [call(n, eventTime=minute(n // 3)) for n in range(4)]
    calls += [call(9, eventTime=minute(7), **THROTTLED)]
    other = {"requestParameters": {"modelId": f"us.{HAIKU}"}}
    calls += [call(20, eventTime=minute(7), **other)]
    load(db, write_log(tmp_path / "log.json", calls))
    nothing = (None, None, None, None, None)
    assert usage(db) == [
        ("on-demand", "tokens", "minute", 1_000, *nothing, 1),
        ("on-demand", "requests", "minute", 10, *nothing, 1),
        ("cross-region", "tokens", "minute", 1_000, *nothing, None),
        ("regional", "tokens", "day", 100_000, *nothing, 1),
        (None, "tokens", "day", 5, *nothing, None),
    ]
    totals = [
        (HAIKU, "InputTokenCount", 6_000),
        (HAIKU, "OutputTokenCount", 600),
        (HAIKU, "CacheReadInputTokenCount", 60_000),
        (HAIKU, "Invocations", 120),
        (f"us.{HAIKU}", "InputTokenCount", 400),
    ]
    load(db, write_metrics(tmp_path / "hours.csv", totals))
    hour, mean = "2026-11-02T10:00:00Z", "mean minute of the highest hour"
    assert usage(db)[:4] == [
        ("on-demand", "tokens", "minute", 1_000, 110, hour, mean, 1, 11.0, 1),
        ("on-demand", "requests", "minute", 10, 2, hour, mean, 1, 20.0, 1),
        ("cross-region", "tokens", "minute", 1_000, 6, hour, mean, 1, 0.6, None),
        ("regional", "tokens", "day", 100_000, 7_000, "2026-11-02", "days", 1, 7.0, 1),
    ]
    renew_minutes(db)
    (series,) = rows(db, "select series_key from metric_series where metric = 'InputTokenCount'"
                     " order by 1 limit 1")  # fmt: skip
    db.execute(
        "insert into metric_minutes values (?, '2026-11-02T10:00:00Z', ?)",
        [*series, json.dumps({"3": 500, "40": 70})],
    )
    counted = "minutes by CloudWatch's totals"
    assert usage(db)[:2] == [
        ("on-demand", "tokens", "minute", 1_000, 500, "2026-11-02T10:03:00Z", counted, 1, 50.0, 1),
        ("on-demand", "requests", "minute", 10, 3, "2026-11-02T10:00:00Z", "minutes of calls", 0,
         30.0, 1),
    ]  # fmt: skip
    peak = QuotaPeak(
        ACCOUNT, "us-east-1", HAIKU, "2026-11-02", HAIKU, "on-demand", 990, "2026-11-02T10:03:00Z"
    )
    old = peak._replace(day="2026-10-01", tokens=5_000)
    Loader(db).write(Batch(renewed={"quota_peaks": [peak, old]}))
    estimate = "minutes by CloudWatch's estimate"
    assert usage(db)[0] == (
        "on-demand", "tokens", "minute", 1_000, 990, "2026-11-02T10:03:00Z", estimate, 0, 99.0, 1,
    )  # fmt: skip


def test_whose_calls_were_refused(db: Database, tmp_path: Path) -> None:
    search = role_identity("Search-BedrockRole")
    calls = [call(n, userIdentity=search, **THROTTLED) for n in range(3)]
    calls += [call(9, errorCode="AccessDenied"), call(10, **THROTTLED), call(11)]
    load(db, write_log(tmp_path / "log.json", calls))
    assert rows(
        db,
        "select day, model_id, user_name, application, error_code, throttled_calls"
        " from throttled_calls order by throttled_calls desc",
    ) == [
        ("2026-11-02", HAIKU, "Search-BedrockRole", "Search", "ThrottlingException", 3),
        ("2026-11-02", HAIKU, "alice", "Unknown", "ThrottlingException", 1),
    ]


def test_the_page_and_the_report_show_them(tmp_path: Path) -> None:
    path = tmp_path / "w.db"
    with open_warehouse(path, create=True) as db:
        load(db, write_log(tmp_path / "log.json", [call(1, tokens=(5, 5)), call(2, **THROTTLED)]))
    status, _, error = run("report", "quotas", "--db", path)
    assert (status, "sync --source quotas" in error) == (0, True)
    with open_warehouse(path) as db:
        limit(db, (f"On-demand {NAME.format('tokens')}", 1_000))
        load(db, write_metrics(tmp_path / "m.csv", [(HAIKU, "InputTokenCount", 54_000)]))
    _, shown, _ = run("report", "quotas", "--db", path)
    words = " ".join(shown.split())
    assert f"{HAIKU} us-east-1 {ACCOUNT} tokens per minute, on-demand 1,000 ≥ 900 90.0 % 1" in words
    assert f"Unknown {HAIKU} us-east-1 1 1 2026-11-02" in words
    found = json.loads(run("report", "quotas", "--db", path, "--format", "json")[1])
    assert [len(found[name]) for name in ("rows", "throttled")] == [1, 1]
    assert run("report", "quotas", "--db", path, "--format", "csv")[1].count("90.0") == 1
    with open_pages(path) as pages:
        text = " ".join(" ".join(Page(pages.open("/savings").text).words).split())
    assert f"{ACCOUNT} tokens per minute, on-demand 1,000 ≥ 900 90.0 %" in text
