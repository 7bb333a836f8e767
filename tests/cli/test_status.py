"""``bedrock-usage status``: how fresh the warehouse is, for a person, a program and a monitor."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from sqlite_utils import Database

from etl.cli.status import build_status
from etl.show.numbers import span
from etl.show.status import stale_lines, to_json
from etl.show.status_table import print_table
from etl.warehouse.bookmarks import (
    Gap,
    StreamId,
    StreamState,
    finish_run,
    save_error,
    save_state,
    start_run,
)
from etl.warehouse.database import open_warehouse
from etl.warehouse.write.batch import Batch, Loader, Reject
from tests.cases import cases
from tests.cli.running import run
from tests.support import (
    ACCOUNT,
    HAIKU,
    SONNET,
    call,
    load,
    logged,
    rows,
    write_invocation_log,
    write_log,
    write_metrics,
)

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)


def save_stream(
    db: Database,
    source: str = "cloudtrail",
    region: str = "us-east-1",
    *,
    account: str = ACCOUNT,
    read: datetime = NOW - 5 * MINUTE,
    **fields: Any,
) -> str:
    """Save a stream that was read to its end at ``read``; return its name."""
    stream = StreamId(source, account, region)
    settle = HOUR if source == "cloudtrail" else timedelta()
    history = None if source == "catalogue" else read - 90 * DAY
    state = StreamState(stream, history or read, read - settle, read, history, read)
    save_state(db, replace(state, **fields))
    return str(stream)


def answer(db: Database, now: datetime = NOW, max_age: timedelta | None = None) -> dict[str, Any]:
    return json.loads(to_json(build_status(db, now, max_age)))


def table(db: Database, width: int = 80, max_age: timedelta | None = None) -> list[str]:
    console = Console(width=width, highlight=False, color_system=None)
    with console.capture() as capture:
        print_table(build_status(db, NOW, max_age), console)
    return [line.rstrip() for line in capture.get().splitlines() if line.strip()]


def squeezed(lines: list[str]) -> str:
    return " ".join(" ".join(lines).split())


def test_a_stream_with_its_lag_and_its_age(db: Database) -> None:
    save_stream(db)
    (stream,) = answer(db)["streams"]
    assert stream["watermark"] == "2026-11-20T10:55:00Z"
    assert (stream["lag_seconds"], stream["age_seconds"]) == (65 * 60, 5 * 60)
    assert (stream["is_history_complete"], stream["is_stale"]) == (True, None)
    lines = table(db)
    assert lines[:2] == ["Status at 2026-11-20 12:00 UTC", "Account 111122223333"]
    assert lines[2].split() == ["Source", "Region", "Lag", "Read", "History", "Late", "Gaps"]
    assert squeezed(lines[4:5]) == "cloudtrail us-east-1 1 h 5 min 5 min ago complete 0 0"


def test_a_wide_terminal_shows_the_moment_too(db: Database) -> None:
    save_stream(db)
    assert "2026-11-20 10:55" in table(db, 100)[4]


@pytest.mark.parametrize("width", [80, 100, 200])
def test_it_fits_the_terminal(db: Database, width: int) -> None:
    for region in ("us-east-1", "ap-southeast-2"):
        for source in ("cloudtrail", "cloudwatch", "catalogue"):
            name = save_stream(db, source, region, read=NOW - 100 * DAY, account="444455556666")
            save_stream(db, source, region, read=NOW - 100 * DAY)
            save_error(db, StreamId(*name.split("/")), "AccessDenied on " + "x" * 300, NOW)
    assert max(map(len, table(db, width))) <= width


def test_each_account_has_its_table(db: Database) -> None:
    save_stream(db, account="444455556666")
    save_stream(db)
    lines = [line for line in table(db, 80) if line.startswith(("Account", " cloudtrail"))]
    assert lines[0::2] == [f"Account {ACCOUNT}", "Account 444455556666"]
    assert lines[1] == lines[3]


def test_streams_that_stand_alike_are_told_together_where_they_are_many(db: Database) -> None:
    for number in range(12):
        save_stream(db, region=f"us-test-{number:02}")
    assert len([line for line in table(db) if line.startswith(" cloudtrail")]) == 12
    save_stream(db, region="us-test-12")
    save_stream(db, region="us-test-13", read=NOW - DAY)
    failed = save_stream(db, region="us-test-14")
    save_error(db, StreamId(*failed.split("/")), "no", NOW)
    lines = [line for line in table(db) if line.startswith(" cloudtrail")]
    assert [line.split("  ")[1] for line in lines] == [
        "us-test-00 + 12 more",
        "us-test-13",
        "us-test-14",
    ]
    assert len(answer(db)["streams"]) == 15


def test_history_that_is_left(db: Database) -> None:
    save_stream(db, covered_from=NOW - 5 * MINUTE - 30 * DAY)
    assert "60 d left" in table(db)[4]
    (stream,) = answer(db)["streams"]
    assert (stream["is_history_complete"], stream["history_left_days"]) == (False, 60.0)


def test_an_error_is_told_with_its_age_and_in_full(db: Database) -> None:
    stream = StreamId("cloudwatch", ACCOUNT, "us-east-1")
    save_error(db, stream, "AccessDenied on cloudwatch:ListMetrics: add it", NOW - 2 * HOUR)
    lines = table(db)
    assert lines[4].split() == ["cloudwatch", "us-east-1", "–", "never", "–", "0", "0"]
    assert f"Errors {stream} 2 h ago: AccessDenied on cloudwatch:ListMetrics: add it" in squeezed(
        lines
    )


@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        ("done", "Last run began 10 min ago, took 2 min, done: 1 new call, 7 CloudWatch values"),
        ("incomplete", "took 2 min, incomplete: 1 new call"),
        (
            None,
            "began 10 min ago and has not ended: it is running (process 4711 on box) or was killed",
        ),
    ],
)
def test_the_last_run(db: Database, outcome: str | None, text: str) -> None:
    save_stream(db)
    start_run(db, NOW - DAY, pid=1, host="other")
    run_id = start_run(db, NOW - 10 * MINUTE, pid=4711, host="box")
    if outcome:
        finish_run(db, run_id, NOW - 8 * MINUTE, outcome, ["left"], calls_new=1, metric_values=7)
    assert text in squeezed(table(db))
    last = answer(db)["last_run"]
    assert (last["run_id"], last["outcome"]) == (run_id, outcome)
    assert last["duration_seconds"] == (120 if outcome else None)


def test_gaps(db: Database) -> None:
    save_stream(db, gaps=(Gap(NOW - 9 * DAY, NOW - 8 * DAY, "older than the 90 days"),))
    text = "2026-11-11 12:00 to 2026-11-12 12:00 UTC: older than the 90 days"
    assert f"Gaps cloudtrail/{ACCOUNT}/us-east-1 {text}" in squeezed(table(db))
    assert answer(db)["gaps"] == [
        {
            "stream": f"cloudtrail/{ACCOUNT}/us-east-1",
            "gap_start": "2026-11-11T12:00:00Z",
            "gap_end": "2026-11-12T12:00:00Z",
            "reason": "older than the 90 days",
        }
    ]


@pytest.fixture
def with_totals(db: Database, tmp_path: Path) -> Database:
    """Totals of two hours and kinds, 10:00 provisional; a day old at most, at 11:30."""
    metrics = [
        (HAIKU, metric, 500, f"2026-11-02T{hour}:00:00Z", 3600)
        for hour in ("09", "10")
        for metric in ("InputTokenCount", "OutputTokenCount")
    ]
    load(db, write_metrics(tmp_path / "m.csv", metrics))
    db.execute("update metric_hourly set is_provisional = 1 where hour >= '2026-11-02T10'")
    return db


@pytest.mark.parametrize(
    ("hours_later", "region", "expected"),
    [
        (1.5, "us-east-1", ("2026-11-02T10:00:00Z", 1)),
        (24.5, "us-east-1", ("2026-11-02T10:00:00Z", 1)),
        (25.5, "us-east-1", (None, 0)),
        (1.5, "us-west-2", (None, 0)),
    ],
)
def test_provisional_hours_are_those_of_the_last_day_of_the_stream(
    with_totals: Database, hours_later: float, region: str, expected: tuple[str | None, int]
) -> None:
    read = datetime(2026, 11, 2, 10, tzinfo=UTC) + timedelta(hours=hours_later)
    with_totals.execute("insert or ignore into regions (region) values ('us-west-2')")
    save_stream(with_totals, "cloudwatch", region, read=read)
    assert tuple(answer(with_totals)["provisional"].values()) == expected
    said = "1 hour from 2026-11-02 10:00 UTC on" in squeezed(table(with_totals))
    assert said is bool(expected[1])


def test_rejects_are_counted_by_file_and_reason(db: Database) -> None:
    files = [("a.json", "no eventID")] * 3 + [(f"{n}.json", "no JSON") for n in range(6)]
    rejects = [Reject(file, f"[{n}]", why) for n, (file, why) in enumerate(files)]
    Loader(db).write(Batch(rejects=rejects))
    assert answer(db)["rejects"][:2] == [
        {"file": "a.json", "reason": "no eventID", "reject_count": 3, "is_refused": 0},
        {"file": "0.json", "reason": "no JSON", "reject_count": 1, "is_refused": 0},
    ]
    text = squeezed(table(db))
    assert "Rejected 9 records (table rejects) 3 x a.json: no eventID 1 x 0.json: no JSON" in text
    assert "and 2 more: see --format json" in text


def test_models_without_a_price_are_counted_over_regions(db: Database, tmp_path: Path) -> None:
    unknown = {"requestParameters": {"modelId": "acme.unknown"}, "tokens": (10, 5)}
    log = [call(1, **unknown), call(2, awsRegion="us-west-2", **unknown), call(3, tokens=(1, 1))]
    load(db, write_log(tmp_path / "log.json", log))
    assert "Unpriced acme.unknown: 2 calls, 30 tokens in us-east-1, us-west-2" in squeezed(
        table(db)
    )
    unpriced = answer(db)["unpriced"]
    assert [(row["region"], row["unpriced_calls"], row["unpriced_tokens"]) for row in unpriced] == [
        ("us-east-1", 1, 15),
        ("us-west-2", 1, 15),
    ]


def test_coverage_is_that_of_the_view_recent_and_in_all(db: Database, tmp_path: Path) -> None:
    log = [
        call(1, tokens=(1, 1), eventTime="2026-10-21T23:59:59Z"),
        call(2, tokens=(1, 1), eventTime="2026-10-22T00:00:00Z"),
        call(3, requestParameters={"modelId": SONNET}),
        call(4, errorCode="AccessDenied"),
    ]
    metrics = write_metrics(tmp_path / "m.csv", [(SONNET, "InputTokenCount", 5)])
    load(db, write_log(tmp_path / "log.json", log), metrics)
    view = "select sum(calls_with_tokens), sum(calls) from token_coverage"
    assert rows(db, view) == [(2, 3)]
    coverage = answer(db)["coverage"]
    assert coverage["all"] == {
        "first_day": "2026-10-21",
        "last_day": "2026-11-02",
        "calls": 3,
        "failed_calls": 1,
        "calls_with_tokens": 2,
        "coverage_pct": 66.7,
        "actual_tokens": 4,
        "single_caller_tokens": 0,
        "calibrated_tokens": 0,
        "call_share_tokens": 5,
        "unattributed_tokens": 0,
        "unpriced_tokens": 0,
    }
    recent = coverage["last_30_days"]
    assert (recent["first_day"], recent["calls_with_tokens"], recent["calls"]) == (
        "2026-10-22",
        1,
        2,
    )
    text = squeezed(table(db))
    assert (
        "Loaded 2026-10-21 to 2026-11-02 UTC Events with token data: 2 / 3 (66.7 %) Tokens: 44.4 % measured, 55.6 % by calls"
        in text
    )
    assert "Last 30 days Events with token data: 1 / 2 (50.0 %) Tokens: 28.6 % measured" in text


def test_no_calls_have_no_coverage(db: Database) -> None:
    assert answer(db)["coverage"]["all"]["coverage_pct"] is None
    assert table(db)[-1] == "Loaded  nothing"


HOSTILE = "\x1b[31mred\x1b[0m\r\n[bold]x[/bold]"


def test_what_comes_from_outside_is_only_ever_text(db: Database) -> None:
    name = save_stream(db, gaps=(Gap(NOW, NOW, HOSTILE),))
    save_error(db, StreamId(*name.split("/")), HOSTILE, NOW)
    Loader(db).write(Batch(rejects=[Reject(HOSTILE, "x", HOSTILE)]))
    text = squeezed(table(db))
    assert "\x1b" not in text
    assert text.count("[bold]x[/bold]") == 4


@pytest.mark.parametrize(
    ("source", "age", "is_stale"),
    [
        ("cloudtrail", 2 * HOUR, False),
        ("cloudtrail", 2 * HOUR + timedelta(seconds=1), True),
        ("cloudwatch", 3 * HOUR, True),
        # It is read once a day only.
        ("catalogue", 26 * HOUR, False),
        ("catalogue", 26 * HOUR + timedelta(seconds=1), True),
    ],
)
def test_a_stream_is_stale_by_its_age(
    db: Database, source: str, age: timedelta, is_stale: bool
) -> None:
    save_stream(db, source, read=NOW - age)
    found = answer(db, max_age=2 * HOUR)
    assert found["streams"][0]["is_stale"] is is_stale
    assert (found["is_fresh"], found["max_age_seconds"]) == (not is_stale, 7200)


def test_a_failure_makes_nothing_stale_that_was_read(db: Database) -> None:
    name = save_stream(db)
    save_error(db, StreamId(*name.split("/")), "throttled", NOW)
    assert answer(db, max_age=HOUR)["is_fresh"] is True


def test_what_was_never_read_is_stale(db: Database) -> None:
    save_stream(db)
    save_error(db, StreamId("cloudwatch", ACCOUNT, "us-east-1"), "denied", NOW)
    assert answer(db, max_age=365 * DAY)["is_fresh"] is False
    lines = list(stale_lines(build_status(db, NOW, 365 * DAY)))
    name = f"cloudwatch/{ACCOUNT}/us-east-1"
    assert lines[0] == f"Stale: {name} was never read completely; last error: denied"
    assert len(lines) == 2
    assert "bedrock-usage sync" in lines[1]


def warehouse(tmp_path: Path, *ages: timedelta) -> Path:
    """Make a warehouse with a stream of each age, by the real clock."""
    path = tmp_path / "w.db"
    now = datetime.now(UTC).replace(microsecond=0)
    with open_warehouse(path, create=True) as db:
        for number, age in enumerate(ages):
            save_stream(db, region=f"us-test-{number}", read=now - age)
    return path


def test_a_monitor_gets_an_exit_status_and_names(tmp_path: Path) -> None:
    db = warehouse(tmp_path, MINUTE, 3 * HOUR)
    status, out, err = run("status", "--max-age", "2h", "--db", db)
    assert status == 1
    assert "us-test-0" in out
    assert err.startswith(f"Stale: cloudtrail/{ACCOUNT}/us-test-1 was read 3 h ago\n")
    assert "Older than 2 h: run `bedrock-usage sync`" in err
    assert run("status", "--max-age", "4h", "--db", db)[0::2] == (0, "")
    assert run("status", "--db", db)[0::2] == (0, "")


def test_a_stream_that_nobody_reads_any_more_can_be_left_out(tmp_path: Path) -> None:
    db = warehouse(tmp_path, MINUTE, 3 * HOUR)
    words = ("status", "--max-age", "2h", "--db", db)
    status, out, err = run(*words, "--region", "us-test-0")
    assert (status, err) == (0, "")
    assert "us-test-1" not in out
    assert run(*words, "--region", "us-test-1")[0] == 1
    # No streams left does not count as fresh.
    assert run(*words, "--source", "catalogue")[0] == 1


def test_streams_of_log_groups_go_with_those_of_invocation_logs(tmp_path: Path) -> None:
    path = tmp_path / "w.db"
    now = datetime.now(UTC).replace(microsecond=0)
    with open_warehouse(path, create=True) as db:
        for source in ("cloudtrail", "invocation_logs", "log_group"):
            save_stream(db, source, read=now)
    words = ("status", "--format", "json", "--db", path)
    streams = json.loads(run(*words, "--source", "invocation_logs")[1])["streams"]
    assert [stream["source"] for stream in streams] == ["invocation_logs", "log_group"]


def test_json_is_whole_when_something_is_stale(tmp_path: Path) -> None:
    db = warehouse(tmp_path, 3 * HOUR)
    status, out, err = run("status", "--max-age", "2h", "--format", "json", "--db", db)
    assert status == 1
    assert json.loads(out)["is_fresh"] is False
    assert "us-test-0" in err


def test_a_warehouse_that_was_only_loaded_says_how_to_sync(tmp_path: Path) -> None:
    db = warehouse(tmp_path)
    run("load", write_log(tmp_path / "log.json", [call(1, tokens=(1, 2)), call(2)]), "--db", db)
    status, out, err = run("status", "--db", db)
    assert (status, err) == (0, "")
    assert "`bedrock-usage sync`" in out
    assert "2026-11-02 to 2026-11-02 UTC Events with token data: 1 / 2 (50.0 %)" in squeezed([out])
    status, out, err = run("status", "--max-age", "2h", "--format", "json", "--db", db)
    assert status == 1
    assert "`bedrock-usage sync`" in err
    assert (json.loads(out)["is_fresh"], json.loads(out)["last_run"]) == (False, None)


@pytest.mark.parametrize("words", [["--max-age", "soon"], ["--format", "csv"], ["now"]])
def test_wrong_usage_is_status_2(tmp_path: Path, words: list[str]) -> None:
    assert run("status", *words, "--db", warehouse(tmp_path))[0] == 2


def test_without_a_warehouse_it_says_how_to_make_one(tmp_path: Path) -> None:
    status, _, err = run("status", "--db", tmp_path / "none.db")
    assert status == 1
    assert "bedrock-usage load PATH" in err


@cases(
    ("length", "text"),
    [
        (timedelta(seconds=-5), "0 s"),
        (timedelta(seconds=59), "59 s"),
        (timedelta(seconds=60), "1 min"),
        (timedelta(minutes=59, seconds=59), "59 min"),
        (HOUR, "1 h"),
        (47 * HOUR + 59 * MINUTE, "47 h 59 min"),
        (2 * DAY, "2 d"),
        (90 * DAY + 5 * HOUR, "90 d 5 h"),
    ],
)
def test_lengths_of_time_for_people(length: timedelta, text: str) -> None:
    assert span(length) == text


def test_input_that_may_contain_cached_tokens_and_input_that_cannot(
    db: Database, tmp_path: Path
) -> None:
    model = "openai.gpt-5.4"
    usage = {"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 600}}
    body = {"outputBodyJson": {"usage": usage}}
    records = [
        *(logged(n, cache=(600, 0), modelId=model) for n in range(2)),
        logged(3, modelId=model),
        logged(4, cache=(600, 0)),
        logged(5, tokens=None, modelId=model, output=body),
    ]
    known = {"additionalEventData": {"inputTokens": 900}}
    event = call(6, requestParameters={"modelId": model}, **known)
    load(
        db,
        write_invocation_log(tmp_path / "l.jsonl", records),
        write_log(tmp_path / "e.json", [event]),
        write_metrics(tmp_path / "m.csv", [(model, "CacheReadInputTokenCount", 1850)]),
    )
    found = [tuple(row.values())[1:] for row in answer(db)["input_forms"]]
    # 1,850 less 1,800 known: 50 are shared by the two calls that do not report any.
    assert found == [
        ("invocation log", 3, 1225, 0),
        ("additionalEventData", 1, 25, 0),
        ("invocation log body (OpenAI)", 0, 0, 1),
    ]
    text = squeezed(table(db, 200))
    assert (
        "Input openai.gpt-5.4, by invocation log: the input of 3 calls may contain their cached"
        " tokens, so up to 1,225 may be charged twice" in text
    )
    assert "(OpenAI): 1 call with more cached tokens than input, which has them" in text


def test_estimated_input_that_may_contain_cached_tokens(db: Database, tmp_path: Path) -> None:
    model, other = "openai.gpt-5.4", "openai.gpt-5.6-terra"
    events = [call(n, requestParameters={"modelId": model}) for n in range(2)]
    totals = [(model, 1_000, 600), (other, 900, 500), (HAIKU, 800, 400)]
    names = ("InputTokenCount", "CacheReadInputTokenCount")
    metrics = [(one, name, n) for one, *both in totals for name, n in zip(names, both, strict=True)]
    load(db, write_log(tmp_path / "e.json", events), write_metrics(tmp_path / "m.csv", metrics))
    assert [tuple(row.values()) for row in answer(db)["input_forms"]] == [
        (model, "CloudWatch", 2, 600, 0),
        (other, "CloudWatch", 0, 500, 0),
    ]
    text = squeezed(table(db, 200))
    assert "by CloudWatch: the input of 2 calls may contain their cached tokens" in text
    assert "by CloudWatch: the input that fits no loaded call may contain its cached" in text
