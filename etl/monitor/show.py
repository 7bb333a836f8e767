"""Plans of the monitor, and their results, as lines of text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from etl.monitor.alarms import AlarmPlan
from etl.monitor.plan import NAMESPACE, PublishPlan
from etl.monitor.prices import SOURCE, dollars, requests
from etl.monitor.publish import Result
from etl.show.escaping import harmless
from etl.show.numbers import count
from etl.times import utc_text

_PAIRS_SHOWN = 50


def plan_lines(plan: PublishPlan) -> list[str]:
    """Return what a run would do, and its price."""
    target, chosen = plan.target, plan.range
    first, last = utc_text(chosen.since), utc_text(chosen.until)
    lines = [
        f"Where             {NAMESPACE} in {target.region} (account {target.account_id})",
        f"Periods           {first} to {last}, of 5 minutes",
        f"Values            {count(len(plan.puts), 'value')}, {plan.corrections:,} of them"
        f" corrections, in {count(plan.requests, 'request')}"
        f" ({dollars(requests(plan.requests))})",
        f"Metrics           {plan.metrics:,}, {len(plan.new):,} of them new",
        *_pair_lines(plan),
        f"Price             {dollars(plan.a_month)} a month at most: $0.30 for each metric with"
        f" values, and requests; before the account's free tier ({SOURCE})",
    ]
    if not plan.puts:
        lines.append(
            f"Nothing to send   periods after {last} must settle first ([monitor] settle); earlier"
            " ones are published or had no calls (`bedrock-usage status`)"
        )
    if chosen.missed_from is not None:
        missed = utc_text(chosen.missed_from)
        lines.append(
            f"Left out          {missed} to {first}: CloudWatch accepts nothing older than two"
            " weeks, and calls that vacuum dropped can no longer be published"
        )
    return [*lines, *_doubt_lines(plan)]


def _pair_lines(plan: PublishPlan) -> Iterator[str]:
    pairs: dict[tuple[str, str], list[str]] = {}
    for series in sorted(plan.known | plan.new):
        mark = "" if series in plan.known else " (new)"
        pairs.setdefault(series[:2], []).append(f"{series.metric}{mark}")
    for (application, model_id), metrics in list(pairs.items())[:_PAIRS_SHOWN]:
        yield f"  {harmless(application)}, {harmless(model_id)}: {', '.join(metrics)}"
    if len(pairs) > _PAIRS_SHOWN:
        yield f"  and {len(pairs) - _PAIRS_SHOWN:,} more pairs of an application and a model"
    for application in plan.limited:
        yield f"  {harmless(application)}, all models: DailyCostUSD"


def _doubt_lines(plan: PublishPlan) -> Iterator[str]:
    """Yield what is not in the plan, and why."""
    if plan.calls_without_cost:
        yield (
            f"Without cost      {count(plan.calls_without_cost, 'call')}: no price, no tokens, or"
            " no estimate yet; unknown costs are not published"
        )
    if plan.unpriced_tokens:
        yield (
            f"Without a price   {count(plan.unpriced_tokens, 'token')}: CostUSD is the cost of the"
            " others (view unpriced_usage)"
        )
    if plan.undecided:
        yield (
            f"In doubt          {count(plan.undecided, 'value')} that an earlier run sent without"
            " an answer: they are read back first"
        )
    levels = {level.application for level in plan.levels}
    for application in set(plan.limited) - levels:
        yield f"Daily cost        unknown for {harmless(application)}: no value for its alarm"
    if plan.left_out:
        pairs = len({series[:2] for series in plan.left_out})
        yield (
            f"Left out          {count(len(plan.left_out), 'new metric')} of"
            f" {count(pairs, 'pair')} of an application and a model: more than was agreed to, or"
            " than max_metrics; run `bedrock-usage monitor publish`, with --since if this began"
            " days ago, or change [monitor]"
        )


def result_lines(plan: PublishPlan, result: Result) -> Iterator[str]:
    """Yield the result of a run."""
    daily = f" and {count(result.levels, 'daily cost')}" if result.levels else ""
    requests = count(result.requests, "request")
    yield f"Published         {count(result.values, 'value')}{daily} in {requests}"
    for reason in result.left:
        yield f"Not published     {harmless(reason)}"
    if plan.left_out:
        yield from (line for line in _doubt_lines(plan) if line.startswith("Left out"))


def alarm_lines(plan: AlarmPlan, daily_limit: Decimal) -> Iterator[str]:
    yield f"Alarm             {plan.alarm['AlarmName']}: {plan.action}"
    yield f"Limit             {dollars(daily_limit)} a day (UTC)"
    for topic in plan.alarm["AlarmActions"]:
        yield f"Notifies          {harmless(topic)}{' (new)' if plan.makes_topic else ''}"
    if not plan.alarm["AlarmActions"]:
        yield "Notifies          no one: name an address with --email, or a topic with --topic"
    if plan.subscribes:
        yield f"Subscribes        {harmless(plan.email)}, who must confirm an email"
    yield f"Price             {dollars(plan.a_month)} a month: $0.10 an alarm, $0.30 its metric"
