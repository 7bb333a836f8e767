"""``bedrock-usage serve``: Datasette over the warehouse, with this program's pages."""

from __future__ import annotations

from pathlib import Path

import click

from etl.cli.shared.options import config_option, db_option, serve_options
from etl.cli.shared.renewing import renew_after_changes
from etl.cli.shared.serving import run_datasette
from etl.cli.shared.signals import endless
from etl.config import BehindProxy, Config, load_config
from etl.warehouse.database import open_warehouse


@click.command()
@serve_options
@click.option(
    "--behind-proxy",
    metavar="HEADER",
    help="A proxy handles the login and names the visitor in this header.",
)
@click.option(
    "--proxy-address",
    multiple=True,
    metavar="ADDRESS",
    help="The proxy's address or network; repeatable.",
)
@config_option
@db_option
def serve(
    host: str,
    port: int,
    behind_proxy: str | None,
    proxy_address: tuple[str, ...],
    config: Path | None,
    db: Path,
) -> None:
    """Serve the warehouse with Datasette; without a login, on this machine only.

    New rows appear without a restart.
    """
    with endless():
        configured = _with_proxy(load_config(config), behind_proxy, proxy_address)
        # Views, prices and forecasts are brought up to date before the first visit.
        with open_warehouse(db) as warehouse:
            renew_after_changes(warehouse)
        run_datasette(db, host, port, configured, config)


def _with_proxy(config: Config, header: str | None, addresses: tuple[str, ...]) -> Config:
    """Return the configuration with the options applied."""
    if header is None and not addresses:
        return config
    if header is None or not addresses:
        raise click.UsageError("--behind-proxy and --proxy-address must be given together")
    try:
        return config.with_proxy(BehindProxy(header=header, addresses=addresses))
    except ValueError as error:
        raise click.UsageError(f"--behind-proxy: {error}") from None
