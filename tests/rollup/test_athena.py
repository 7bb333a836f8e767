"""The query for Athena gives the same sums as a rollup, as far as it can know.

It runs in DuckDB, over tables that show the same records as Athena's would.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlglot import exp
from sqlite_utils import Database

from etl.cli import main
from etl.cli.shared.loading import apply_configuration, reading_keys
from etl.cli.shared.rolling_up import athena_rollup
from etl.config import load_config
from etl.demo import DATA
from etl.errors import ConfigError, DataError
from etl.load.decoder.content import Keys
from etl.normalise.athena import COLUMNS
from etl.normalise.token_sources import LOG_TOKENS
from etl.rollup.athena import STATEMENTS, query_text
from etl.warehouse.database import open_warehouse
from etl.warehouse.upkeep.rolled_up_days import load_rollup as load_days
from tests.checks import failed_checks
from tests.rollup import cases as input_of
from tests.rollup.athena import columns_of, records_in, run_query, statement
from tests.rollup.rolling import NOW, figures, load_it, places, roll_up
from tests.support import call, load, logged, role_identity, rows, user_identity, uuid_of, write_log

New = Callable[[], AbstractContextManager[Database]]

# What the query does not tell.
NOT_TOLD = ("operations", "unknown operations")

# Whose fields have other types than AWS writes: a table shows them as text.
OTHER_TYPES = (6009, 6012, 6020, 6023)


def load_result(db: Database, result: Path, config: Path | None = None, **options: Any) -> None:
    settings = load_config(config)
    apply_configuration(db, settings, config)
    load_days(db, athena_rollup(settings, places(), str(result), NOW).rollup, **options)


def assert_same(
    new_warehouse: New, folder: Path, records: Iterable[Any], config: Path | None = None
) -> None:
    """Check that a warehouse says the same by a rollup of these records, and by the query."""
    listed = list(records)
    data = json.dumps({"Records": listed}).encode()
    (folder / "log.json.gz").write_bytes(gzip.compress(data, 1))
    settings = load_config(config)
    roll_up([folder / "log.json.gz"], folder / "rollup", config=config)
    result = run_query(listed, folder / "result.csv", reading_keys(settings))
    with new_warehouse() as rolled_up, new_warehouse() as db:
        apply_configuration(rolled_up, settings, config)
        load_it(rolled_up, folder / "rollup")
        load_result(db, result, config)
        expected, found = figures(rolled_up), figures(db)
        for name in expected.keys() - set(NOT_TOLD):
            assert found[name] == expected[name], name
        assert expected["hours"]
        assert failed_checks(db) == {}


def without_tags(records: Iterable[Any]) -> list[Any]:
    return [one for one in records if one.get("eventSource") != "sts.amazonaws.com"]


def flat(parts: Iterable[Any]) -> list[Any]:
    listed = [one for part in parts for one in (part if isinstance(part, list) else [part])]
    return [one for one in listed if isinstance(one, dict)]


def test_the_demo(new_warehouse: New, tmp_path: Path) -> None:
    records = without_tags(records_in(DATA / "AWSLogs"))
    assert len(records) > 3000
    assert_same(new_warehouse, tmp_path, records)


def test_every_case_that_it_can_know(new_warehouse: New, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(input_of.CONFIG)
    ids = {uuid_of(number) for number in OTHER_TYPES}
    requests = {uuid_of(1_000_000 + number) for number in OTHER_TYPES}
    odd = [
        one
        for one in flat(input_of.odd())
        if one.get("eventID") not in ids and one.get("requestId") not in requests
    ]
    records = [
        *flat(input_of.copies()),
        *flat(input_of.corrections()),
        *flat(input_of.joined()),
        *without_tags(flat(input_of.sessions())),
        *flat(input_of.midnight()),
        *odd,
        *without_tags(input_of.records(10_000)),
        *other_cases(),
    ]
    assert_same(new_warehouse, tmp_path, records, config)


def other_cases() -> list[dict[str, Any]]:
    """Return what only the query has to take apart: lists of counts, sizes, tiers, guardrails."""
    entries = [{"key": "inputTokens", "value": 70}, {"key": "outputTokens", "value": "7"}]
    extra = {"inputTokens": 150_000, "cacheReadInputTokens": 60_000, "outputTokens": 5.0}
    service = call(
        8102,
        eventType="AwsServiceEvent",
        requestID=None,
        serviceEventDetails={
            "parentRequestId": uuid_of(1_008_101),
            "additionalEventData": {"additionalEntries": entries},
        },
    )
    parameters = {"modelId": input_of.HAIKU}
    named = {"application": "by metadata", "team": "red", "tenant": "t2", "trace": "no"}
    project = "arn:aws:bedrock-mantle:us-east-1:111122223333:project/proj_1"
    return [
        call(8101, eventTime="2026-11-02T10:15:30.250Z"),
        service,
        call(8103, additionalEventData=extra),
        call(8104, additionalEventData={"serviceTier": {"type": "flex"}, "inputTokenCount": "8"}),
        call(8105, requestParameters=parameters | {"performanceConfig": {"latency": "optimized"}}),
        call(8106, requestParameters=parameters | {"guardrailConfig": {"guardrailIdentifier": "g"}}),
        call(
            8107,
            eventName="ApplyGuardrail",
            requestParameters={"guardrailIdentifier": "g2"},
            responseElements={"usage": {"topicPolicyUnits": 3, "contentPolicyUnits": 2}},
        ),
        call(8108, requestParameters=parameters | {"requestMetadata": named}),
        call(
            8109,
            eventSource="bedrock-mantle.amazonaws.com",
            eventName="CreateInference",
            requestParameters={"model": "openai.gpt-oss-120b", "metadata": named},
            responseElements={"usage": {"inputTokens": 4, "outputTokens": 5}},
            resources=[{"ARN": project, "type": "x"}],
        ),
        call(8110, requestParameters=None, resources=[{"ARN": f"arn:aws:bedrock:us-east-1::foundation-model/{input_of.HAIKU}"}]),
        call(8111, errorCode="ThrottlingException", tokens=(0, 0)),
        call(8112, userIdentity=user_identity("a") | {"onBehalfOf": {"userId": "x"}}),
        call(8113, userIdentity={"type": "AWSService", "invokedBy": "agents.amazonaws.com"}),
        call(8114, userIdentity=role_identity("CI-BedrockRole", "i-0123456789abcdef0")),
        call(8115, eventType="AwsVpceEvents"),
        # Of the same caller and minute, some lack a count that others have.
        call(8120, additionalEventData={"inputTokens": 5}),
        call(8121, additionalEventData={"inputTokens": 6, "outputTokens": 1}),
        call(8122, additionalEventData={"inputTokens": 7, "cacheReadInputTokens": 0}),
        # A request that failed, and was tried again.
        call(8140, errorCode="ThrottlingException"),
        call(8141, eventTime="2026-11-02T10:16:00Z", requestID=uuid_of(1_008_140)),
        logged(8140, tokens=(8, 8)),
        # Corrections, the latest of which has not every count.
        call(8130, tokens=(50, 5)),
        *(
            call(8130 + n, eventTime=f"2026-11-02T1{n}:00:00Z", additionalEventData=counts,
                 addendum={"originalEventID": uuid_of(8130)})
            for n, counts in enumerate(
                ({"inputTokens": 3, "outputTokens": 3}, {"inputTokens": 2}, {"outputTokens": 9}), 1
            )
        ),
        logged(8116, requestMetadata=named, serviceTier="priority", cache=(0, 9), errorCode="X"),
        logged(8117, operation="Converse", performanceConfig={"latency": "optimized"}),
        logged(8118, serviceTier={"type": "flex"}),
    ]  # fmt: skip


def test_parquet_and_csv_say_the_same(new_warehouse: New, tmp_path: Path) -> None:
    records = [*flat(input_of.joined()), *other_cases()]
    folder = tmp_path / "unloaded"
    folder.mkdir()
    csv_file = run_query(records, tmp_path / "result.csv")
    # UNLOAD gives its files names without an ending.
    run_query(records, tmp_path / "one.parquet").rename(folder / "20261101_0001_abc")
    (folder / "query.metadata").write_bytes(b"\x08\x01")
    with new_warehouse() as one, new_warehouse() as other:
        load_result(one, csv_file)
        load_result(other, folder)
        assert figures(one) == figures(other)


@pytest.mark.parametrize("name", STATEMENTS)
def test_every_statement_is_athenas_sql(name: str) -> None:
    parsed = statement(name)
    assert isinstance(parsed, exp.Select if name == "usage" else exp.Create)
    assert "Not run on Athena" in query_text(name, Keys())


def test_the_query_has_the_columns_that_are_read() -> None:
    query = statement("usage")
    assert {column.alias_or_name for column in query.expressions} == COLUMNS


def test_no_part_of_the_query_is_read_twice() -> None:
    named = [table.name for table in statement("usage").find_all(exp.Table)]
    assert len(named) > 8
    assert len(named) == len(set(named))


def test_no_body_is_read() -> None:
    def names(kind: Any) -> Iterable[str]:
        for one in kind.expressions:
            yield one.name
            yield from names(one.args.get("kind") or one)

    columns = columns_of("logs")
    found = {*columns, *(name for kind in columns.values() for name in names(kind))}
    assert not [name for name in found if "body" in name.lower()]
    assert found >= {"inputtokencount", "outputtokencount"}


def test_the_thresholds_are_those_of_list_prices(db: Database) -> None:
    sizes = {n for (n,) in rows(db, "select min_input_tokens from context_bands")}
    query = statement("usage")
    cases = [case for case in query.find_all(exp.Case) if "request_size" in case.sql()]
    found = {int(one.this) for case in cases for one in case.find_all(exp.Literal)}
    assert found == sizes


def test_what_the_query_counts_as_input_never_contains_cached_tokens(db: Database) -> None:
    gross = rows(db, "select family, token_source from input_forms where form = 'gross'")
    assert gross
    assert {source for _, source in gross if not source.startswith(f"{LOG_TOKENS} body")} == set()


def test_keys_of_metadata_are_those_of_the_configuration(db: Database, tmp_path: Path) -> None:
    result = run_query(other_cases(), tmp_path / "result.csv")
    config = tmp_path / "config.toml"
    config.write_text('[metadata]\nkeys = ["tenant"]\n')
    with pytest.raises(DataError, match="tenant"):
        load_result(db, result, config)
    keys = Keys(others=("cost-center",))
    assert "'$.requestMetadata[\"cost-center\"]'" in query_text("usage", keys)
    with pytest.raises(ConfigError, match="key"):
        query_text("usage", Keys(others=("it's",)))


def test_a_result_replaces_days_and_leaves_what_it_does_not_tell(
    db: Database, tmp_path: Path
) -> None:
    records = [
        call(1, tokens=(7, 7)),
        call(2, eventName="InvokeSomethingNew"),
        call(3, eventTime="2026-11-03T08:00:00Z", tokens=(1, 1)),
    ]
    load(db, write_log(tmp_path / "log.json", records))
    before = figures(db)
    result = run_query(records, tmp_path / "result.csv")
    load_result(db, result)
    assert figures(db) == before
    assert before["unknown operations"]
    assert rows(db, "select count(*) from events") == [(0,)]
    # A day that is not among those of the query stays.
    part = run_query(records, tmp_path / "part.csv", first="2026-11-03", last="2026-11-03")
    load_result(db, part, again=True)
    assert figures(db) == before


def test_the_commands(tmp_path: Path) -> None:
    def run(*words: object) -> Any:
        return CliRunner().invoke(main, [str(word) for word in words])

    result, db = run_query([call(1, user="u1", tokens=(7, 7)), call(2, eventTime="2026-11-02 10:00")],
                           tmp_path / "result.csv"), tmp_path / "a.db"  # fmt: skip
    shown = run("load-rollup", result, "--athena", "--db", db)
    assert shown.exit_code == 0
    assert "Calls without a readable time: 1" in shown.stderr
    config = tmp_path / "config.toml"
    config.write_text('[user_aliases]\n"u1" = "One"\n[[team_rules]]\nteam = "t"\ntag = "a=b"\n')
    shown = run("load-rollup", result, "--athena", "--again", "--db", db, "--config", config)
    assert (shown.exit_code, shown.stderr[:16]) == (0, "Tags of sessions")
    with open_warehouse(db) as warehouse:
        assert rows(warehouse, "select user_name from user_costs") == [("One",)]
    shown = run("load-rollup", result, "--db", db)
    assert shown.exit_code == 1
    assert "--athena" in shown.stderr
    other = write_log(tmp_path / "other.csv", [])
    shown = run("load-rollup", other, "--athena", "--db", db)
    assert shown.exit_code == 1
    assert "athena-sql usage" in shown.stderr
    config.write_text("[rollup]\nmost_callers = 1\n")
    many = run_query([call(n, user=f"u{n}") for n in range(1, 6)], tmp_path / "many.csv")
    shown = run("load-rollup", many, "--athena", "--db", db, "--config", config)
    assert "(others)" in shown.stderr
    with open_warehouse(db) as warehouse:
        users = rows(warehouse, "select user_name, calls from user_costs order by 2")
        assert users == [("u1", 1), ("(others)", 4)]
    shown = run("athena-sql", "trail")
    assert shown.stdout == query_text("trail", Keys())


@pytest.mark.parametrize(
    ("column", "value"),
    [("calls", "many"), ("minute", ""), ("token_source_key", "99"), ("guardrail_units", "{")],
)
def test_a_row_of_another_program_is_refused(
    db: Database, tmp_path: Path, column: str, value: str
) -> None:
    result = run_query([call(1)], tmp_path / "result.csv")
    with result.open(newline="") as file:
        (row,) = csv.DictReader(file)
    with result.open("w", newline="") as file:
        writer = csv.DictWriter(file, row.keys())
        writer.writeheader()
        writer.writerow(row | {column: value})
    with pytest.raises(DataError, match=r"result\.csv, row 1"):
        load_result(db, result)
