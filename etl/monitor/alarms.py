"""Alarms: an application's cost of a day (UTC) over a limit.

**Why a separate metric.** An alarm cannot search, and an alarm on a formula may name only ten
metrics: a model that an application begins to use would be missing, just when it matters. Nor does
a period of a day end at midnight. So ``publish`` sends, for each application with a limit, the
day's cost so far over all models (``DailyCostUSD``, under ModelId ``(all models)``). This level
starts at 0 each day, and the alarm checks whether its Maximum is over the limit. That is one metric
($0.30) and one alarm ($0.10) per application.

A day counts until a run has seen it with its last calls. The first run after midnight publishes the
more expensive of the two days, so calls made after the last run before midnight raise an alarm too.

**Missing data are ignored**: nothing is published between two runs, and an active alarm stays
active until the next day's first value. So an alarm does not show that publishing has stopped; the
exit status of the run does. The cost is the known cost, so it is a lower bound where calls have no
tokens or no price.

Alarms and the topic carry a tag. Those of the same name without the tag belong to someone else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from etl.errors import BedrockUsageError
from etl.monitor import prices
from etl.monitor.encoding import to_dimension
from etl.monitor.plan import NAMESPACE, PERIOD, dimensions, level_series
from etl.sources.aws import NotFoundError, Place

PREFIX = "BedrockUsage/"
TOPIC = "BedrockUsage-alarms"
TAG = {"Key": "bedrock-usage", "Value": "monitor"}

_LONGEST_NAME = 255


@dataclass(frozen=True)
class AlarmPlan:
    """What to do. ``action``: ``create``, ``update`` or ``keep`` the alarm.

    ``makes_topic``: a topic is created for ``email`` first; ``subscribes``: the address is new.
    """

    action: str
    alarm: Mapping[str, Any]
    topic: str | None = None
    email: str | None = None
    makes_topic: bool = False
    subscribes: bool = False
    is_new_limit: bool = False

    @property
    def a_month(self) -> Decimal:
        """What it adds to a month's bill: the alarm and its metric."""
        price = prices.ALARM if self.action == "create" else Decimal(0)
        return price + (prices.metrics_a_month(1) if self.is_new_limit else 0)


def plan_alarm(
    place: Place,
    application: str,
    daily_limit: Decimal,
    *,
    topic: str | None = None,
    email: str | None = None,
    is_new_limit: bool = True,
) -> AlarmPlan:
    """Compare the existing alarm with the wanted one.

    Without topic and address, an existing alarm keeps its actions. Raises BedrockUsageError if an
    alarm or topic of that name is not ours, or the topic is in another region.
    """
    if topic is not None and topic.split(":")[3] != place.region:
        raise BedrockUsageError(
            f"{topic} is not in {place.region}, and an alarm can notify only topics of its own"
            " region: name a topic there, or set another --region"
        )
    makes_topic = subscribes = False
    if email is not None:
        topic = own_topic(place)
        makes_topic = not _topic_is_there(place, topic)
        subscribes = makes_topic or email not in _subscribers(place, topic)
    alarm = alarm_for(application, daily_limit, topic)
    present = _present(place, alarm["AlarmName"])
    if topic is None and present is not None:
        alarm["AlarmActions"] = present.get("AlarmActions", [])
    return AlarmPlan(
        action=_compare(present, alarm),
        alarm=alarm,
        topic=topic,
        email=email,
        makes_topic=makes_topic,
        subscribes=subscribes,
        is_new_limit=is_new_limit,
    )


def make_alarm(place: Place, plan: AlarmPlan) -> None:
    """Carry out a plan; repeating a step does no harm."""
    if plan.makes_topic:
        query = {"Name": TOPIC, "Tags": [TAG]}
        place.call("sns", "CreateTopic", query, requires="TopicArn")
    if plan.subscribes:
        place.call(
            "sns",
            "Subscribe",
            {"TopicArn": plan.topic, "Protocol": "email", "Endpoint": plan.email},
            requires="SubscriptionArn",
        )
    if plan.action != "keep":
        # Tags are set only when the alarm is created; an update keeps its tags.
        query = {**plan.alarm, "Tags": [TAG]}
        place.call("cloudwatch", "PutMetricAlarm", query, requires="ResponseMetadata")


# The metric is the cost of the day so far, over all models (DECISIONS 84).
def alarm_for(application: str, daily_limit: Decimal, topic: str | None) -> dict[str, Any]:
    """Return an application's alarm as PutMetricAlarm expects it."""
    return {
        "AlarmName": alarm_name(application),
        "AlarmDescription": (
            f"Amazon Bedrock, {to_dimension(application)[:400]}: the cost of the day (UTC, list"
            f" price) is over {prices.dollars(daily_limit)}. Made by `bedrock-usage monitor alarm`."
        ),
        "ActionsEnabled": True,
        "AlarmActions": [topic] if topic else [],
        "Namespace": NAMESPACE,
        "MetricName": level_series(application).metric,
        "Dimensions": dimensions(level_series(application)),
        "Statistic": "Maximum",
        "Period": int(PERIOD.total_seconds()),
        "EvaluationPeriods": 1,
        "DatapointsToAlarm": 1,
        "Threshold": float(daily_limit),
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "ignore",
    }


def alarm_name(application: str) -> str:
    """Return the name of an application's alarm; no two have the same."""
    name = f"{PREFIX}daily-cost/{to_dimension(application)}"
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{name[: _LONGEST_NAME - 18]}~{hashlib.sha256(name.encode()).hexdigest()[:16]}%"


def own_topic(place: Place) -> str:
    """Return the ARN of our topic, whether it exists or not."""
    partition = place.account.session.get_partition_for_region(place.region)
    return f"arn:{partition}:sns:{place.region}:{place.account_id}:{TOPIC}"


def is_marked(tags: list[dict[str, str]]) -> bool:
    """Return whether these are the tags of something that this program made."""
    return TAG in tags


def alarm_tags(place: Place, arn: str) -> list[dict[str, str]]:
    """Return the tags of an alarm."""
    query = {"ResourceARN": arn}
    answer = place.call("cloudwatch", "ListTagsForResource", query, requires="Tags")
    tags: list[dict[str, str]] = answer["Tags"]
    return tags


def topic_tags(place: Place, arn: str) -> list[dict[str, str]] | None:
    """Return the tags of a topic, None if there is no such topic."""
    try:
        answer = place.call("sns", "ListTagsForResource", {"ResourceArn": arn}, requires="Tags")
    except NotFoundError:
        return None
    tags: list[dict[str, str]] = answer["Tags"]
    return tags


def _present(place: Place, name: str) -> dict[str, Any] | None:
    query = {"AlarmNames": [name], "AlarmTypes": ["MetricAlarm"]}
    answer = place.call("cloudwatch", "DescribeAlarms", query, requires="MetricAlarms")
    if not answer["MetricAlarms"]:
        return None
    present: dict[str, Any] = answer["MetricAlarms"][0]
    if not is_marked(alarm_tags(place, present["AlarmArn"])):
        raise BedrockUsageError(
            f"the account has an alarm {name} that bedrock-usage did not make, so it was not"
            " changed: rename or delete it, then run this again"
        )
    return present


def _compare(present: Mapping[str, Any] | None, alarm: Mapping[str, Any]) -> str:
    if present is None:
        return "create"
    is_same = all(_comparable(present.get(key)) == _comparable(alarm[key]) for key in alarm)
    return "keep" if is_same else "update"


def _comparable(value: Any) -> Any:
    """Return a value that ignores the order of a list, which CloudWatch may change."""
    return sorted(value, key=str) if isinstance(value, list) else value


def _topic_is_there(place: Place, topic: str) -> bool:
    tags = topic_tags(place, topic)
    if tags is not None and not is_marked(tags):
        raise BedrockUsageError(
            f"the account has a topic {TOPIC} that bedrock-usage did not make, so it was not"
            " used: name it with --topic if it is the right one"
        )
    return tags is not None


def _subscribers(place: Place, topic: str) -> set[str]:
    pages = place.pages(
        "sns", "ListSubscriptionsByTopic", {"TopicArn": topic}, requires="Subscriptions"
    )
    return {one["Endpoint"] for page in pages for one in page["Subscriptions"]}
