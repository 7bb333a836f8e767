"""Which accounts, regions and sources are selected: by the options, else by the file."""

from __future__ import annotations

from collections.abc import Sequence

import click

from etl.clock import Clock
from etl.config import Accounts, Choice, Config, Sync
from etl.errors import SourceError
from etl.sources.accounts import (
    assume_role,
    check_regions,
    find_places,
    list_organization,
    open_own_account,
)
from etl.sources.aws import Place


def choose(
    config: Config,
    *,
    region: Sequence[str] = (),
    source: Sequence[str] = (),
    profile: str | None = None,
    role_arn: Sequence[str] = (),
    organization: bool = False,
    role_name: str | None = None,
) -> Choice:
    """Return what is selected; an option overrides the same setting in the file.

    Raises click.UsageError for options that contradict each other, ConfigError for a source whose
    place is not configured.
    """
    accounts = config.accounts
    role_name = role_name or accounts.role_name
    if organization and role_arn:
        raise click.UsageError("--organization cannot be combined with --role-arn")
    if organization and not role_name:
        raise click.UsageError(
            "--organization needs --role-name, the role to assume in each account"
        )
    if "all" in region and len(region) > 1:
        raise click.UsageError("--region all cannot be combined with other regions")
    try:
        # The file's own checks, for values that click does not check.
        Accounts(role_arns=tuple(role_arn), role_name=role_name)
        Sync(regions=tuple(region) or config.sync.regions)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    is_chosen = bool(role_arn) or organization
    return Choice(
        regions=tuple(region) or tuple(config.sync.regions),
        sources=config.choose_sources(source),
        profile=profile or accounts.profile,
        role_arns=tuple(role_arn) if is_chosen else tuple(accounts.role_arns),
        organization=organization if is_chosen else accounts.organization,
        role_name=role_name,
        skip=tuple(accounts.skip),
        located=config.sources,
        price_api=config.prices.api,
        has_units=config.team_from_account == "unit",
    )


def open_places(choice: Choice, clock: Clock) -> tuple[list[Place], list[SourceError]]:
    """Return every selected account and region, and why some, or their units, are not known.

    Raises ConfigError or a SourceError if none can be read.
    """
    own = open_own_account(choice.profile, clock)
    if list(choice.regions) != ["all"]:
        check_regions(own, choice.regions)
    accounts, lost = [own], list[SourceError]()
    if choice.role_arns:
        accounts = [assume_role(own, arn) for arn in choice.role_arns]
    elif choice.organization and choice.role_name:
        organization = list_organization(
            own, choice.role_name, clock, skip=choice.skip, with_units=choice.has_units
        )
        accounts, lost = organization.accounts, organization.problems
    places, more = find_places(accounts, choice.regions, clock)
    return places, lost + more
