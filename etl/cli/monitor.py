"""``bedrock-usage monitor``: live metrics in CloudWatch, with a dashboard and alarms on them."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, NamedTuple

import click
from sqlite_utils import Database

from etl.cli.shared.consent import is_agreed, require_consent
from etl.cli.shared.option_types import moment_of
from etl.cli.shared.options import (
    config_option,
    db_option,
    dry_run_option,
    profile_option,
    since_option,
    yes_option,
)
from etl.cli.shared.signals import stops
from etl.clock import Clock
from etl.config import TOPIC_ARN, Config, Monitor, load_config
from etl.errors import AccessError, BedrockUsageError, ConfigError
from etl.monitor import cloudwatch_dashboard as board
from etl.monitor import removal
from etl.monitor.alarms import make_alarm, plan_alarm
from etl.monitor.cloudwatch import explain_put, open_place
from etl.monitor.plan import is_chosen
from etl.monitor.prices import DASHBOARD, dollars
from etl.monitor.publish import Publisher, agree
from etl.monitor.show import alarm_lines, plan_lines, result_lines
from etl.show.escaping import harmless, json_text
from etl.sources.aws import Place
from etl.times import utc_text
from etl.warehouse import published_metrics as ledger
from etl.warehouse.database import open_warehouse
from etl.warehouse.demo import is_demo
from etl.warehouse.lock import sync_lock
from etl.warehouse.published_metrics import Target

_EMAIL = re.compile(r"[^\s@]+@[^\s@]+")
_HIGHEST_LIMIT = Decimal(10**9)

_region_option = click.option(
    "--region", help="The region of CloudWatch. [default: from the configuration]"
)
_yes_option = yes_option("Accept the price; do not ask.")


def _shared(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that all commands of the group have."""
    for option in (db_option, config_option, _region_option, profile_option(), _yes_option):
        command = option(command)
    return dry_run_option("Only print the plan and its price.")(command)


class _MonitorSession(NamedTuple):
    """What every command works with: an open warehouse, the settings, where CloudWatch is."""

    warehouse: Database
    config: Config
    place: Place


@click.group()
def monitor() -> None:
    """Show usage and cost live in CloudWatch: metrics, a dashboard, alarms.

    A metric costs $0.30 a month for each pair of application (or team) and model, not per call.
    Every command shows its price first, and asks.
    """


@monitor.command()
@since_option("2d", default="1d")
@_shared
def publish(since: timedelta | datetime | None, dry_run: bool, yes: bool, **where: Any) -> None:
    """Publish tokens and costs to CloudWatch, in five-minute periods.

    Each period is published once. A later change is published as the difference, so only the
    statistic Sum is meaningful. The namespace is Custom/BedrockUsage; the dimensions are
    Application and ModelId, or Team and ModelId with by = "team" under [monitor].
    """
    with _open_session(**where) as (warehouse, config, place):
        publisher = Publisher(warehouse, place, config.monitor)
        start = moment_of(since, place.clock.now())
        plan = publisher.plan(since=start)
        _print_lines(plan_lines(plan), err=not dry_run)
        if dry_run:
            return
        question = f"Publish, for up to {dollars(plan.a_month)} a month?"
        plan = agree(publisher, plan, lambda _: is_agreed(question, yes))
        with stops(place.clock):
            result = publisher.run(plan)
    _print_lines(result_lines(plan, result), err=True)
    sys.exit(1 if result.left or plan.left_out else 0)


@monitor.command()
@_shared
def dashboard(dry_run: bool, yes: bool, **where: Any) -> None:
    """Create or update the dashboard BedrockUsage in CloudWatch.

    It shows tokens by application, cost by application and model, the month's projected cost and
    the daily limits; with by = "team" under [monitor], by team. Run it again to add new
    applications or teams. --dry-run prints the dashboard's JSON.
    """
    with _open_session(**where) as (warehouse, config, place):
        target = ledger.find_target(warehouse, place.account_id, place.region)
        settings, limits = config.monitor, ledger.limits(warehouse, target)
        names = ledger.dearest_names(warehouse, target, settings.by, board.MOST_NAMES)
        body = board.dashboard_body(place.region, settings.metrics, names, limits, settings.by)
        plan = board.plan_dashboard(place, body)
        price = DASHBOARD if plan.action == "create" else Decimal(0)
        _print_lines(
            [
                f"Dashboard         {board.NAME}: {plan.action}",
                f"Price             {dollars(price)} a month (an account's first three are free)",
            ],
            err=True,
        )
        if dry_run:
            click.echo(json_text(plan.body))
            return
        if plan.action == "keep":
            return
        require_consent(f"Create the dashboard for {dollars(price)} a month?", yes or not price)
        for message in board.put_dashboard(place, plan):
            click.echo(f"CloudWatch says   {harmless(message)}", err=True)
    click.echo(f"Done              open it in CloudWatch, Dashboards, {board.NAME}", err=True)


def _limit(_: click.Context, __: click.Parameter, text: str) -> Decimal:
    try:
        limit = Decimal(text)
    except InvalidOperation:
        limit = Decimal(0)
    if not (limit.is_finite() and 0 < limit <= _HIGHEST_LIMIT):
        raise click.BadParameter(f"{text!r} is not an amount in dollars above 0")
    return limit


def _form(pattern: re.Pattern[str], example: str) -> Callable[..., str | None]:
    def check(_: click.Context, __: click.Parameter, text: str | None) -> str | None:
        if text is not None and not pattern.fullmatch(text):
            raise click.BadParameter(f"{text!r} does not look like {example}")
        return text

    return check


@monitor.command()
@click.option("--application", required=True, help="The application, by its name in the reports.")
@click.option("--daily-limit", required=True, callback=_limit, help="Dollars per day (UTC).")
@click.option(
    "--topic",
    callback=_form(TOPIC_ARN, "arn:aws:sns:us-east-1:111122223333:NAME"),
    help="The ARN of an SNS topic to notify.",
)
@click.option(
    "--email",
    callback=_form(_EMAIL, "name@example.com"),
    help="An address to notify; creates a topic and subscribes the address.",
)
@_shared
def alarm(
    application: str,
    daily_limit: Decimal,
    topic: str | None,
    email: str | None,
    dry_run: bool,
    yes: bool,
    **where: Any,
) -> None:
    """Raise an alarm when an application's daily cost exceeds a limit.

    The alarm has its own metric, DailyCostUSD, which `monitor publish` publishes from then on. The
    metric costs $0.30 a month, the alarm $0.10.
    """
    if topic and email:
        raise click.UsageError("--topic cannot be combined with --email")
    with _open_session(**where) as (warehouse, config, place):
        target = ledger.find_target(warehouse, place.account_id, place.region)
        is_new = application not in ledger.limits(warehouse, target)
        if is_new:
            _check_room(warehouse, target, config.monitor)
        plan = plan_alarm(
            place, application, daily_limit, topic=topic, email=email, is_new_limit=is_new
        )
        _print_lines(alarm_lines(plan, daily_limit), err=not dry_run)
        if not ledger.has_application(warehouse, application):
            name = harmless(application)
            click.echo(f"Note              no calls of {name} so far", err=True)
        if dry_run:
            return
        price = plan.a_month
        require_consent(f"Create the alarm for {dollars(price)} a month?", yes or not price)
        make_alarm(place, plan)
        target = ledger.ensure_target(warehouse, target)
        ledger.save_limit(warehouse, target, application, str(daily_limit))
        if is_new:
            now = utc_text(place.clock.now())
            ledger.save_agreement(warehouse, target, target.agreed_metrics + 1, now)
    if plan.subscribes:
        click.echo(f"Confirm           the email that AWS has sent to {plan.email}", err=True)
    click.echo("Done              it takes effect with the next `monitor publish`", err=True)


def _check_room(warehouse: Database, target: Target, settings: Monitor) -> None:
    """Raise ConfigError if one more metric is too many: then none would be published at all."""
    known = [one for one in ledger.known_series(warehouse, target) if is_chosen(one, settings)]
    used = len(known) + len(ledger.limits(warehouse, target))
    if used >= settings.max_metrics:
        raise ConfigError(
            f"the alarm's metric would be one more than max_metrics allows: {used:,} of"
            f" {settings.max_metrics:,} are used. Raise it under [monitor], or list fewer metrics"
        )


@monitor.command()
@_shared
def remove(dry_run: bool, yes: bool, **where: Any) -> None:
    """Delete the dashboard, alarms and topic that these commands created.

    Nothing else is deleted. Custom metrics cannot be: without new values they cost nothing, and
    CloudWatch drops them after 15 months. Your agreement to the price is cancelled, so the next
    publish asks again.
    """
    with _open_session(**where) as (warehouse, config, place):
        things = removal.plan_removal(place)
        lines = [f"Delete            {thing.kind} {harmless(thing.name)}" for thing in things]
        _print_lines(lines or ["There is nothing to delete."], err=not dry_run)
        if dry_run:
            return
        if things:
            require_consent("Delete?", yes)
            removal.remove(place, things)
        target = ledger.find_target(warehouse, place.account_id, place.region)
        ledger.drop_limits(warehouse, target)
        ledger.save_agreement(warehouse, target, 0, utc_text(place.clock.now()))
        if config.monitor.publish_after_sync or config.monitor.accept_usd_a_month:
            click.echo(
                "Note              the configuration still publishes: check publish_after_sync"
                " and accept_usd_a_month under [monitor]",
                err=True,
            )
    click.echo(
        "Metrics           cannot be deleted; without new values they cost nothing and disappear"
        " after 15 months",
        err=True,
    )


@contextmanager
def _open_session(
    *, profile: str | None, region: str | None, config: Path | None, db: Path
) -> Iterator[_MonitorSession]:
    """Lock and open the warehouse, and open a way to CloudWatch."""
    settings = load_config(config)
    with open_warehouse(db) as warehouse, sync_lock(db):
        if is_demo(warehouse):
            raise BedrockUsageError(
                f"{db} holds the demo's data, which is not real usage: none of it is published."
                " Name another warehouse with --db"
            )
        place = open_place(settings, Clock(), profile=profile, region=region)
        try:
            yield _MonitorSession(warehouse, settings, place)
        except AccessError as error:
            raise AccessError(explain_put(error)) from None


def _print_lines(lines: Any, *, err: bool) -> None:
    for line in lines:
        click.echo(line, err=err)
