"""The views that users open: expected rows for given calls, and the names that scripts rely on."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlite_utils import Database

from etl import resources
from etl.sql_files import sql_names, sql_text
from etl.warehouse.database import VIEW_LAYERS
from tests.cases import cases
from tests.support import (
    ACCOUNT,
    HAIKU,
    SONNET,
    call,
    load,
    role_identity,
    rows,
    write_log,
    write_metrics,
)

COSTS = (
    "calls failed_calls input_tokens output_tokens cache_read_tokens cache_write_tokens cost_usd"
    " actual_cost_usd estimated_cost_usd unpriced_calls unpriced_tokens is_lower_bound data_source"
)
CONTRACT = {
    "usage_cost": "hour day account_id region model_id user_name application data_source calls failed_calls"
    " input_tokens output_tokens cache_read_tokens cache_write_tokens list_cost_usd cost_usd unpriced_calls"
    " unpriced_tokens is_lower_bound",
    "usage_cost_daily": "day account_id region model_id user_name application data_source calls cost_usd",
    "user_costs": f"user_name {COSTS}",
    "application_costs": f"application {COSTS}",
    "user_breakdown": f"user_name region model_id {COSTS}",
    "application_breakdown": f"application region model_id {COSTS}",
    "model_costs": f"model_id {COSTS}",
    "region_costs": f"region {COSTS}",
    "daily_costs": f"day {COSTS}",
    "calls": "event_time event_id request_id account_id region event_name raw_model_id model_id inference_scope"
    " principal_arn session_name user_name application application_source error_code inference_region"
    " reported_by input_tokens output_tokens cache_read_tokens cache_write_5m_tokens cache_write_1h_tokens"
    " token_source service_tier cost_usd unpriced_tokens is_lower_bound input_price_id output_price_id",
    "discovered_models": "model_id first_seen last_seen calls regions price_status model_name provider_name",
    "token_coverage": "day region model_id calls calls_with_tokens coverage_pct actual_tokens single_caller_tokens"
    " calibrated_tokens call_share_tokens unattributed_tokens unpriced_tokens",
    "unpriced_usage": "raw_model_id region calls unpriced_calls unpriced_tokens",
    "capacity_hours": "day account_id region provisioned_model_arn model_id model_units commitment_duration hours"
    " model_unit_hours calls is_used",
    "guardrail_usage": "day account_id region model_id user_name application guardrail_id policy unit calls units"
    " list_cost_usd cost_usd list_cost_picodollars cost_picodollars price_id missing",
    "price_gaps": "model_id region inference_scope service_tier min_input_tokens token_kind first_day last_day calls"
    " tokens missing near_price_id near_price near_usd_per_mtok command import_row",
    "sync_status": "stream source account_id region covered_from watermark read_at history_from"
    " is_history_complete history_left_days open_windows late_events gap_count error_at error",
    "unattributed_usage": "hour region model_id input_tokens output_tokens",
    "reconciliation": "day region model_id actual_tokens estimated_tokens unattributed_tokens cloudwatch_tokens"
    " difference_tokens",
}
TABLES = {
    "events": "event_id request_id event_time",
    "tokens": "input_tokens output_tokens cache_read_tokens cache_write_5m_tokens cache_write_1h_tokens"
    " image_count service_tier",
    "prices": "model_id region scope service_tier token_kind min_input_tokens usd_per_mtok effective_from"
    " effective_to source checked_on",
    "metric_totals": "period_start period_seconds value is_provisional",
    "usage_hourly": "hour", "inference_profiles": "profile_arn", "rejects": "file position reason",
    "sync_state": "stream", "sync_runs": "run_id", "sync_gaps": "stream",
}  # fmt: skip


@cases("name", [*CONTRACT, *TABLES])
def test_the_names_that_scripts_rely_on(db: Database, name: str) -> None:
    present = {row[1] for row in rows(db, f"pragma table_info({name})")}
    assert set((CONTRACT | TABLES)[name].split()) <= present


@pytest.fixture
def week(db: Database, tmp_path: Path) -> Database:
    """Two days, regions and people, and an application; tokens, estimates, failures."""
    chatbot = role_identity("ChatbotApp-BedrockRole")
    calls = [
        call(1, user="alice", tokens=(1_000_000, 0)),
        call(2, user="alice", tokens=(1_000_000, 0), awsRegion="us-west-2"),
        call(
            3,
            user="alice",
            tokens=(1_000_000, 0),
            requestParameters={"modelId": SONNET},
            eventTime="2026-11-03T09:00:00Z",
        ),
        call(4, userIdentity=chatbot),
        call(5, userIdentity=chatbot, errorCode="ThrottlingException"),
        call(6, user="bob", requestParameters={"modelId": "acme.unknown"}, tokens=(5, 5)),
    ]
    load(db, write_log(tmp_path / "log.json", calls),
         write_metrics(tmp_path / "m.csv", [(HAIKU, "InputTokenCount", 3_000_000)]))  # fmt: skip
    return db


def test_cost_by_user_and_application(week: Database) -> None:
    columns = "calls, failed_calls, input_tokens, cost_usd, actual_cost_usd, estimated_cost_usd, unpriced_calls, data_source"
    alice = (3, 0, 3_000_000, 3.8, 3.8, None, 0, "Actual Tokens from CloudTrail")
    chatbot = (1, 1, 2_000_000, 0.5, None, 0.5, 0, "CloudWatch (Estimated)")
    bob = (1, 0, 5, None, None, None, 1, "Actual Tokens from CloudTrail")
    assert rows(week, f"select user_name, {columns} from user_costs order by 1") == [
        ("ChatbotApp-BedrockRole", *chatbot),
        ("alice", *alice),
        ("bob", *bob),
    ]
    assert rows(week, f"select application, {columns} from application_costs order by 1") == [
        ("ChatbotApp", *chatbot),
        ("Unknown", 4, 0, 3_000_005, 3.8, 3.8, None, 1, "Actual Tokens from CloudTrail"),
    ]


def test_breakdowns_by_region_and_model(week: Database) -> None:
    sonnet = SONNET[3:]
    assert rows(
        week,
        "select user_name, region, model_id, calls, cost_usd from user_breakdown order by 1, 2, 3",
    ) == [
        ("ChatbotApp-BedrockRole", "us-east-1", HAIKU, 1, 0.5),
        ("alice", "us-east-1", HAIKU, 1, 0.25),
        ("alice", "us-east-1", sonnet, 1, 3.3),
        ("alice", "us-west-2", HAIKU, 1, 0.25),
        ("bob", "us-east-1", "acme.unknown", 1, None),
    ]
    assert rows(week, "select application, region, calls from application_breakdown where model_id like '%haiku%'"
                      " order by 1, 2") == [("ChatbotApp", "us-east-1", 1), ("Unknown", "us-east-1", 1),
                                            ("Unknown", "us-west-2", 1)]  # fmt: skip


def test_cost_by_model_region_and_day(week: Database) -> None:
    assert rows(week, "select model_id, cost_usd from model_costs order by 1") == [
        ("acme.unknown", None),
        (HAIKU, 1.0),
        (SONNET[3:], 3.3),
    ]
    assert rows(week, "select region, cost_usd from region_costs order by 1") == [
        ("us-east-1", 4.05),
        ("us-west-2", 0.25),
    ]
    assert rows(week, "select day, cost_usd, calls from daily_costs order by 1") == [
        ("2026-11-02", 1.0, 4),
        ("2026-11-03", 3.3, 1),
    ]


def test_coverage_counts_calls_with_tokens(week: Database) -> None:
    assert rows(week, "select calls, calls_with_tokens, coverage_pct from token_coverage"
                      " where model_id = ? and region = 'us-east-1'", [HAIKU]) == [(2, 1, 50.0)]  # fmt: skip
    assert rows(week, "select sum(calls_with_tokens), sum(calls) from token_coverage") == [(4, 5)]


def test_discovered_models(week: Database) -> None:
    assert rows(
        week,
        "select model_id, first_seen, calls, region_count, price_status from discovered_models order by 1",
    ) == [
        ("acme.unknown", "2026-11-02", 1, 1, "unpriced"),
        (HAIKU, "2026-11-02", 3, 2, "priced"),
        (SONNET[3:], "2026-11-03", 1, 1, "priced"),
    ]


def test_discovered_models_have_the_catalogue_s_names(week: Database) -> None:
    week.execute("insert into foundation_models values (?, 'Claude 3 Haiku', 'Anthropic')", [HAIKU])
    week.execute("insert into foundation_models values ('amazon.not-used', 'Not used', 'Amazon')")
    week.execute("insert into foundation_models values (?, null, 'Anthropic')", [SONNET[3:]])
    names = "select model_id, calls, model_name, provider_name from discovered_models order by 1"
    assert rows(week, names) == [
        ("acme.unknown", 1, None, None),
        (HAIKU, 3, "Claude 3 Haiku", "Anthropic"),
        (SONNET[3:], 1, None, "Anthropic"),
    ]


def test_reconciliation(week: Database) -> None:
    assert rows(week, "select actual_tokens, estimated_tokens, unattributed_tokens, cloudwatch_tokens, difference_tokens"
                      " from reconciliation where model_id = ? and region = 'us-east-1'", [HAIKU]) == [
        (1_000_000, 2_000_000, None, 3_000_000, 0)
    ]  # fmt: skip
    # CloudWatch has no figures there, so there is no difference.
    assert rows(
        week,
        "select cloudwatch_tokens, difference_tokens from reconciliation where region = 'us-west-2'",
    ) == [(None, None)]


ARN = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:application-inference-profile/a1b2c3d4e5f6"
PROFILE = {
    "inferenceProfileArn": ARN,
    "inferenceProfileName": "Search",
    "type": "APPLICATION",
    "models": [{"modelArn": f"arn:aws:bedrock:us-east-1::foundation-model/{HAIKU}"}],
}


@pytest.mark.parametrize("profile_first", [True, False])
def test_an_application_profile_gives_model_price_and_application(
    db: Database, tmp_path: Path, profile_first: bool
) -> None:
    import json

    profile = tmp_path / "profiles.json"
    profile.write_text(json.dumps({"inferenceProfileSummaries": [PROFILE]}))
    through = {"requestParameters": {"modelId": ARN}, "tokens": (1_000_000, 0)}
    log = write_log(tmp_path / "log.json", [
        call(1, **through), call(2, userIdentity=role_identity("ChatbotApp-BedrockRole"), **through),
        call(3, userAgent="MobileApp/2.1.0", **through),
    ])  # fmt: skip
    for file in (profile, log) if profile_first else (log, profile):
        load(db, file)
    # A role name is stronger evidence than a profile, a user agent weaker.
    assert rows(db, "select application, model_id, calls, cost_usd from usage_cost order by 1") == [
        ("ChatbotApp", HAIKU, 1, 0.25),
        ("Search", HAIKU, 2, 0.5),
    ]
    assert rows(db, "select application, application_source from calls order by event_id") == [
        ("Search", "inference profile"),
        ("ChatbotApp", "role name"),
        ("Search", "inference profile"),
    ]


def test_a_profile_that_is_not_loaded_stands_for_itself(db: Database, tmp_path: Path) -> None:
    load(
        db,
        write_log(
            tmp_path / "log.json", [call(1, requestParameters={"modelId": ARN}, tokens=(1, 1))]
        ),
    )
    assert rows(db, "select model_id, application, cost_usd from usage_cost") == [
        ("a1b2c3d4e5f6", "Unknown", None)
    ]


FOLDERS = (*VIEW_LAYERS, "checks", "exports", "load", "pages", "queries", "reports")


@cases("folder", FOLDERS)
def test_every_text_starts_with_a_question_and_is_narrow(folder: str) -> None:
    for name in sql_names(folder):
        text = sql_text(f"{folder}/{name}")
        lines = text.splitlines()
        assert lines[0].startswith("-- ")
        head = " ".join(line for line in lines[:5] if line.startswith("--"))
        assert head.startswith("-- title: ") if folder == "queries" else "?" in head, name
        assert [line for line in lines if len(line) > 88] == [], name
        assert not text.rstrip().endswith(";")
        assert folder not in VIEW_LAYERS or any("Grain:" in line for line in lines[:12]), name


def test_every_file_is_in_a_known_folder() -> None:
    files = {file.parent.name for file in resources.SQL.rglob("*.sql")}
    # Those for Athena are in its own SQL: tests/rollup/test_athena.py.
    assert files <= {*FOLDERS, "macros", "athena"}


def test_staging_joins_nothing() -> None:
    assert not [name for name in sql_names("staging") if " join " in sql_text(f"staging/{name}")]
