"""Rollups for tests, and what a warehouse says, by names."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from etl.cli.shared.rolling_up import make_job, make_template, rollup_of
from etl.cli.shared.stores import Stores, open_stores
from etl.clock import Clock
from etl.config import Config, load_config
from etl.normalise.rollups import MOST_CALLERS, TABLES
from etl.normalise.token_kinds import COUNT_COLUMNS, UNKNOWN_CALLS
from etl.rollup.engines import engine_for
from etl.rollup.job import Job
from etl.rollup.output import Manifest, read_manifest
from etl.rollup.run import Engine, RollupResult, run_rollup
from etl.warehouse.database import transaction
from etl.warehouse.upkeep.rolled_up_days import RollupLoaded
from etl.warehouse.upkeep.rolled_up_days import load_rollup as load_days
from etl.warehouse.write.minutes import renew_minutes

NOW = datetime(2026, 11, 30, tzinfo=UTC)

EngineOf = Callable[[Job], AbstractContextManager[Engine]]
# The rows of a rollup by day and table.
Tables = dict[tuple[str, str], list[tuple[Any, ...]]]
MakeEngine = Callable[[bytes], EngineOf]


def local(template: bytes) -> EngineOf:
    return engine_for("local", template)


def roll_up(
    paths: Iterable[Path],
    output: Path,
    engine: MakeEngine = local,
    config: Path | None = None,
    now: datetime = NOW,
    most_callers: int = MOST_CALLERS,
    **options: Any,
) -> RollupResult:
    """Make a rollup with the configuration of a file."""
    settings = load_config(config)
    template = make_template(settings, config, None)
    job = make_job(settings, str(output), None, None, most_callers)
    return run_rollup(job, [str(path) for path in paths], engine(template), now, **options)


def places() -> Stores:
    return open_stores(None, None)


def manifest_of(output: Path) -> Manifest:
    manifest = read_manifest(Stores(Clock(), None), str(output))
    assert manifest
    return manifest


def load_it(db: Database, output: Path, **options: Any) -> RollupLoaded:
    """Load a rollup into a warehouse."""
    stores = Stores(Clock(), None)
    return load_days(db, rollup_of(stores, str(output), manifest_of(output)), **options)


def tables_of(output: Path) -> Tables:
    """Return the rows of a rollup by day and table."""
    manifest = manifest_of(output)
    rollup = rollup_of(Stores(Clock(), None), str(output), manifest)
    found = {
        (day, table): list(rollup.rows_of(table, day)) for day in manifest.days for table in TABLES
    }
    return {key: rows for key, rows in found.items() if rows}


def settings_of(config: Path) -> Config:
    return load_config(config)


_WHO = (
    "account_id, region, endpoint, model_id, service_tier, min_input_tokens, variant, user_name,"
    " alias, application, application_source, label, team, team_source"
)
_NAMED = (
    " join accounts using (account_key) join rate_keys using (rate_key)"
    " join models using (model_key) join regions using (region_key) join users using (user_key)"
    " join applications using (application_key) join teams using (team_key)"
)
_KNOWN = ", ".join(
    ("calls", "failed_calls", *COUNT_COLUMNS, *UNKNOWN_CALLS, "input_contradictions")
)

_FIGURES = {
    "hours": f"select hour, {_WHO}, token_source_key, {_KNOWN} from usage_hourly{_NAMED}"
    " where calls > 0 or failed_calls > 0",
    "days": f"select day, {_WHO}, token_source_key, {_KNOWN} from usage_daily{_NAMED}"
    " where calls > 0 or failed_calls > 0",
    "calls by the minute": f"select hour, {_WHO}, unknown_kinds, minutes, input"
    f" from call_minutes{_NAMED}",
    "tokens by the minute": "select hour, account_id, region, endpoint, model_id, service_tier,"
    " min_input_tokens, variant, token_kind, minutes from known_minutes"
    " join accounts using (account_key) join rate_keys using (rate_key)"
    " join models using (model_key) join regions using (region_key)",
    "guardrails": "select day, account_id, region, model_id, user_name, application, team,"
    " guardrail_use, calls from guardrail_daily join accounts using (account_key)"
    " join regions using (region_key) join models using (model_key) join users using (user_key)"
    " join applications using (application_key) join teams using (team_key)"
    " join guardrail_uses using (guardrail_use_key)",
    "estimates": "select hour, account_id, region, canonical_model_id,"
    " sum(estimated_input_tokens), sum(estimated_output_tokens), sum(estimated_calls)"
    f" from usage_hourly{_NAMED} group by 1, 2, 3, 4 having sum(estimated_calls) > 0",
    "totals": "select hour, account_id, region, endpoint, cloudwatch_model_id, metric_kind, value"
    " from metric_hourly join accounts using (account_key) join regions using (region_key)",
    "operations": "select event_time, event_id, event_source, event_name, user_name, resource"
    " from control_events join operations using (operation_key) join users using (user_key)",
    "unknown operations": "select event_time, event_id, event_source, event_name, user_name"
    " from unknown_operations join operations using (operation_key) join users using (user_key)",
    "profiles": "select profile_arn, profile_name, application, tags from inference_profiles",
    "costs": "select day, account_id, region, model_id, user_name, application, team, calls,"
    " failed_calls, cost_usd, unpriced_calls, unpriced_tokens from usage_cost"
    " where data_source like 'Actual%'",
}


def figures(db: Database) -> dict[str, list[tuple[Any, ...]]]:
    """Return what a warehouse says, by names."""
    with transaction(db):
        renew_minutes(db)
    return {name: sorted(db.execute(sql).fetchall(), key=repr) for name, sql in _FIGURES.items()}
