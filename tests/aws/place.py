"""One account and region with its content. Tests may add to it at any time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tests.aws.cloudtrail import EventHistory
from tests.aws.cloudwatch import Metrics, Value
from tests.aws.logs import GROUP, LogGroup, Logs


class Place:
    """The content of one region's services for one account."""

    def __init__(self, account: str, region: str) -> None:
        self.account = account
        self.region = region
        self.events = EventHistory()
        self.metrics = Metrics()
        self.logs = Logs()
        self.foundation_models: list[dict[str, Any]] = []
        self.inference_profiles: list[dict[str, Any]] = []
        self.provisioned_throughputs: list[dict[str, Any]] = []
        self.quotas: list[dict[str, Any]] = []
        self.default_quotas: list[dict[str, Any]] = []
        self.logging_config: dict[str, Any] | None = None

    def deliver(
        self, record: dict[str, Any], at: datetime | None = None, *, text: str | None = None
    ) -> None:
        """Deliver a raw event, visible from ``at`` on; ``text`` replaces its ``CloudTrailEvent``."""
        self.events.deliver(record, at, text)

    def log_group(self, name: str = GROUP) -> LogGroup:
        """Make a log group if there is none of that name; return it."""
        return self.logs.groups.setdefault(name, LogGroup())

    def log_invocation(
        self, record: dict[str, Any] | str, at: datetime | None = None, *, group: str = GROUP
    ) -> None:
        """Write a raw record to a log group, at its own time, visible from ``at`` on.

        A text is written as it is, at the time ``at``.
        """
        moment = at if isinstance(record, str) else datetime.fromisoformat(record["timestamp"])
        if moment is None:
            raise ValueError("a text has no time of its own")
        self.logs.write(record, moment, at, group)

    def metric(
        self,
        namespace: str,
        name: str,
        dimensions: Mapping[str, str],
        points: Mapping[datetime, float],
    ) -> None:
        """Add points at whole minutes to a series; an existing point gets the new value."""
        with self.metrics.lock:
            self.metrics.series(namespace, name, dimensions).put(points)

    def add_to_metric(
        self,
        namespace: str,
        name: str,
        dimensions: Mapping[str, str],
        time: datetime,
        value: float,
    ) -> None:
        """Add to the point of a minute, as each call adds to CloudWatch's count."""
        with self.metrics.lock:
            self.metrics.series(namespace, name, dimensions).add(time, value)

    def dense_metric(
        self,
        namespace: str,
        name: str,
        dimensions: Mapping[str, str],
        value_per_300s: Value,
        start: datetime,
        end: datetime,
    ) -> None:
        """Add a point every 300 s before ``end``; a function gets its epoch second."""
        with self.metrics.lock:
            self.metrics.series(namespace, name, dimensions).put_dense(value_per_300s, start, end)

    def hide(self, namespace: str, dimensions: Mapping[str, str]) -> None:
        """Hide the series with these dimensions from ListMetrics; GetMetricData still has them."""
        self.hidden_metrics.add((namespace, frozenset(dimensions.items())))

    @property
    def hidden_metrics(self) -> set[tuple[str, frozenset[tuple[str, str]]]]:
        return self.metrics.hidden

    def foundation_model(self, model_id: str, name: str, provider: str = "Anthropic") -> str:
        """Add a model; return its ARN."""
        arn = f"arn:aws:bedrock:{self.region}::foundation-model/{model_id}"
        summary = {"modelArn": arn, "modelId": model_id, "modelName": name}
        self.foundation_models.append(summary | {"providerName": provider})
        return arn

    def system_profile(self, profile_id: str, *model_arns: str) -> str:
        """Add a profile that AWS defines, such as ``us.anthropic...``; return its ARN."""
        arn = f"arn:aws:bedrock:{self.region}:{self.account}:inference-profile/{profile_id}"
        return self._profile(arn, profile_id, profile_id, "SYSTEM_DEFINED", model_arns)

    def application_profile(
        self,
        profile_id: str,
        name: str,
        *model_arns: str,
        tags: Mapping[str, str] | None = None,
        hidden: bool = False,
    ) -> str:
        """Add an application inference profile; return its ARN."""
        kind = "application-inference-profile"
        arn = f"arn:aws:bedrock:{self.region}:{self.account}:{kind}/{profile_id}"
        own = {"tags": dict(tags or {}), "isHidden": hidden}
        return self._profile(arn, profile_id, name, "APPLICATION", model_arns, **own)

    def _profile(
        self, arn: str, profile_id: str, name: str, kind: str, models: tuple[str, ...], **own: Any
    ) -> str:
        summary = {
            "inferenceProfileName": name,
            "inferenceProfileArn": arn,
            "models": [{"modelArn": model} for model in models],
            "inferenceProfileId": profile_id,
            "status": "ACTIVE",
            "type": kind,
        }
        self.inference_profiles.append(summary | own)
        return arn
