"""``bedrock-usage lab``: prove on a live account that the warehouse is right.

Only ``roles`` changes anything in AWS, and only ``traffic`` spends money there.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import click

from etl.cli.shared.consent import require_consent
from etl.cli.shared.option_types import Duration
from etl.cli.shared.options import (
    Decorator,
    config_option,
    db_option,
    dry_run_option,
    format_option,
    profile_option,
    yes_option,
)
from etl.cli.shared.signals import stops
from etl.cli.shared.syncing import sync_chosen
from etl.clock import Clock
from etl.config import Choice, Config, load_config
from etl.errors import BedrockUsageError, LockedError
from etl.lab.caller import LabCaller, find_caller
from etl.lab.expected import at_most, expected, total
from etl.lab.forms import seen_forms
from etl.lab.proof import ComparedCall, is_proved, to_json
from etl.lab.roles import (
    READY,
    Role,
    RoleStep,
    carry_out,
    plan_creation,
    plan_deletion,
    survey,
    wait_until_assumable,
)
from etl.lab.scenarios import (
    BUILT_IN,
    Scenario,
    load_scenarios,
    replace_models,
    retired_models,
    roles_of,
)
from etl.lab.sent_calls import Entry, open_ledger, read_ledger, run_of
from etl.lab.show import print_checked, print_plan, print_roles, roles_to_json
from etl.lab.traffic import PlannedCall, TrafficOutcome, open_ways, plan_calls, send
from etl.lab.verify import check_run
from etl.lab.waiting import wait_for_calls
from etl.registry import sources_of
from etl.show.escaping import harmless
from etl.show.numbers import count, span
from etl.show.terminal import open_console
from etl.sources.accounts import home_region, open_own_account
from etl.sources.aws import Place
from etl.warehouse.database import open_warehouse
from etl.warehouse.lock import sync_lock

DEFAULT_LEDGER = "lab_ledger.jsonl"

# A policy takes effect some seconds after IAM accepts it, and AWS does not say when.
_SETTLE_SECONDS = 10.0

_ROLE_PATH = r"/(?:[\x21-\x7e]{1,510}/)?"


def _wait_option(default: str, help_: str) -> Decorator:
    return click.option("--wait", type=Duration(), default=default, show_default=True, help=help_)


_scenarios = click.option(
    "--scenarios",
    "scenarios_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file of scenarios. [default: the built-in ones]",
)
_profile = profile_option()
_dry_run = dry_run_option("Print the plan and stop.")
_yes = yes_option("Do not ask.")
_ledger = click.option(
    "--ledger",
    type=click.Path(dir_okay=False, path_type=Path),
    default=DEFAULT_LEDGER,
    show_default=True,
    help="The file that records each call sent.",
)


@click.group()
def lab() -> None:
    """Send known calls and check that the warehouse reports them.

    Run in this order: `lab roles create`, `lab traffic`, `lab verify`, `lab roles delete`.
    """


@lab.group()
def roles() -> None:
    """Create, list and delete the roles that send the scenarios' calls."""


@roles.command("create")
@click.option("--path", default="/", show_default=True, help="The path of new roles, e.g. /lab/.")
@_wait_option("2m", "How long to wait until the roles can be assumed.")
@_scenarios
@_profile
@config_option
@_dry_run
def create_roles(
    path: str,
    wait: timedelta,
    scenarios_file: Path | None,
    profile: str | None,
    config: Path | None,
    dry_run: bool,
) -> None:
    """Create the roles, or bring them up to date.

    A role with the same name that the lab did not create is left alone. Returns when the roles can
    be assumed.
    """
    _check_path(path)
    clock = Clock()
    with stops(clock):
        place, caller = _open(_profile_of(profile, config), clock)
        names = roles_of(load_scenarios(scenarios_file))
        _refuse_root(caller, names)
        steps = plan_creation(survey(place, caller, names))
        _show_steps(steps, "The roles are up to date.")
        if dry_run:
            return
        done = list(carry_out(place, caller, steps, path=path))
        problems = [f"{one.role}: {one.problem}" for one in done if one.problem]
        made = [role for role in survey(place, caller, names) if role.state == READY]
        waiting = _wait_for(place, made, clock, wait)
        if any(step.action == "put policy" for step in steps):
            click.echo(f"Waiting {_SETTLE_SECONDS:.0f} s for the policies to take effect", err=True)
            clock.sleep(_SETTLE_SECONDS)
    ready = len(made) - len(waiting)
    click.echo(f"{ready} of {count(len(names), 'role')} ready", err=True)
    _end(problems + waiting)


@roles.command("list")
@_scenarios
@_profile
@config_option
@format_option()
def list_roles(
    scenarios_file: Path | None, profile: str | None, config: Path | None, format_: str
) -> None:
    """Show the roles and their state."""
    place, caller = _open(_profile_of(profile, config), Clock())
    found = survey(place, caller, roles_of(load_scenarios(scenarios_file)))
    if format_ == "json":
        click.echo(roles_to_json(found))
    else:
        print_roles(found, open_console())


@roles.command("delete")
@_scenarios
@_profile
@config_option
@_dry_run
@_yes
def delete_roles(
    scenarios_file: Path | None,
    profile: str | None,
    config: Path | None,
    dry_run: bool,
    yes: bool,
) -> None:
    """Delete the roles that carry the lab's tag, and no others."""
    clock = Clock()
    place, caller = _open(_profile_of(profile, config), clock)
    names = roles_of(load_scenarios(scenarios_file))
    steps = plan_deletion(survey(place, caller, names))
    _show_steps(steps, "The lab has no roles.")
    doomed = [step for step in steps if step.action == "delete role"]
    if dry_run:
        return
    if doomed:
        require_consent(f"Delete {count(len(doomed), 'role')}?", yes)
    done = list(carry_out(place, caller, steps, path="/"))
    problems = [f"{one.role}: {one.problem}" for one in done if one.problem]
    gone = {step.role for step in doomed} - {one.role for one in done if one.problem}
    click.echo(f"{count(len(gone), 'role')} deleted", err=True)
    _end(problems)


@lab.command()
@_scenarios
@click.option(
    "--model", "models", multiple=True, metavar="OLD=NEW", help="Replace a model; repeatable."
)
@click.option("--print-scenarios", is_flag=True, help="Print the built-in scenarios and stop.")
@_ledger
@_profile
@_dry_run
@_yes
@click.option("--allow-unpriced", is_flag=True, help="Also send calls without a known price.")
@config_option
@db_option
def traffic(
    scenarios_file: Path | None,
    models: tuple[str, ...],
    print_scenarios: bool,
    ledger: Path,
    profile: str | None,
    dry_run: bool,
    yes: bool,
    allow_unpriced: bool,
    config: Path | None,
    db: Path,
) -> None:
    """Send the scenarios' calls to real models; this costs money.

    Shows the highest possible cost first, and asks. Each call is recorded in the ledger. The prices
    are the list prices and those imported into the warehouse.
    """
    if print_scenarios:
        click.echo(BUILT_IN.read_text(encoding="utf-8"), nl=False)
        return
    scenarios = replace_models(load_scenarios(scenarios_file), models)
    clock = Clock()
    calls = plan_calls(scenarios)
    parts = expected(calls, clock.now(), db)
    print_plan(parts, open_console())
    for warning in retired_models(scenarios, clock.now().date()):
        click.echo(f"Warning: {harmless(warning)}", err=True)
    if dry_run:
        return
    cost, unpriced = total(parts)
    if unpriced and yes and not allow_unpriced:
        raise click.UsageError(
            f"{count(unpriced, 'call')} without a known price: --yes alone does not send them."
            " Import the price (`bedrock-usage prices import`), or add --allow-unpriced"
        )
    place, caller = _open(_profile_of(profile, config), clock)
    arns = _arns(place, caller, scenarios)
    more = f", and {count(unpriced, 'call')} at an unknown price" if unpriced else ""
    sending = f"Send {count(len(calls), 'call')} for at most about {at_most(cost)}{more}?"
    require_consent(sending, yes)
    ways = open_ways(place.account, scenarios, arns)
    with stops(clock), open_ledger(ledger) as book:
        outcome = send(calls, ways, caller, book, clock, _report_call)
    _close(outcome, ledger)


@lab.command()
@_ledger
@click.option("--run", "run_id", help="The run to verify. [default: the latest]")
@click.option("--no-sync", is_flag=True, help="Only compare; make no AWS requests.")
@_wait_option("30m", "How long to wait for CloudTrail.")
@click.option(
    "--streams-need-tokens", is_flag=True, help="Count a stream without tokens as a difference."
)
@_profile
@format_option()
@config_option
@db_option
def verify(
    ledger: Path,
    run_id: str | None,
    no_sync: bool,
    wait: timedelta,
    streams_need_tokens: bool,
    profile: str | None,
    format_: str,
    config: Path | None,
    db: Path,
) -> None:
    """Compare the warehouse with the ledger, call by call.

    Syncs until CloudTrail has delivered every call. Exits with status 1 on any difference.
    """
    entries = run_of(read_ledger(ledger), run_id)
    clock = Clock()

    def look() -> list[ComparedCall]:
        return _compare(db, entries, streams_need_tokens)

    with stops(clock):
        if no_sync:
            checked = look()
        else:
            sync = _syncing(db, clock, config, profile, entries)
            checked = wait_for_calls(look, sync, clock, wait, _report)
    with open_warehouse(db) as warehouse:
        forms = seen_forms(warehouse, entries, clock.now().date())
    if format_ == "json":
        click.echo(to_json(checked, forms))
    else:
        print_checked(checked, forms, open_console())
    if not is_proved(checked):
        sys.exit(1)


def _profile_of(profile: str | None, config: Path | None) -> str | None:
    return profile or load_config(config).accounts.profile


def _open(profile: str | None, clock: Clock) -> tuple[Place, LabCaller]:
    """Return the place to call IAM and STS from, and the caller's identity."""
    own = open_own_account(profile, clock)
    place = Place(own, home_region(own.session), clock)
    return place, find_caller(place)


def _refuse_root(caller: LabCaller, roles: Sequence[str]) -> None:
    if roles and caller.is_root:
        raise BedrockUsageError(
            "the account's root user cannot assume roles: use the credentials of a user or a role,"
            " with --profile or AWS_PROFILE. Nothing was done"
        )


def _check_path(path: str) -> None:
    if not re.fullmatch(_ROLE_PATH, path):
        raise click.UsageError(f"--path: {path!r} is not a path; it must begin and end with /")


def _show_steps(steps: Sequence[RoleStep], nothing: str) -> None:
    for step in steps:
        click.echo(harmless(f"{step.action:<14}{step.role}  ({step.detail})"))
    if not steps:
        click.echo(nothing, err=True)


def _wait_for(place: Place, made: Sequence[Role], clock: Clock, longest: timedelta) -> list[str]:
    arns = [role.arn for role in made if role.arn]
    reported: set[str] = set()

    def report(arn: str) -> None:
        if arn not in reported:
            click.echo(f"Waiting until {harmless(arn)} can be assumed ...", err=True)
        reported.add(arn)

    return [
        f"{arn}: still cannot be assumed after {span(longest)}. Run this again to wait longer; if"
        " that does not help, allow the caller sts:AssumeRole (`bedrock-usage policy --lab`)"
        for arn in wait_until_assumable(place, arns, clock, longest, report)
    ]


def _arns(place: Place, caller: LabCaller, scenarios: Sequence[Scenario]) -> dict[str, str]:
    """Return the ARN of each role needed; raise if one is not ready."""
    _refuse_root(caller, roles_of(scenarios))
    found = survey(place, caller, roles_of(scenarios))
    not_ready = [f"{role.name} ({role.state})" for role in found if role.state != READY]
    if not_ready:
        raise BedrockUsageError(
            f"not ready: {', '.join(not_ready)}; run `bedrock-usage lab roles create` first."
            " Nothing was sent"
        )
    return {role.name: role.arn for role in found if role.arn}


def _report(line: str) -> None:
    click.echo(line, err=True)


def _report_call(call: PlannedCall, entry: Entry, problem: str | None) -> None:
    tokens = entry.usage or {}
    said = problem or f"{tokens['input_tokens']} input, {tokens['output_tokens']} output tokens"
    click.echo(harmless(f"{call.number:>3} {entry.scenario}: {entry.status}, {said}"), err=True)


def _close(outcome: TrafficOutcome, ledger: Path) -> None:
    done, of = outcome.scenarios
    click.echo(
        f"Run {outcome.run_id} is in {harmless(ledger)}; compare with `bedrock-usage lab verify`",
        err=True,
    )
    if outcome.is_stopped:
        click.echo("Stopped: the remaining calls were not sent", err=True)
    click.echo(f"Successful scenarios: {done}/{of}")
    click.echo(f"Successful API calls: {len(outcome.succeeded)}/{len(outcome.calls)}")
    if not outcome.is_complete:
        sys.exit(1)


def _compare(db: Path, entries: Sequence[Entry], streams_need_tokens: bool) -> list[ComparedCall]:
    with open_warehouse(db) as warehouse:
        return check_run(warehouse, entries, streams_need_tokens=streams_need_tokens)


def _syncing(
    db: Path, clock: Clock, config_path: Path | None, profile: str | None, entries: Sequence[Entry]
) -> Callable[[], bool]:
    """Return a function that syncs the regions of a run, in the account of the credentials.

    It returns whether a later sync may bring more: not if every source of a region is refused.
    """
    config = load_config(config_path)
    chosen = _choice(config, profile, entries)
    (wanted,) = {entry.account_id for entry in entries}
    place, _ = _open(chosen.profile, clock)
    if place.account_id != wanted:
        raise BedrockUsageError(
            f"the run was made in account {wanted}, but the credentials belong to"
            f" {place.account_id}; choose others with --profile"
        )

    def sync() -> bool:
        try:
            with sync_lock(db):
                outcome = sync_chosen(db, clock, config, config_path, chosen)
        except LockedError as error:
            # The other process fetches what this one is waiting for.
            click.echo(f"Not synced now: {harmless(error)}", err=True)
            return True
        refused = [p.stream for p in outcome.problems if not p.is_passing]
        by_region = {
            region: {stream.source for stream in refused if stream.region == region}
            for region in chosen.regions
        }
        return all(sources < set(chosen.sources) for sources in by_region.values())

    return sync


def _choice(config: Config, profile: str | None, entries: Sequence[Entry]) -> Choice:
    """Return the regions of a run, and every source that reports single calls."""
    sources = [one.name for one in sources_of(config.choose_sources()) if one.has_calls]
    return Choice(
        regions=tuple(sorted({entry.region for entry in entries})),
        sources=tuple(dict.fromkeys(("cloudtrail", *sources))),
        profile=profile or config.accounts.profile,
        located=config.sources,
    )


def _end(problems: Sequence[str]) -> None:
    """Report what could not be done; exit with 1 if there is anything."""
    for problem in problems:
        click.echo(harmless(f"Not done: {problem}"), err=True)
    if problems:
        sys.exit(1)
