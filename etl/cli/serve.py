"""``bedrock-usage serve``: Datasette over the warehouse.

Datasette names a database after its file, and ``metadata.yml`` and every link go by that name. Here
it is always ``bedrock_usage``, so that a warehouse in any file has its descriptions and queries.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from etl import resources
from etl.cli.options import db_option, serve_options
from etl.errors import BedrockUsageError
from etl.warehouse.database import open_warehouse

if TYPE_CHECKING:
    from datasette.app import Datasette

DATABASE = "bedrock_usage"

SETTINGS = {
    # Charts draw only the rows that a query returns, so more than Datasette's 1,000 are allowed.
    "max_returned_rows": 5000,
    "sql_time_limit_ms": 10_000,
    "facet_time_limit_ms": 2000,
    "suggest_facets": False,
    "allow_download": False,
    "max_csv_mb": 50,
    "truncate_cells_html": 200,
    # A browser would keep showing what it has for some seconds after a load.
    "default_cache_ttl": 0,
}


# A page counts all the rows that it shows some of. Where that takes longer, it shows no number:
# over ten million calls it takes a minute, and the page itself a moment.
COUNT_LIMIT_MS = 200


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
    import uvicorn

    _require_loopback(host)
    with _listen(host, port) as listener:
        app = build_datasette(db).app()
        click.echo(f"Datasette at {_url(listener)} (stop with Ctrl-C)", err=True)
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])


def build_datasette(db: Path) -> Datasette:
    """Return Datasette over this warehouse alone, read-only, as ``bedrock_usage``."""
    # Imported here because it makes rich print the variables of every traceback: a raw event, with
    # a prompt in it, must never be among them.
    from datasette.app import Datasette
    from datasette.database import Database
    from datasette.utils import parse_metadata

    class Warehouse(Database):  # type: ignore[misc]
        async def execute(
            self, sql: str, params: object = None, truncate: bool = False, **options: Any
        ) -> Any:
            # What a person asks for is truncated, and may take its time.
            if sql.startswith("select count(*) from ") and not truncate:
                options.setdefault("custom_time_limit", COUNT_LIMIT_MS)
            return await super().execute(sql, params, truncate, **options)

    metadata = parse_metadata(resources.METADATA.read_text(encoding="utf-8"))
    datasette = Datasette(metadata=metadata, settings=SETTINGS)
    # Without files Datasette offers an empty database in memory.
    datasette.remove_database("_memory")
    datasette.add_database(Warehouse(datasette, path=str(db)), name=DATABASE)
    return datasette


def _require_loopback(host: str) -> None:
    try:
        is_loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise click.UsageError(
            f"{host} is not a loopback address. The warehouse names users and costs, and these"
            " pages ask for no password: put a proxy with a login before 127.0.0.1"
        )


def _listen(host: str, port: int) -> socket.socket:
    # The socket itself goes to the server: a free port that was only looked up may be taken since.
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        # Whoever reads the address may use it at once; the first requests wait in line.
        listener.listen()
    except OSError as error:
        listener.close()
        raise BedrockUsageError(
            f"port {port} of {host}: {error.strerror}; choose another with --port"
        ) from None
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
