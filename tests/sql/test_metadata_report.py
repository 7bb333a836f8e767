"""Usage by a key of the request metadata: only configured keys, few values, and sums that add up."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database

from etl.errors import DataError
from etl.show.report import build_metadata_report
from etl.sql_files import sql_text
from etl.warehouse.read.reports import Filters, usage, usage_by_metadata
from etl.warehouse.upkeep.vacuum import drop_calls
from etl.warehouse.write.metadata_keys import apply_metadata_keys
from tests.cli.running import run
from tests.support import (
    ACCOUNT,
    HAIKU,
    call,
    load,
    logged,
    role_identity,
    write_invocation_log,
    write_log,
    write_metrics,
)

GPT = "openai.gpt-5.4"
SUMS = (
    *("calls", "failed_calls", "input_tokens", "output_tokens", "cache_read_tokens"),
    *("unpriced_calls", "unpriced_tokens", "list_unpriced_tokens"),
)


def tagged(number: int, tenant: Any, **fields: Any) -> dict[str, Any]:
    return logged(number, tokens=(1000 * number, 10), requestMetadata={"tenant": tenant}, **fields)


def gross(number: int, tenant: str | None, total: int) -> dict[str, Any]:
    """Return a call whose input contains its cached tokens, which only CloudWatch counts."""
    metadata = None if tenant is None else {"tenant": tenant}
    usage = {"prompt_tokens": total, "completion_tokens": 10}
    return logged(
        number,
        tokens=None,
        modelId=GPT,
        output={"outputBodyJson": {"usage": usage}},
        requestMetadata=metadata,
        timestamp=f"2026-11-02T10:20:{number:02}Z",
    )


def fill(db: Database, folder: Path) -> None:
    """Write calls of six tenants (one is a number), of none, and a total."""
    logs = [tagged(n, f"t{n % 5}", user=f"u{n % 3}") for n in range(1, 20)]
    logs += [tagged(20, 7, region="us-west-2"), tagged(21, "t1", modelId="acme.unheard-of")]
    logs += [logged(n, requestMetadata={"other": "x"}) for n in (30, 31)]
    role = f"arn:aws:sts::{ACCOUNT}:assumed-role/Search-BedrockRole/i-0123456789abcdef0"
    logs.append(tagged(40, "t1", identity={"arn": role}))
    logs.append(tagged(41, "t1", errorCode="ThrottlingException"))
    logs += [gross(50, "t0", 1000), gross(51, None, 100), gross(52, "t2", 400)]
    parameters = {"modelId": HAIKU, "requestMetadata": {"team": "red"}}
    calls = [
        call(40, userIdentity=role_identity("Search-BedrockRole")),
        call(42),
        *(call(n, requestParameters=parameters) for n in (43, 44)),
    ]
    load(
        db,
        write_invocation_log(folder / "l.json", logs),
        write_log(folder / "c.json", calls),
        write_metrics(
            folder / "m.csv",
            [(HAIKU, "InputTokenCount", 3_000_000), (GPT, "CacheReadInputTokenCount", 1200)],
        ),
    )


def by_tenant(db: Database, **filters: Any) -> dict[str | None, dict[str, Any]]:
    return {row["value"]: row for row in usage_by_metadata(db, "tenant", Filters(**filters))}


FILTERS: list[dict[str, Any]] = [
    {},
    {"since": "2026-11-03"},
    {"until": "2026-11-02"},
    {"regions": ("us-west-2",)},
    {"models": (HAIKU,)},
    {"users": ("u1",)},
    {"applications": ("Search",)},
]


def test_the_values_and_the_rest_add_up_to_the_usage(db: Database, tmp_path: Path) -> None:
    fill(db, tmp_path)
    for most in (1, 3, 100):
        apply_metadata_keys(db, ["tenant"], most)
        for filters in FILTERS:
            rows, total = by_tenant(db, **filters).values(), usage(db, Filters(**filters))
            assert bool(rows) == bool(total)
            for name in SUMS if total else ():
                assert sum(row[name] or 0 for row in rows) == (total[0][name] or 0), (name, filters)
            cost = sum(row["cost_usd"] or 0 for row in rows)
            assert cost == pytest.approx(total[0]["cost_usd"] or 0 if total else 0, abs=1e-9)


def test_input_that_is_estimated_as_cached_is_not_charged_twice(
    db: Database, tmp_path: Path
) -> None:
    """The cached tokens themselves are in the rest."""
    load(
        db,
        write_invocation_log(tmp_path / "l.json", [gross(1, "t1", 1000)]),
        write_metrics(tmp_path / "m.csv", [(GPT, "CacheReadInputTokenCount", 600)]),
    )
    apply_metadata_keys(db, ["tenant"], 100)
    found = by_tenant(db)
    (total,) = usage(db, Filters())
    assert found["t1"]["input_tokens"] == total["input_tokens"] == 400
    assert found[None]["cache_read_tokens"] == total["cache_read_tokens"] == 600
    assert sum(row["cost_usd"] for row in found.values()) == pytest.approx(total["cost_usd"])


def test_a_call_with_an_estimate_has_it_in_the_rest(db: Database, tmp_path: Path) -> None:
    parameters = {"modelId": HAIKU, "requestMetadata": {"team": "red"}}
    later = {"eventTime": "2026-11-03T10:00:00Z"}
    calls = [call(1, requestParameters=parameters), call(2), call(3, **later)]
    load(
        db,
        write_log(tmp_path / "c.json", calls),
        write_metrics(tmp_path / "m.csv", [(HAIKU, "InputTokenCount", 1000)]),
    )
    apply_metadata_keys(db, ["team"], 100)
    found = usage_by_metadata(db, "team", Filters())
    names = ("value", "calls", "calls_with_tokens", "calls_without_tokens", "is_lower_bound")
    assert [tuple(row[name] for name in names) for row in found] == [
        ("red", 1, 0, 1, 1),
        (None, 2, 1, 1, 1),
    ]


def test_each_value_has_its_calls_and_their_cost(db: Database, tmp_path: Path) -> None:
    fill(db, tmp_path)
    apply_metadata_keys(db, ["tenant"], 100)
    found = by_tenant(db)
    assert list(found)[-1] is None
    assert set(found) == {"t0", "t1", "t2", "t3", "t4", "7", None}
    (own,) = db.query(
        "select sum(error_code is null) as calls, sum(error_code is not null) as failed_calls,"
        " sum(input_tokens) as input_tokens, sum(cost_picodollars) / 1e12 as cost_usd,"
        " sum(unpriced_tokens) as unpriced_tokens from calls"
        " where request_metadata ->> 'tenant' = 't1'"
    )
    assert {name: found["t1"][name] for name in own} == pytest.approx(own)
    assert (found["t1"]["failed_calls"], found["t1"]["is_lower_bound"]) == (1, 1)
    assert found["t2"]["data_source"] == "Actual Tokens from invocation log"


def test_the_values_that_cost_least_are_one_row(db: Database, tmp_path: Path) -> None:
    fill(db, tmp_path)
    apply_metadata_keys(db, ["tenant"], 2)
    found = by_tenant(db)
    assert list(found) == ["t1", "t4", "(others)", None]
    assert [row["distinct_values"] for row in found.values()] == [1, 1, 4, 0]


def test_a_key_that_is_not_configured_is_not_shown(db: Database, tmp_path: Path) -> None:
    fill(db, tmp_path)
    with pytest.raises(DataError, match="does not name this key"):
        usage_by_metadata(db, "tenant", Filters())
    apply_metadata_keys(db, ["other"], 2)
    with pytest.raises(DataError, match="It names other"):
        usage_by_metadata(db, "tenant", Filters())
    query = {**Filters().parameters(), "metadata_key": "tenant"}
    assert list(db.query(sql_text("pages/metadata"), query)) == []


def test_a_visitor_sees_the_applications_that_it_may_see(db: Database, tmp_path: Path) -> None:
    fill(db, tmp_path)
    apply_metadata_keys(db, ["tenant"], 100)
    query = {**Filters().parameters(), "metadata_key": "tenant"}
    query["_visitor_applications"] = json.dumps(["Search"])
    ((only),) = db.query(sql_text("pages/metadata"), query)
    assert (only["value"], only["calls"], only["input_tokens"]) == ("t1", 1, 40_000)
    query["_visitor_applications"] = "[]"
    assert list(db.query(sql_text("pages/metadata"), query)) == []


def test_dropped_calls_are_of_no_value(db: Database, tmp_path: Path) -> None:
    fill(db, tmp_path)
    apply_metadata_keys(db, ["tenant"], 100)
    before = usage(db, Filters())
    drop_calls(db, "2026-11-03T00:00:00Z", dropped_at="2026-11-20T00:00:00Z")
    found = by_tenant(db)
    assert list(found) == [None]
    assert found[None]["cost_usd"] == before[0]["cost_usd"]


def test_of_an_event_only_the_named_keys_are_stored(tmp_path: Path) -> None:
    db, config = tmp_path / "w.db", tmp_path / "c.toml"
    metadata = {"tenant": "north", "team": "red", "app": "search", "note": "words of a prompt"}
    parameters = {"modelId": HAIKU, "requestMetadata": metadata}
    events = write_log(tmp_path / "c.json", [call(1, requestParameters=parameters), call(2)])
    rule = '[[application_rules]]\napplication = "{app}"\ntag = "app={app}"\n'
    config.write_text(f'[metadata]\nkeys = ["tenant"]\n{rule}')
    assert run("load", events, "--config", config, "--db", db)[0] == 0
    stored = sqlite3.connect(db).execute("select request_metadata from request_metadata").fetchall()
    assert list(map(json.loads, *zip(*stored, strict=True))) == [
        {"app": "search", "team": "red", "tenant": "north"}
    ]
    applications = sqlite3.connect(db).execute("select application from calls order by event_time")
    assert applications.fetchall() == [("search",), ("Unknown",)]
    found = json.loads(run("report", "--by", "metadata:tenant", "--format", "json", "--db", db)[1])
    assert [(row["value"], row["calls"]) for row in found["rows"]] == [
        ("north", 1),
        ("(no tenant)", 1),
    ]


def test_values_named_like_the_other_rows_are_told_from_them(tmp_path: Path) -> None:
    db, config = tmp_path / "w.db", tmp_path / "c.toml"
    tenants = ["plain", "(others)", "(no tenant)", "(others)"]
    logs = [tagged(9 - n, tenant) for n, tenant in enumerate(tenants)]
    loaded = write_invocation_log(tmp_path / "l.json", [*logs, logged(1), tagged(2, "cheap")])
    config.write_text('[metadata]\nkeys = ["tenant"]\nmax_values = 3\n')
    assert run("load", loaded, "--config", config, "--db", db)[0] == 0
    report = ("report", "--by", "metadata:tenant", "--db", db)
    found = json.loads(run(*report, "--format", "json")[1])["rows"]
    assert [(row["value"], row["value_kind"], row["calls"]) for row in found] == [
        ("(others)", "named", 2),
        ("plain", "named", 1),
        ("(no tenant)", "named", 1),
        ("(others)", "others", 1),
        ("(no tenant)", "none", 1),
    ]
    assert [row["distinct_values"] for row in found] == [1, 1, 1, 1, 0]
    table = run(*report)[1]
    names = ['"(others)"', "plain", '"(no tenant)"', "(others)", "(no tenant)"]
    shown = [line.strip().split("  ")[0] for line in table.splitlines()]
    assert [name for name in shown if name in names] == names
    assert "tenant has 4 values here, more than the 3 that cost most" in " ".join(table.split())


def test_the_report_reads_no_other_report(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(db, write_invocation_log(tmp_path / "l.json", [tagged(1, "t1")]))
    apply_metadata_keys(db, ["tenant"], 100)
    asked = []

    def watched(*arguments: Any, by: Sequence[str] = ()) -> list[dict[str, Any]]:
        asked.append(by)
        return usage(*arguments, by=by)

    monkeypatch.setattr("etl.show.report.usage", watched)
    report = build_metadata_report(db, "tenant", Filters())
    assert (report.kind, report.title) == ("metadata:tenant", "Cost by tenant")
    assert asked == [()]


def test_the_report_names_the_key_and_what_is_too_much(tmp_path: Path) -> None:
    db, config = tmp_path / "w.db", tmp_path / "c.toml"
    logs = write_invocation_log(tmp_path / "l.json", [tagged(n, f"t{n}") for n in range(1, 9)])
    config.write_text('[metadata]\nkeys = ["tenant"]\nmax_values = 2\n')
    assert run("load", logs, "--config", config, "--db", db)[0] == 0
    status, out, _ = run("report", "--by", "metadata:tenant", "--db", db)
    assert status == 0
    assert "Cost by tenant, 2026-11-02" in out
    assert "(others)" in out
    assert "tenant has 8 values here, more than the 2 that cost most" in " ".join(out.split())
    found = json.loads(run("report", "--by", "metadata:tenant", "--format", "json", "--db", db)[1])
    assert (found["report"], found["rows"][0]["value"]) == ("metadata:tenant", "t8")
    for words, told in (
        (["--by", "tenant"], "metadata:tenant"),
        (["users", "--by", "metadata:tenant"], "--by replaces KIND"),
        (["--by", "metadata:tenant", "--breakdown"], "--breakdown works only"),
    ):
        status, _, err = run("report", *words, "--db", db)
        assert status == 2
        assert told in err
