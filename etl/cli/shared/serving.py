"""Run Datasette over a warehouse; beyond this machine only with a login. Or answer an agent."""

from __future__ import annotations

import ipaddress
import socket
import warnings
from pathlib import Path

import click

from etl.agents import NEEDS_SDK, has_sdk
from etl.cli.shared.signals import Terminated
from etl.config import Config, Serve
from etl.errors import BedrockUsageError, ConfigError


# Datasette is imported here, not at the top (DECISIONS 18).
def run_datasette(
    db: Path,
    host: str,
    port: int,
    config: Config | None = None,
    config_path: Path | None = None,
) -> None:
    """Run Datasette until it is stopped."""
    # Imported here because Datasette makes rich print the variables of every traceback, and a raw
    # event, with a prompt in it, must never be among them.
    import uvicorn

    from etl.web import connections, vega_bundle
    from etl.web.app import build_datasette

    config = config or Config()
    _check_exposure(host, config.serve)
    with _listen(host, port) as listener:
        app = build_datasette(db, config, config_path, host).app()
        vega_bundle.prepare()
        # Datasette starts the facets one by one and abandons the rest when one fails.
        warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
        click.echo(f"Datasette at {_url(listener)} (stop with Ctrl-C)", err=True)
        settings = uvicorn.Config(
            connections.at_most(app),
            log_level="warning",
            # Otherwise any process on this machine could pose as the proxy: uvicorn would take
            # the client's address from X-Forwarded-For.
            proxy_headers=False,
            ws="none",
            **connections.settings(),
        )
        try:
            uvicorn.Server(settings).run(sockets=[listener])
        except Terminated:
            raise
        except KeyboardInterrupt:
            pass  # the person at the keyboard pressed Ctrl-C


def run_agents(db: Path) -> None:
    """Answer an agent over stdin and stdout until it ends; raise ConfigError without the SDK."""
    if not has_sdk():
        raise ConfigError(NEEDS_SDK)
    # An extra, which takes half a second to import.
    from etl.agents.stdio import serve_stdio

    # Not sys.stdout: it escapes what it writes, and JSON does that itself.
    with open(0, "rb", closefd=False) as stdin, open(1, "wb", closefd=False) as stdout:
        serve_stdio(db, stdin, stdout)


# A configured login is required on loopback too (DECISIONS 59).
def _check_exposure(host: str, serve: Serve) -> None:
    """Refuse a public address without a login, and settings that have no effect without one."""
    if not serve.has_login and (serve.restrictions or serve.host_names):
        raise ConfigError(
            "serve: restrictions and host_names need a server with a login; also set passwords,"
            " tokens or behind_proxy"
        )
    if not serve.has_login and not _is_loopback(host):
        raise click.UsageError(
            f"{host} is not a loopback address. The warehouse contains user names and costs:"
            " before others can reach it, set passwords or tokens under [serve] in"
            " bedrock_usage.toml, or pass --behind-proxy (docs/pages.md#sharing-it)"
        )
    if host in ("", "0.0.0.0", "::") and not serve.host_names:  # noqa: S104
        raise click.UsageError(
            f"--host {host or repr(host)} is every address of this machine: set host_names, the"
            " names that it is reached by, under [serve] in bedrock_usage.toml"
        )


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _listen(host: str, port: int) -> socket.socket:
    # The socket itself is passed to the server: a free port could be taken in the meantime.
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        # The printed address works at once; the first requests are queued.
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
