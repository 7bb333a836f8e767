"""``bedrock-usage monitor``: live metrics in CloudWatch, a dashboard and alarms over them."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from sqlite_utils import Database

from etl.cli.consent import is_agreed, require_consent
from etl.cli.options import config_option, db_option
from etl.cli.since import moment_of
from etl.cli.stops import stops
from etl.clock import Clock
from etl.config import Config, Monitor, load_config
from etl.errors import AccessError, BedrockUsageError, ConfigError
from etl.figures import count
from etl.output import harmless, json_text
from etl.times import utc_text
from etl.warehouse.database import open_warehouse
from etl.warehouse.demo import is_demo
from etl.warehouse.lock import sync_lock

if TYPE_CHECKING:
    from etl.monitor.plan import Plan
    from etl.monitor.publish import Result
    from etl.sources.aws import Place
    from etl.warehouse.monitor import Target

_TOPIC = re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256}")
_EMAIL = re.compile(r"[^\s@]+@[^\s@]+")
_PAIRS_SHOWN = 50
_HIGHEST_LIMIT = Decimal(10**9)

_profile_option = click.option("--profile", help="A profile of the AWS configuration.")
_region_option = click.option("--region", help="Whose CloudWatch. [default: the configuration's]")
_dry_run_option = click.option("--dry-run", is_flag=True, help="Print the plan and its price only.")
_yes_option = click.option("--yes", is_flag=True, help="Agree to the price; do not ask.")


def _shared(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that all commands of the group have."""
    for option in (db_option, config_option, _region_option, _profile_option, _yes_option):
        command = option(command)
    return _dry_run_option(command)


class Desk(NamedTuple):
    """What every command works with."""

    warehouse: Database
    config: Config
    place: Place


@click.group()
def monitor() -> None:
    """Show the figures live in CloudWatch: metrics, a dashboard, alarms.

    A metric costs $0.30 a month for each pair of an application and a model, not per call. Every
    command shows its price first, and asks.
    """


@monitor.command()
@click.option("--since", help="How far back: 2d, or 2026-09-01. [default of the first run: 1d]")
@_shared
def publish(since: str | None, dry_run: bool, yes: bool, **where: Any) -> None:
    """Put tokens and costs of every five minutes into CloudWatch.

    Each period is put once; what changes later is put as the difference, so only the statistic Sum
    has a meaning. The namespace is Custom/BedrockUsage, its dimensions Application and ModelId.
    """
    from etl.monitor.publish import Publisher, agree

    with _desk(**where) as (warehouse, config, place):
        publisher = Publisher(warehouse, place, config.monitor)
        start = moment_of(since, place.clock.now())
        plan = publisher.plan(since=start)
        _say(plan_lines(plan), err=not dry_run)
        if dry_run:
            return
        question = f"Publish, for up to {_dollars(plan.a_month)} a month?"
        plan = agree(publisher, plan, lambda _: is_agreed(question, yes))
        with stops(place.clock):
            result = publisher.run(plan)
    _say(result_lines(plan, result), err=True)
    sys.exit(1 if result.left or plan.left_out else 0)


@monitor.command()
@_shared
def dashboard(dry_run: bool, yes: bool, **where: Any) -> None:
    """Make, or renew, the dashboard BedrockUsage in CloudWatch.

    Tokens by application, cost by application and model, the month's projection, daily limits. Run
    it again for lines of new applications. --dry-run prints the dashboard's JSON.
    """
    from etl.monitor import dashboard as board
    from etl.monitor import prices
    from etl.warehouse import monitor as ledger

    with _desk(**where) as (warehouse, config, place):
        target = ledger.find_target(warehouse, place.account_id, place.region)
        applications = ledger.dearest_applications(warehouse, target, board.MOST_APPLICATIONS)
        limits = ledger.limits(warehouse, target)
        body = board.dashboard_body(place.region, config.monitor.metrics, applications, limits)
        plan = board.plan_dashboard(place, body)
        price = prices.DASHBOARD if plan.action == "create" else Decimal(0)
        _say(
            [
                f"Dashboard         {board.NAME}: {plan.action}",
                f"Price             {_dollars(price)} a month (an account's first three are free)",
            ],
            err=True,
        )
        if dry_run:
            click.echo(json_text(plan.body))
            return
        if plan.action == "keep":
            return
        require_consent(f"Make the dashboard, for {_dollars(price)} a month?", yes or not price)
        for message in board.put_dashboard(place, plan):
            click.echo(f"CloudWatch says   {harmless(message)}", err=True)
    click.echo(f"Done              open it in CloudWatch, Dashboards, {board.NAME}", err=True)


def _limit(_: click.Context, __: click.Parameter, text: str) -> Decimal:
    try:
        limit = Decimal(text)
    except InvalidOperation:
        limit = Decimal(0)
    if not (limit.is_finite() and 0 < limit <= _HIGHEST_LIMIT):
        raise click.BadParameter(f"{text!r} is not an amount of dollars over 0")
    return limit


def _form(pattern: re.Pattern[str], example: str) -> Callable[..., str | None]:
    def check(_: click.Context, __: click.Parameter, text: str | None) -> str | None:
        if text is not None and not pattern.fullmatch(text):
            raise click.BadParameter(f"{text!r} is not like {example}")
        return text

    return check


@monitor.command()
@click.option("--application", required=True, help="By its name in the reports.")
@click.option("--daily-limit", required=True, callback=_limit, help="Dollars a day (UTC).")
@click.option(
    "--topic",
    callback=_form(_TOPIC, "arn:aws:sns:us-east-1:111122223333:NAME"),
    help="The ARN of an SNS topic to tell.",
)
@click.option(
    "--email",
    callback=_form(_EMAIL, "somebody@example.com"),
    help="An address to tell: makes a topic and subscribes it.",
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
    """Raise an alarm when an application's cost of a day is over a limit.

    It looks at a metric of its own, DailyCostUSD, that `monitor publish` puts from then on: $0.30
    for the metric and $0.10 for the alarm a month.
    """
    from etl.monitor.alarms import make_alarm, plan_alarm
    from etl.warehouse import monitor as ledger

    if topic and email:
        raise click.UsageError("--topic goes without --email")
    with _desk(**where) as (warehouse, config, place):
        target = ledger.find_target(warehouse, place.account_id, place.region)
        is_new = application not in ledger.limits(warehouse, target)
        if is_new:
            _check_room(warehouse, target, config.monitor)
        plan = plan_alarm(
            place, application, daily_limit, topic=topic, email=email, is_new_limit=is_new
        )
        _say(_alarm_lines(plan, daily_limit), err=not dry_run)
        if not ledger.has_application(warehouse, application):
            name = harmless(application)
            click.echo(f"Note              no call of {name} is known so far", err=True)
        if dry_run:
            return
        price = plan.a_month
        require_consent(f"Make it, for {_dollars(price)} a month?", yes or not price)
        make_alarm(place, plan)
        target = ledger.ensure_target(warehouse, target)
        ledger.save_limit(warehouse, target, application, str(daily_limit))
        if is_new:
            now = place.clock.now().isoformat()
            ledger.save_agreement(warehouse, target, target.agreed_metrics + 1, now)
    if plan.subscribes:
        click.echo(f"Confirm           the mail that AWS has sent to {plan.email}", err=True)
    click.echo("Done              it counts from the next `monitor publish` on", err=True)


def _check_room(warehouse: Database, target: Target, settings: Monitor) -> None:
    """Raise ConfigError if one metric more is too many: then none would be published at all."""
    from etl.monitor.plan import is_chosen
    from etl.warehouse import monitor as ledger

    known = [one for one in ledger.known_series(warehouse, target) if is_chosen(one, settings)]
    used = len(known) + len(ledger.limits(warehouse, target))
    if used >= settings.max_metrics:
        raise ConfigError(
            f"the alarm's metric would be one more than max_metrics allows: {used:,} are used of"
            f" {settings.max_metrics:,}. Raise it under [monitor], or name fewer metrics"
        )


@monitor.command()
@_shared
def remove(dry_run: bool, yes: bool, **where: Any) -> None:
    """Delete the dashboard, alarms and topic that these commands made, and no others.

    Custom metrics cannot be deleted: they cost nothing once nothing is put any more, and CloudWatch
    drops them after 15 months. What was agreed to is taken back, so the next publish asks again.
    """
    from etl.monitor import removal
    from etl.warehouse import monitor as ledger

    with _desk(**where) as (warehouse, config, place):
        things = removal.plan_removal(place)
        lines = [f"Delete            {thing.kind} {harmless(thing.name)}" for thing in things]
        _say(lines or ["Nothing of ours is there."], err=not dry_run)
        if dry_run:
            return
        if things:
            require_consent("Delete?", yes)
            removal.remove(place, things)
        target = ledger.find_target(warehouse, place.account_id, place.region)
        ledger.drop_limits(warehouse, target)
        ledger.save_agreement(warehouse, target, 0, place.clock.now().isoformat())
        if config.monitor.publish_after_sync or config.monitor.accept_usd_a_month:
            click.echo(
                "Note              the configuration still publishes: look at publish_after_sync"
                " and accept_usd_a_month under [monitor]",
                err=True,
            )
    click.echo(
        "Metrics           cannot be deleted; without new values they cost nothing, and are gone"
        " after 15 months",
        err=True,
    )


def publish_after_sync(
    warehouse: Database, config: Config, clock: Clock, profile: str | None
) -> bool:
    """Publish as the configuration says, with nobody to ask; tell how it went, return if all did.

    What fails here undoes nothing of the sync.
    """
    from etl.monitor.publish import Publisher, agree

    try:
        publisher = Publisher(warehouse, open_place(config, clock, profile=profile), config.monitor)
        plan = agree(publisher, publisher.plan(), None)
        result = publisher.run(plan)
    except BedrockUsageError as error:
        click.echo(f"Not published     {harmless(error)}", err=True)
        return False
    _say(result_lines(plan, result), err=True)
    return not (result.left or plan.left_out)


def open_place(
    config: Config, clock: Clock, *, profile: str | None = None, region: str | None = None
) -> Place:
    """Return the account of the credentials at hand, and the region whose CloudWatch is meant."""
    # Imported here because boto3 takes longer to import than a report takes to print.
    from etl.sources.accounts import check_regions, home_region, open_own_account
    from etl.sources.aws import Place

    own = open_own_account(profile or config.accounts.profile, clock)
    region = region or config.monitor.region or home_region(own.session)
    check_regions(own, [region])
    return Place(own, region, clock)


@contextmanager
def _desk(
    *, profile: str | None, region: str | None, config: Path | None, db: Path
) -> Iterator[Desk]:
    """Open the warehouse, alone, and the way to CloudWatch."""
    settings = load_config(config)
    with open_warehouse(db) as warehouse, sync_lock(db):
        if is_demo(warehouse):
            raise BedrockUsageError(
                f"{db} holds the demo's data, which nobody has used: nothing of it is published."
                " Name another warehouse with --db"
            )
        place = open_place(settings, Clock(), profile=profile, region=region)
        try:
            yield Desk(warehouse, settings, place)
        except AccessError as error:
            from etl.monitor.cloudwatch import explain

            raise AccessError(explain(error)) from None


def plan_lines(plan: Plan) -> list[str]:
    """Say what a run would do, and its price."""
    from etl.monitor import prices
    from etl.monitor.plan import NAMESPACE

    target, chosen = plan.target, plan.range
    first, last = utc_text(chosen.since), utc_text(chosen.until)
    lines = [
        f"Where             {NAMESPACE} in {target.region} (account {target.account_id})",
        f"Periods           {first} to {last}, of 5 minutes",
        f"Values            {count(len(plan.puts), 'value')}, {plan.corrections:,} of them"
        f" corrections, in {count(plan.requests, 'request')}"
        f" ({_dollars(prices.requests(plan.requests))})",
        f"Metrics           {plan.metrics:,}, {len(plan.new):,} of them new",
        *_pair_lines(plan),
        f"Price             {_dollars(plan.a_month)} a month at most: $0.30 for each metric with"
        f" values, and requests; before the account's free tier ({prices.SOURCE})",
    ]
    if not plan.puts:
        lines.append(
            f"Nothing to put    what is younger than {last} settles first ([monitor] settle); of"
            " what is older, all is put or there were no calls (`bedrock-usage status`)"
        )
    if chosen.missed_from is not None:
        missed = utc_text(chosen.missed_from)
        lines.append(
            f"Left out          {missed} to {first}: CloudWatch takes nothing older than two weeks,"
            " and what vacuum dropped cannot be told any more"
        )
    return [*lines, *_doubt_lines(plan)]


def _pair_lines(plan: Plan) -> Iterator[str]:
    pairs: dict[tuple[str, str], list[str]] = {}
    for series in sorted(plan.known | plan.new):
        mark = "" if series in plan.known else " (new)"
        pairs.setdefault(series[:2], []).append(f"{series.metric}{mark}")
    for (application, model_id), metrics in list(pairs.items())[:_PAIRS_SHOWN]:
        yield f"  {harmless(application)}, {harmless(model_id)}: {', '.join(metrics)}"
    if len(pairs) > _PAIRS_SHOWN:
        yield f"  and {len(pairs) - _PAIRS_SHOWN:,} more pairs of an application and a model"
    for application in plan.limited:
        yield f"  {harmless(application)}, all models: DailyCostUSD"


def _doubt_lines(plan: Plan) -> Iterator[str]:
    """Say what is not in the plan, and why."""
    if plan.calls_without_cost:
        yield (
            f"Without cost      {count(plan.calls_without_cost, 'call')}: no price, no tokens, or"
            " no estimate yet; nothing is put for what is unknown"
        )
    if plan.unpriced_tokens:
        yield (
            f"Without a price   {count(plan.unpriced_tokens, 'token')}: CostUSD is what the others"
            " cost (view unpriced_usage)"
        )
    if plan.undecided:
        yield (
            f"In doubt          {count(plan.undecided, 'value')} that an earlier run sent without"
            " an answer: read back first"
        )
    levels = {level.application for level in plan.levels}
    for application in set(plan.limited) - levels:
        yield f"Daily cost        unknown for {harmless(application)}: no value for its alarm"
    if plan.left_out:
        pairs = len({series[:2] for series in plan.left_out})
        yield (
            f"Left out          {count(len(plan.left_out), 'new metric')} of"
            f" {count(pairs, 'pair')} of an application and a model: more than was agreed to, or"
            " than max_metrics; run `bedrock-usage monitor publish`, with --since if it began days"
            " ago, or change [monitor]"
        )


def result_lines(plan: Plan, result: Result) -> Iterator[str]:
    """Say what a run came to."""
    daily = f" and {count(result.levels, 'daily cost')}" if result.levels else ""
    requests = count(result.requests, "request")
    yield f"Published         {count(result.values, 'value')}{daily} in {requests}"
    for reason in result.left:
        yield f"Not published     {harmless(reason)}"
    if plan.left_out:
        yield from (line for line in _doubt_lines(plan) if line.startswith("Left out"))


def _alarm_lines(plan: Any, daily_limit: Decimal) -> Iterator[str]:
    yield f"Alarm             {plan.alarm['AlarmName']}: {plan.action}"
    yield f"Limit             {_dollars(daily_limit)} a day (UTC), at list price"
    for told in plan.alarm["AlarmActions"]:
        yield f"Tells             {harmless(told)}{' (new)' if plan.makes_topic else ''}"
    if not plan.alarm["AlarmActions"]:
        yield "Tells             nobody: name an address with --email, or a topic with --topic"
    if plan.subscribes:
        yield f"Subscribes        {harmless(plan.email)}, who must confirm a mail"
    yield f"Price             {_dollars(plan.a_month)} a month: $0.10 an alarm, $0.30 its metric"


def _dollars(amount: Decimal) -> str:
    from etl.monitor.prices import dollars

    return dollars(amount)


def _say(lines: Any, *, err: bool) -> None:
    for line in lines:
        click.echo(line, err=err)
