"""Alarms: an application's cost of a day (UTC) over a limit.

**Why a metric of its own.** An alarm cannot search, and one over a formula may name ten metrics: a
model that an application begins to use would not be in it, just when it matters. Nor does a period
of a day end at midnight. So ``publish`` puts, for each application with a limit, what the day has
cost so far over all models (``DailyCostUSD``, under ModelId ``(all models)``), a level that begins
at 0 each day, and the alarm looks whether its Maximum is over the limit. That is one metric ($0.30)
and one alarm ($0.10) for each application.

A day counts on until a run has seen it with its last calls: the first run after midnight puts the
dearer of the two days, so what came after the last run before midnight raises an alarm as well.

**Missing data are ignored**: between two runs nothing is put, and an alarm that is on stays on
until the next day's first value. An alarm therefore does not tell that nothing is published any
more; the exit status of the run does. The cost is what is known, so it is a lower bound where calls
have no tokens or no price.

Alarms and the topic carry a tag. Those of the same name without it are somebody else's.
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
    """What is to be done. ``action``: ``create``, ``update`` or ``keep`` the alarm.

    ``makes_topic``: a topic is made for ``email`` first; ``subscribes``: the address is new to it.
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
        """What it adds to a month's bill: the alarm, and the metric it looks at."""
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
    """Compare the alarm that is there with the one that is meant.

    Without topic and address it goes on telling whom it tells already. Raises BedrockUsageError if
    an alarm or topic of that name is not ours, or the topic is one that no alarm here can tell.
    """
    if topic is not None and topic.split(":")[3] != place.region:
        raise BedrockUsageError(
            f"{topic} is not in {place.region}, and an alarm tells only topics of its own region:"
            " name one of there, or another --region"
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
    """Carry a plan out; what is done already may be done again."""
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
        # Tags count only where the alarm is made; an update keeps those that it has.
        query = {**plan.alarm, "Tags": [TAG]}
        place.call("cloudwatch", "PutMetricAlarm", query, requires="ResponseMetadata")


def alarm_for(application: str, daily_limit: Decimal, topic: str | None) -> dict[str, Any]:
    """Return an application's alarm as PutMetricAlarm takes it."""
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
    """Return the ARN of our topic, whether it is there or not."""
    partition = place.account.session.get_partition_for_region(place.region)
    return f"arn:{partition}:sns:{place.region}:{place.account_id}:{TOPIC}"


def is_marked(tags: list[dict[str, str]]) -> bool:
    """Tell whether these are the tags of something that this program made."""
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
            f"the account has an alarm {name} that bedrock-usage did not make; it is"
            " left alone: rename or delete it, then run this again"
        )
    return present


def _compare(present: Mapping[str, Any] | None, alarm: Mapping[str, Any]) -> str:
    if present is None:
        return "create"
    is_same = all(_comparable(present.get(key)) == _comparable(alarm[key]) for key in alarm)
    return "keep" if is_same else "update"


def _comparable(value: Any) -> Any:
    """Return a value in which the order of a list does not count: CloudWatch may change it."""
    return sorted(value, key=str) if isinstance(value, list) else value


def _topic_is_there(place: Place, topic: str) -> bool:
    tags = topic_tags(place, topic)
    if tags is not None and not is_marked(tags):
        raise BedrockUsageError(
            f"the account has a topic {TOPIC} that bedrock-usage did not make; it is left alone:"
            " name it with --topic if it is the right one"
        )
    return tags is not None


def _subscribers(place: Place, topic: str) -> set[str]:
    pages = place.pages(
        "sns", "ListSubscriptionsByTopic", {"TopicArn": topic}, requires="Subscriptions"
    )
    return {one["Endpoint"] for page in pages for one in page["Subscriptions"]}
