"""``bedrock-usage load-rollup``: put the days of a rollup into the warehouse."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from etl.cli.shared.loading import apply_configuration
from etl.cli.shared.options import config_option, db_option, profile_option
from etl.cli.shared.signals import stops
from etl.cli.shared.stores import Stores, is_s3
from etl.clock import Clock
from etl.config import load_config
from etl.errors import DataError
from etl.normalise.rollups import TABLES
from etl.normalise.rows import InferenceProfile
from etl.rollup.job import Places
from etl.rollup.output import Manifest, read_bytes, read_manifest, read_rejects, rows_of
from etl.show.numbers import count
from etl.warehouse.database import open_warehouse
from etl.warehouse.demo import refuse_demo
from etl.warehouse.turns import Patience
from etl.warehouse.upkeep.rolled_up_days import (
    Rollup,
    RollupDay,
    RollupLoaded,
)
from etl.warehouse.upkeep.rolled_up_days import (
    load_rollup as load_days,
)
from etl.warehouse.write.batch import Reject


@click.command(name="load-rollup")
@click.argument("uri", metavar="URI")
@click.option(
    "--again", is_flag=True, help="Also days that did not change, to apply other rules to them."
)
@profile_option(" for s3:// addresses")
@click.option("--role-arn", help="The role to assume for s3:// addresses.")
@config_option
@db_option
def load_rollup(
    uri: str,
    again: bool,
    profile: str | None,
    role_arn: str | None,
    config: Path | None,
    db: Path,
) -> None:
    """Load a rollup that `rollup` made.

    URI is its folder or s3:// address. Replaces its days in the warehouse, all or none of them:
    their sums, not their calls. Reports, estimates and pages work as with `load`; single calls stay
    where the logs are. Rules, teams and aliases of the configuration are applied now, so other ones
    need only --again. Days that did not change are skipped.
    """
    settings = load_config(config)
    clock = Clock()
    with stops(clock):
        places = Stores(clock, profile or settings.accounts.profile, role_arn)
        uri = uri if is_s3(uri) else str(Path(uri).resolve())
        manifest = read_manifest(places, uri)
        if manifest is None:
            raise DataError(
                f"{uri} has no manifest.json: name the folder that `bedrock-usage rollup` wrote"
            )
        with open_warehouse(db, create=True, patience=Patience(check=clock.check)) as warehouse:
            refuse_demo(warehouse, db)
            apply_configuration(warehouse, settings, config)
            loaded = load_days(warehouse, rollup_of(places, uri, manifest), again=again)
    click.echo(summary(loaded), err=True)


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


def summary(loaded: RollupLoaded) -> str:
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
