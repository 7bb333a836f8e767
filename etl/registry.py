"""Every source of usage, one record each: its names, its location, what AWS has to allow.

Configuration, policy, doctor, sync, progress and status loop over ``SOURCES`` and name no source.
This module imports nothing from the package, so all of them can import it. The code for a source is
tied to its name in other modules: the keys of ``[sources.NAME]`` in ``etl.config``, the doctor's
checks in ``etl.doctor.checks``, the readers in ``etl.sync.readers``. ``tests/test_registry.py``
reports what a source lacks; docs/development.md says how to add one.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, NamedTuple


class Grant(NamedTuple):
    """Some actions on some resources; ``{partition}`` stands for aws, aws-us-gov or aws-cn.

    ``namespace``: the CloudWatch namespace that they are limited to. ``tag_of``: where ``LAB_TAG``
    is required, on the existing resource or in the request.
    """

    sid: str
    actions: tuple[str, ...]
    resource: str = "*"
    namespace: str | None = None
    tag_of: Literal["Resource", "Request"] | None = None


@dataclass(frozen=True, kw_only=True)
class Source:
    """A source that is read from AWS in each account and region, from a folder, or both.

    - ``name``: in options, in the configuration and, unless ``stream`` is set, in the warehouse.
    - ``heading``: the name shown while it is read.
    - ``grants``: what AWS has to allow in an account and region; empty if only folders are read.
    - ``located_by``: the keys of ``[sources.NAME]`` that say where it is; empty for a source that
      every account has. ``uri`` is a folder that contains ``holds``.
    - ``place_key``: the key that makes accounts be read too; a grant's resource may refer to it.
    - ``stream``: the name of the accounts' streams, if folders have streams too.
    - ``read_every``: how often it is read, if not in every sync.
    - ``has_calls``: whether it reports single calls.
    - ``on_request``: it is read only where somebody names it.
    """

    name: str
    heading: str
    grants: tuple[Grant, ...] = ()
    located_by: tuple[str, ...] = ()
    place_key: str | None = None
    holds: str | None = None
    stream: str = ""
    read_every: timedelta = timedelta()
    has_calls: bool = True
    on_request: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "stream", self.stream or self.name)

    @property
    def streams(self) -> set[str]:
        """The names of its streams in the warehouse."""
        return {self.name, self.stream}


LOOKUP = Grant("CloudTrail", ("cloudtrail:LookupEvents",))

# In the order in which they are listed.
# Pure records: what reads them is bound elsewhere (DECISIONS 145).
SOURCES = (
    Source(
        name="cloudtrail",
        heading="event history",
        grants=(LOOKUP,),
    ),
    Source(
        name="cloudwatch",
        heading="CloudWatch totals",
        grants=(Grant("CloudWatch", ("cloudwatch:GetMetricData", "cloudwatch:ListMetrics")),),
        has_calls=False,
    ),
    Source(
        name="catalogue",
        heading="catalogue",
        grants=(
            Grant(
                "Catalogue",
                (
                    "bedrock:ListFoundationModels",
                    "bedrock:ListInferenceProfiles",
                    "bedrock:ListProvisionedModelThroughputs",
                ),
            ),
            Grant(
                "CatalogueProfiles",
                ("bedrock:GetInferenceProfile", "bedrock:ListTagsForResource"),
                "arn:{partition}:bedrock:*:*:application-inference-profile/*",
            ),
        ),
        read_every=timedelta(days=1),
        has_calls=False,
    ),
    Source(
        name="trail",
        heading="trail's log files",
        located_by=("uri",),
        holds="AWSLogs/",
    ),
    Source(
        name="invocation_logs",
        heading="invocation logs",
        grants=(
            Grant(
                "InvocationLogs",
                ("logs:FilterLogEvents",),
                "arn:{partition}:logs:*:*:log-group:{log_group}:*",
            ),
        ),
        located_by=("uri", "log_group"),
        place_key="log_group",
        holds="AWSLogs/",
        stream="log_group",
    ),
    Source(
        name="bill",
        heading="AWS bill",
        located_by=("uri",),
        holds="the exports of the bill",
        has_calls=False,
    ),
    Source(
        name="sessions",
        heading="sessions of roles",
        grants=(LOOKUP,),
        has_calls=False,
        on_request=True,
    ),
    Source(
        name="principal_tags",
        heading="tags of roles and users",
        grants=(
            Grant("RoleTags", ("iam:ListRoleTags",), "arn:{partition}:iam::*:role/*"),
            Grant("UserTags", ("iam:ListUserTags",), "arn:{partition}:iam::*:user/*"),
        ),
        read_every=timedelta(days=1),
        has_calls=False,
        on_request=True,
    ),
    Source(
        name="quotas",
        heading="service quotas",
        grants=(
            Grant(
                "Quotas",
                ("servicequotas:ListAWSDefaultServiceQuotas", "servicequotas:ListServiceQuotas"),
            ),
        ),
        read_every=timedelta(days=1),
        has_calls=False,
        on_request=True,
    ),
)

NAMES = tuple(one.name for one in SOURCES)

# The sources that every account has; the others are read where the configuration says.
STANDARD = tuple(one.name for one in SOURCES if not (one.located_by or one.on_request))


def source_of(name: str) -> Source:
    """Return the record of a source."""
    return SOURCES[NAMES.index(name)]


def sources_of(names: Collection[str]) -> list[Source]:
    """Return the records of some sources, in the order of ``SOURCES``."""
    return [one for one in SOURCES if one.name in names]
