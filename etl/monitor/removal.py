"""Delete what this program made: the dashboard, alarms and topic that carry its mark.

Custom metrics cannot be deleted. They cost nothing once no values are published, and CloudWatch
drops their values after 15 months; ListMetrics hides them after two weeks.
"""

from __future__ import annotations

from typing import NamedTuple

from etl.monitor import cloudwatch_dashboard
from etl.monitor.alarms import PREFIX, alarm_tags, is_marked, own_topic, topic_tags
from etl.sources.aws import Place

_MOST_ALARMS = 100


class Thing(NamedTuple):
    """Something that was made: ``dashboard``, ``alarm`` or ``topic``, and its name or ARN."""

    kind: str
    name: str


def plan_removal(place: Place) -> list[Thing]:
    """Return the things that carry our mark."""
    things = []
    if cloudwatch_dashboard.MARK in (cloudwatch_dashboard.read_dashboard(place) or ""):
        things.append(Thing("dashboard", cloudwatch_dashboard.NAME))
    things += [Thing("alarm", name) for name in _own_alarms(place)]
    topic = own_topic(place)
    if is_marked(topic_tags(place, topic) or []):
        things.append(Thing("topic", topic))
    return things


def remove(place: Place, things: list[Thing]) -> None:
    """Delete them; the alarms before their topic."""
    for thing in things:
        if thing.kind == "dashboard":
            query = {"DashboardNames": [thing.name]}
            place.call("cloudwatch", "DeleteDashboards", query, requires="ResponseMetadata")
    alarms = [thing.name for thing in things if thing.kind == "alarm"]
    for first in range(0, len(alarms), _MOST_ALARMS):
        query = {"AlarmNames": alarms[first : first + _MOST_ALARMS]}
        place.call("cloudwatch", "DeleteAlarms", query, requires="ResponseMetadata")
    for thing in things:
        if thing.kind == "topic":
            query_topic = {"TopicArn": thing.name}
            place.call("sns", "DeleteTopic", query_topic, requires="ResponseMetadata")


def _own_alarms(place: Place) -> list[str]:
    query = {"AlarmNamePrefix": PREFIX, "AlarmTypes": ["MetricAlarm"]}
    pages = place.pages("cloudwatch", "DescribeAlarms", query, requires="MetricAlarms")
    return [
        alarm["AlarmName"]
        for page in pages
        for alarm in page["MetricAlarms"]
        if is_marked(alarm_tags(place, alarm["AlarmArn"]))
    ]
