"""``bedrock-usage serve``: Datasette over the warehouse, with our pages."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from pathlib import Path

import click

from etl.cli.options import db_option, serve_options
from etl.errors import BedrockUsageError
from etl.warehouse.database import open_warehouse


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
    # Imported here because Datasette makes rich print the variables of every traceback: a raw
    # event, with a prompt in it, must never be among them.
    import uvicorn

    from etl.web.app import build_datasette

    _require_loopback(host)
    with _listen(host, port) as listener:
        app = build_datasette(db).app()
        click.echo(f"Datasette at {_url(listener)} (stop with Ctrl-C)", err=True)
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])


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
