"""What the commands that make and load rollups share with ``sync``."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import click
from sqlite_utils import Database

from etl.cli.shared.loading import MESSAGES_SHOWN, apply_configuration, reading_keys
from etl.cli.shared.stores import Stores, is_s3, open_stores
from etl.clock import Clock
from etl.config import Config
from etl.errors import DataError
from etl.normalise.rollups import MOST_CALLERS, TABLES
from etl.normalise.rows import InferenceProfile
from etl.rollup.athena import Read as AthenaRead
from etl.rollup.athena import read_result, wanted_metadata
from etl.rollup.engines import engine_for
from etl.rollup.job import Job, Places
from etl.rollup.others import OTHERS
from etl.rollup.output import Manifest, parquet, read_bytes, read_manifest, read_rejects, rows_of
from etl.rollup.run import RollupResult, run_rollup
from etl.show.escaping import harmless
from etl.show.numbers import count
from etl.warehouse.database import open_unchanged
from etl.warehouse.scratch import open_trial, template_of
from etl.warehouse.upkeep.rolled_up_days import Rollup, RollupDay, RollupLoaded
from etl.warehouse.upkeep.rolled_up_days import load_rollup as load_days
from etl.warehouse.write.batch import Reject


def roll_up_after_sync(
    warehouse: Database,
    config: Config,
    config_path: Path | None,
    clock: Clock,
    profile: str | None,
) -> bool:
    """Bring the rollup of the configuration up to date and load it; return whether all was read."""
    settings, is_complete = config.rollup, True
    if settings.output is None:
        return True
    if settings.inputs:
        parquet()
        template = make_template(config, config_path, None)
        result = run_rollup(
            make_job(config, settings.output, profile, None, settings.most_callers),
            settings.inputs,
            engine_for(settings.engine, template),
            clock.now(),
            check=clock.check,
        )
        report_rollup(result)
        is_complete = result.is_complete
    loaded = load_days(warehouse, find_rollup(Stores(clock, profile), settings.output))
    click.echo(loaded_lines(loaded), err=True)
    return is_complete


def find_rollup(places: Places, uri: str) -> Rollup:
    """Return a rollup to load. Raises DataError if there is none."""
    uri = _full_name(uri)
    manifest = read_manifest(places, uri)
    if manifest is None:
        raise DataError(
            f"{uri} has no manifest.json: name the folder that `bedrock-usage rollup` wrote, or add"
            " --athena for the result of a query"
        )
    return rollup_of(places, uri, manifest)


def athena_rollup(settings: Config, places: Places, uri: str, now: datetime) -> AthenaRead:
    """Return a result of the query for Athena, with a rollup to load.

    Raises DataError if it is none, or was asked for other keys of metadata than the configuration
    looks at.
    """
    uri, keys = _full_name(uri), reading_keys(settings)
    read = read_result(places, uri, keys, now, settings.rollup.most_callers)
    result = read.result
    found = result.metadata_keys
    if found is not None and (missing := wanted_metadata(keys) - found):
        raise DataError(
            f"{uri} tells nothing of the request metadata {', '.join(sorted(missing))}, which the"
            " configuration looks at: run the query again as `bedrock-usage athena-sql usage`"
            " prints it with this configuration"
        )
    if settings.team_settings.tags:
        click.echo("Tags of sessions are not in it: no team is found by them", err=True)
    if result.rejected:
        click.echo(f"Calls without a readable time: {result.rejected:,}, left out", err=True)
    if result.other_events:
        click.echo(f"Events that are no calls: {result.other_events:,}, left out", err=True)
    return read


def _full_name(uri: str) -> str:
    return uri if is_s3(uri) else str(Path(uri).resolve())


def make_job(
    settings: Config,
    output: str,
    profile: str | None,
    role_arn: str | None,
    most_callers: int = MOST_CALLERS,
) -> Job:
    """Return the job that the configuration describes."""
    keys = reading_keys(settings)
    return Job(
        output=_full_name(output),
        keys=keys,
        open_places=partial(open_stores, profile, role_arn),
        # The hashes are compared within a run only, so nothing lasting has to leave this machine.
        secret=secrets.token_hex(32),
        kept_keys=tuple(sorted({*keys.stored, *settings.team_settings.tags})),
        most_callers=most_callers,
    )


def make_template(settings: Config, config: Path | None, db: Path | None) -> bytes:
    """Return the warehouse that parts are counted in, with the configuration."""
    with ExitStack() as stack:
        like = stack.enter_context(open_unchanged(db)) if db else None
        trial = stack.enter_context(open_trial(like))
        apply_configuration(trial, settings, config)
        return template_of(trial)


def report_rollup(result: RollupResult) -> None:
    """Print what a run did, on stderr."""
    for file, position, reason in result.rejects[:MESSAGES_SHOWN] if result.rejected else ():
        click.echo(harmless(f"{file}, {position}: {reason}"), err=True)
    if result.rejected > MESSAGES_SHOWN:
        click.echo("... and more; the file of rejects has them", err=True)
    for day in result.days_kept:
        click.echo(f"{day} stays as it was: files of it are no longer there", err=True)
    manifest = result.manifest
    if manifest is None or not (result.days or result.files):
        click.echo(f"Nothing new in {count(result.files_unchanged, 'file')}", err=True)
        return
    counts = manifest.counts
    lines = [
        f"Files             {result.files:,} read, {result.files_unchanged:,} unchanged",
        f"Events read       {counts['events_read']:,}",
        f"Bedrock calls     {counts['calls']:,}, and {counts['failed_calls']:,} failed ones",
        f"Days              {len(result.days):,} counted, {len(manifest.days):,} in the rollup",
        f"Rows              {counts['rows']:,}",
        f"Rejected          {result.rejected:,}",
    ]
    if others := counts["callers_in_others"]:
        lines.append(others_line(others))
    click.echo("\n".join(lines), err=True)


def others_line(callers: int) -> str:
    """Return what is said of callers that were too many."""
    return (
        f"{OTHERS:18}{count(callers, 'caller')} of days with too many: the sums are whole, their"
        " names are not kept"
    )


def rollup_of(places: Places, uri: str, manifest: Manifest) -> Rollup:
    """Return a rollup to load, whose files are read as they are needed."""

    def rows(table: str, day: str) -> Iterator[tuple[Any, ...]]:
        for file in manifest.days[day]:
            if file.table == table:
                yield from rows_of(read_bytes(places, uri, file.path), TABLES[table].columns)

    return Rollup(
        uri,
        manifest.rollup_id,
        manifest.made_at,
        [
            RollupDay(day, manifest.digest_of(day), manifest.calls_of(day))
            for day in sorted(manifest.days)
        ],
        rows,
        [InferenceProfile(*row) for row in manifest.profiles],
        [Reject(*reject) for reject in read_rejects(places, uri, manifest)],
        manifest.roots,
    )


def loaded_lines(loaded: RollupLoaded) -> str:
    """Return the result as lines of text."""
    unchanged = f", {loaded.unchanged:,} unchanged" if loaded.unchanged else ""
    lines = [
        f"Days              {len(loaded.days):,} loaded{unchanged}",
        f"Bedrock calls     {loaded.calls:,} in the sums, of {count(loaded.callers, 'caller')}",
        f"CloudWatch values {loaded.metric_values:,} new or changed",
    ]
    if loaded.calls_replaced:
        lines.append(f"Replaced          {count(loaded.calls_replaced, 'stored call')}")
    return "\n".join(lines)
