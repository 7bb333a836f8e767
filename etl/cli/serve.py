"""``bedrock-usage serve``: Datasette over the warehouse."""

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path

import click

from etl import resources
from etl.cli.options import db_option, serve_options
from etl.errors import BedrockUsageError
from etl.warehouse.database import open_warehouse

# Charts draw only the rows that a query returns, so more than Datasette's 1,000 are allowed.
SETTINGS = {
    "max_returned_rows": "5000",
    "sql_time_limit_ms": "10000",
    "facet_time_limit_ms": "2000",
    "suggest_facets": "off",
    "allow_download": "off",
    "max_csv_mb": "50",
    "truncate_cells_html": "200",
}


@click.command()
@serve_options
@db_option
def serve(host: str, port: int, db: Path) -> None:
    """Serve the warehouse with Datasette, on this machine only.

    New rows appear without a restart.
    """
    with open_warehouse(db):
        pass  # brings views and prices up to date before anybody looks
    run_datasette(db, host, port)


def run_datasette(db: Path, host: str, port: int) -> None:
    """Run Datasette until it is stopped."""
    # Imported here because it makes rich print the variables of every traceback: a raw event, with
    # a prompt in it, must never be among them.
    from datasette.cli import cli as datasette_cli

    _require_loopback(host)
    port = _free_port(host, port)
    settings = [word for name, value in SETTINGS.items() for word in ("--setting", name, value)]
    click.echo(f"Datasette at http://{host}:{port}/ (stop with Ctrl-C)", err=True)
    datasette_cli.main(
        [
            "serve",
            str(db),
            "--metadata",
            str(resources.METADATA),
            "--host",
            host,
            "--port",
            str(port),
            *settings,
        ],
        standalone_mode=False,
    )


def _require_loopback(host: str) -> None:
    try:
        is_loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise click.UsageError(
            f"{host} is not a loopback address. The warehouse names users and costs, and these pages"
            " ask for no password: put a proxy with a login before 127.0.0.1"
        )


def _free_port(host: str, port: int) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise BedrockUsageError(
                f"port {port} of {host}: {error.strerror}; try another --port"
            ) from None
        return int(probe.getsockname()[1])
