"""``bedrock-usage notify``: messages to people, and whether they arrive."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from etl.cli.shared.options import again_option, config_option, db_option, profile_option
from etl.clock import Clock
from etl.config import Config, load_config
from etl.errors import ConfigError
from etl.notify.contents import DIGEST, TEST, digest, is_read, last_period
from etl.notify.document import as_html, as_text, as_title
from etl.notify.run import send_due, targets_for
from etl.show.deliveries import print_deliveries
from etl.show.escaping import harmless
from etl.warehouse.database import open_warehouse
from etl.warehouse.messages import add_message, add_targets, again, hold, latest_deliveries
from etl.warehouse.turns import transaction

_NO_TARGETS = "no target is told of {}: add one under [[notify.targets]] (docs/budgets.md)"


@click.group()
def notify() -> None:
    """Send messages: a test, a digest, and what could not be sent before.

    Where they go is [[notify.targets]] in the configuration (docs/budgets.md).
    """


@notify.command()
@profile_option(" for SNS")
@config_option
@db_option
def test(profile: str | None, config: Path | None, db: Path) -> None:
    """Send a test message to every target."""
    settings, clock = load_config(config), Clock()
    names = [target.name for target in settings.notify.targets]
    if not names:
        raise ConfigError(_NO_TARGETS.format("anything"))
    with open_warehouse(db, create=True) as warehouse:
        with transaction(warehouse):
            add_message(warehouse, TEST, clock.now(), names)
        sys.exit(0 if send_due(warehouse, settings, clock, profile, _report) else 1)


@notify.command()
@profile_option(" for SNS")
@config_option
@db_option
def send(profile: str | None, config: Path | None, db: Path) -> None:
    """Send what is due: what was not sent, or failed and may be tried again.

    `bedrock-usage sync` and `budgets` do the same.
    """
    settings, clock = load_config(config), Clock()
    with open_warehouse(db) as warehouse:
        sys.exit(0 if send_due(warehouse, settings, clock, profile, _report) else 1)


@notify.command("log")
@click.option(
    "--last", type=click.IntRange(1, 10_000), default=50, show_default=True, help="So many."
)
@db_option
def log_command(last: int, db: Path) -> None:
    """Show which messages were sent, the latest first, and why others were not."""
    with open_warehouse(db) as warehouse:
        print_deliveries(latest_deliveries(warehouse, last))


@notify.command("digest")
@click.option("--daily", "word", flag_value="day", help="Of yesterday, UTC.")
@click.option("--weekly", "word", flag_value="week", help="Of last week, Monday to Sunday, UTC.")
@click.option(
    "--print", "shown", type=click.Choice(["text", "html"]), help="Print it; send nothing."
)
@again_option("Send it again if it was sent before.")
@profile_option(" for SNS")
@config_option
@db_option
def digest_command(
    word: str | None,
    shown: str | None,
    is_again: bool,
    profile: str | None,
    config: Path | None,
    db: Path,
) -> None:
    """Send what was spent, what changed, the budgets, and what is not certain.

    Each digest is sent once, when all of its days are read, or at noon UTC of the day after them:
    run it as often as you like, such as after every sync.
    """
    if word is None:
        raise click.UsageError("Missing option: --daily or --weekly")
    settings, clock = load_config(config), Clock()
    period = last_period(word, clock.now().date())
    with open_warehouse(db) as warehouse:
        if shown is not None:
            document = digest(warehouse, period, settings.notify.url, clock.now())
            body = as_html(document) if shown == "html" else as_text(document)
            click.echo(body if shown == "html" else f"{as_title(document)}\n\n{body}")
            return
        names = _targets(settings)
        with transaction(warehouse):
            is_new = add_message(warehouse, DIGEST, clock.now(), names, period.subject) is not None
            if is_again and not is_new:
                again(warehouse, DIGEST, period.subject, names)
            # Targets may be new, or of another configuration.
            is_new |= add_targets(warehouse, DIGEST, period.subject, names)
            until = None if is_again or is_read(warehouse, period) else period.latest_send
            is_waiting = hold(warehouse, DIGEST, period.subject, until)
        if is_waiting and until is not None and clock.now() < until:
            _report(
                f"Waits             the digest of {period}, until all of it is read, or {until}"
            )
        elif not (is_new or is_waiting or is_again):
            _report(f"Sent before       the digest of {period}: --again sends it again")
        sys.exit(0 if send_due(warehouse, settings, clock, profile, _report) else 1)


def _targets(settings: Config) -> list[str]:
    names = targets_for(settings, DIGEST)
    if not names:
        raise ConfigError(_NO_TARGETS.format("digests"))
    return names


def _report(line: str) -> None:
    click.echo(harmless(line), err=True)
