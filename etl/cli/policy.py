"""``bedrock-usage policy``: what AWS has to allow, to be copied."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from etl.cli.options import archive_option, choice_options, config_option
from etl.cli.scope import choose
from etl.config import ALL_REGIONS, Choice, load_config
from etl.policy import (
    PolicyScope,
    caller_policy,
    lab_policy,
    member_policy,
    monitor_policy,
    trust_policy,
)
from etl.show.escaping import json_text

_PRINCIPAL = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:(?:root|(?:user|role)/[\w+=,.@/-]+)", re.ASCII)
_PARTITIONS = {"us-gov-": "aws-us-gov", "cn-": "aws-cn"}


def _principal(_: click.Context, __: click.Parameter, arn: str | None) -> str | None:
    if arn is not None and not _PRINCIPAL.fullmatch(arn):
        example = "arn:aws:iam::111122223333:role/NAME"
        raise click.BadParameter(
            f"{arn!r} is not the ARN of a role, a user or an account's root; one looks like"
            f" {example}"
        )
    return arn


@click.command()
@choice_options
@archive_option("Also what `bedrock-usage sync --archive FOLDER` writes.")
@config_option
@click.option(
    "--doctor/--no-doctor",
    "has_doctor",
    default=True,
    show_default=True,
    help="Also what `bedrock-usage doctor` asks.",
)
@click.option("--member", is_flag=True, help="The policy of a role that is assumed.")
@click.option(
    "--monitor",
    "is_monitor",
    is_flag=True,
    help="The policy of who runs `bedrock-usage monitor`; it writes.",
)
@click.option(
    "--trust",
    metavar="ARN",
    callback=_principal,
    help="The trust policy of such a role; ARN is who runs this program.",
)
@click.option("--lab", is_flag=True, help="The policy of who runs `bedrock-usage lab`.")
def policy(
    config: Path | None,
    has_doctor: bool,
    member: bool,
    is_monitor: bool,
    trust: str | None,
    lab: bool,
    archive: str | None,
    **choice: Any,
) -> None:
    """Print the least-privilege IAM policy, as JSON.

    It allows reading and nothing else, but for an archive in S3, to which files may be added, and
    for what --lab and --monitor take. Nothing is asked of AWS.
    """
    if is_monitor:
        if member or trust or lab or archive:
            raise click.UsageError("--monitor goes without --member, --trust, --lab and --archive")
        chosen = choose(load_config(config), **choice)
        _print(monitor_policy(_partition((), chosen.regions)))
        return
    if trust is not None:
        _refuse_others(member or lab or not has_doctor or bool(archive) or any(choice.values()))
        _print(trust_policy(trust))
        return
    if lab:
        others = [value for name, value in choice.items() if name != "region"]
        if member or archive or any(others):
            raise click.UsageError("--lab goes alone, or with --region, which says the partition")
        _print(lab_policy(_partition((), choice["region"] or ALL_REGIONS)))
        click.echo(
            "Who has this writes the policies of the lab's roles and assumes them, so it may give"
            " itself any permission: grant it to an administrator, and take it back afterwards.",
            err=True,
        )
        return
    settings = load_config(config)
    reading = _reading(choose(settings, **choice), has_doctor, archive or settings.sync.archive)
    _print(member_policy(reading) if member else caller_policy(reading))
    if reading.has_roles and not member:
        click.echo(
            "This is for who runs bedrock-usage. Each role needs the policy that --member prints,"
            " and must trust that caller: --trust ARN.",
            err=True,
        )


def _reading(choice: Choice, has_doctor: bool, archive: str | None) -> PolicyScope:
    return PolicyScope(
        sources=[source.name for source in choice.asked],
        has_all_regions=tuple(choice.regions) == ALL_REGIONS,
        has_doctor=has_doctor,
        role_name=choice.role_name if choice.organization else None,
        role_arns=choice.role_arns,
        partition=_partition(choice.role_arns, choice.regions),
        settings=choice.place_settings,
        log_folders=[folder.uri for folder in choice.buckets if folder.role_arn is None],
        bucket_roles=[folder.role_arn for folder in choice.buckets if folder.role_arn is not None],
        archive=_archive(archive) if "cloudtrail" in choice.sources else None,
    )


def _archive(folder: str | None) -> str | None:
    """Return the folder with its slash, None for one that is not in S3."""
    return f"{folder.rstrip('/')}/" if folder and folder.startswith("s3://") else None


def _partition(role_arns: Sequence[str], regions: Sequence[str]) -> str:
    """Return the partition that roles or regions lie in; roles say it themselves."""
    if role_arns:
        return role_arns[0].split(":")[1]
    found = {
        next((name for prefix, name in _PARTITIONS.items() if region.startswith(prefix)), "aws")
        for region in regions
    }
    if len(found) > 1:
        raise click.UsageError(f"regions of {' and '.join(sorted(found))} take a policy each")
    return found.pop()


def _refuse_others(has_others: bool) -> None:
    if has_others:
        raise click.UsageError("--trust goes alone: who is trusted is all that such a policy says")


def _print(document: dict[str, Any]) -> None:
    click.echo(json_text(document))
