"""``bedrock-usage policy``: the policies that AWS needs, ready to copy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from etl.cli.shared.options import archive_option, choice_options, config_option
from etl.cli.shared.scope import choose
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
            f"{arn!r} is not the ARN of a role, a user or an account's root; it must look like"
            f" {example}"
        )
    return arn


@click.command()
@choice_options
@archive_option("Also allow what `bedrock-usage sync --archive FOLDER` writes.")
@config_option
@click.option(
    "--doctor/--no-doctor",
    "has_doctor",
    default=True,
    show_default=True,
    help="Also allow what `bedrock-usage doctor` checks.",
)
@click.option("--member", is_flag=True, help="Print the policy of a role that is assumed.")
@click.option(
    "--monitor",
    "is_monitor",
    is_flag=True,
    help="Print the policy for running `bedrock-usage monitor`, which writes.",
)
@click.option(
    "--trust",
    metavar="ARN",
    callback=_principal,
    help="Print the trust policy of such a role; ARN is the caller that may assume it.",
)
@click.option("--lab", is_flag=True, help="Print the policy for running `bedrock-usage lab`.")
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
    """Print the least-privilege IAM policy as JSON.

    It allows only reading. The exceptions are adding files to an archive in S3, and what --lab and
    --monitor need. Makes no AWS requests.
    """
    if is_monitor:
        if member or trust or lab or archive:
            raise click.UsageError(
                "--monitor cannot be combined with --member, --trust, --lab or --archive"
            )
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
            raise click.UsageError("--lab works alone or with --region, which sets the partition")
        _print(lab_policy(_partition((), choice["region"] or ALL_REGIONS)))
        click.echo(
            "This policy can write the policies of the lab's roles and assume them, so its holder"
            " can gain any permission: grant it to an administrator, and revoke it afterwards.",
            err=True,
        )
        return
    settings = load_config(config)
    reading = _reading(choose(settings, **choice), has_doctor, archive or settings.sync.archive)
    _print(member_policy(reading) if member else caller_policy(reading))
    if reading.has_roles and not member:
        click.echo(
            "This policy is for the caller that runs bedrock-usage. Each role needs the policy that"
            " --member prints, and must trust that caller: --trust ARN.",
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
        has_prices=choice.price_api,
        has_units=choice.has_units,
    )


def _archive(folder: str | None) -> str | None:
    """Return the folder with a trailing slash, None for one that is not in S3."""
    return f"{folder.rstrip('/')}/" if folder and folder.startswith("s3://") else None


def _partition(role_arns: Sequence[str], regions: Sequence[str]) -> str:
    """Return the partition of the roles or regions; a role's ARN contains it."""
    if role_arns:
        return role_arns[0].split(":")[1]
    found = {
        next((name for prefix, name in _PARTITIONS.items() if region.startswith(prefix)), "aws")
        for region in regions
    }
    if len(found) > 1:
        raise click.UsageError(f"regions of {' and '.join(sorted(found))} need separate policies")
    return found.pop()


def _refuse_others(has_others: bool) -> None:
    if has_others:
        raise click.UsageError("--trust works alone: a trust policy names only the caller")


def _print(document: dict[str, Any]) -> None:
    click.echo(json_text(document))
