"""Every source of usage, a record each: what it is called, where it is, what AWS has to allow.

Configuration, policy, doctor, sync, progress and status walk through ``SOURCES`` and name none of
them. It imports nothing of the package, so that all of them can. What does the work is bound to the
names where it belongs: the keys of ``[sources.NAME]`` in ``etl.config``, what the doctor tries in
``etl.doctor.checks``, what reads in ``etl.sync.readers``. ``tests/test_registry.py`` reports what a
source lacks; docs/development.md says how to add one.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, NamedTuple


class Grant(NamedTuple):
    """Some actions on some resources; ``{partition}`` stands for aws, aws-us-gov or aws-cn.

    ``namespace``: the one of CloudWatch that they are limited to. ``tag_of``: whether what they are
    limited to by ``LAB_TAG`` is the resource that is there, or the request.
    """

    sid: str
    actions: tuple[str, ...]
    resource: str = "*"
    namespace: str | None = None
    tag_of: Literal["Resource", "Request"] | None = None


@dataclass(frozen=True, kw_only=True)
class Source:
    """A source, which is asked in each account and region, read from a folder, or both.

    - ``name``: in options, in the configuration and, unless ``stream`` is set, in the warehouse.
    - ``heading``: what people see of it while it is read.
    - ``grants``: what AWS has to allow in an account and region; none if only folders are read.
    - ``located_by``: keys of ``[sources.NAME]``, each of which says where it is; none for what
      every account has. With ``uri`` among them a folder is read, and that holds ``holds``.
    - ``place_key``: which of them says that accounts are asked; a grant's resource may name it.
    - ``stream``: what the streams of accounts are called, where folders have streams as well.
    - ``read_every``: how often it is read, if not in every sync.
    - ``has_calls``: whether it reports single calls.
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

    def __post_init__(self) -> None:
        object.__setattr__(self, "stream", self.stream or self.name)

    @property
    def streams(self) -> set[str]:
        """What its streams are called in the warehouse."""
        return {self.name, self.stream}


# In the order in which they are listed to people.
SOURCES = (
    Source(
        name="cloudtrail",
        heading="event history",
        grants=(Grant("CloudTrail", ("cloudtrail:LookupEvents",)),),
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
            Grant("Catalogue", ("bedrock:ListFoundationModels", "bedrock:ListInferenceProfiles")),
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
)

NAMES = tuple(one.name for one in SOURCES)

# What every account has; the others are read where the configuration says that they are.
STANDARD = tuple(one.name for one in SOURCES if not one.located_by)


def source_of(name: str) -> Source:
    """Return the record of a source."""
    return SOURCES[NAMES.index(name)]


def sources_of(names: Collection[str]) -> list[Source]:
    """Return the records of some sources, in the order of ``SOURCES``."""
    return [one for one in SOURCES if one.name in names]
