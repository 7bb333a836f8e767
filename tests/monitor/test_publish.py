"""Publishing: every value counts once in CloudWatch, whatever happens in between."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.config import Monitor
from etl.errors import ConfigError
from etl.monitor import plan as planning
from etl.monitor.publish import NotAgreedError, Publisher
from etl.normalise.rules import TeamRule
from etl.sources.accounts import open_own_account
from etl.sources.aws import Place
from etl.times import utc_text
from etl.warehouse import published_metrics as ledger
from etl.warehouse.database import open_warehouse
from etl.warehouse.write.attribution import apply_config
from tests.aws import REGION, Fault
from tests.monitor.support import EVERYTHING, Live
from tests.rounds import rounds, some
from tests.support import HAIKU, SONNET
from tests.sync.support import NOW, World, environment

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def some_calls(live: Live) -> None:
    live.call("Search", 5 * HOUR, tokens=(1000, 100))
    live.call("Search", 5 * HOUR - MINUTE, tokens=(7, 3), model=SONNET)
    live.call("Search", 3 * HOUR, tokens=(333, 11))
    live.call("Chat", 2 * HOUR, tokens=(500, 50))
    live.call("Chat", 2 * HOUR, tokens=None, errorCode="ThrottlingException")
    live.sync()


def test_cloudwatch_s_sums_are_those_of_the_views(live: Live) -> None:
    some_calls(live)
    assert live.publish().left == []
    assert live.sums("CostUSD") == live.costs() != {}
    assert live.sums("InputTokens") == live.costs("input_tokens") == {"Search": 1340, "Chat": 500}
    assert live.sums("OutputTokens") == live.costs("output_tokens")
    assert live.sums("Calls") == {"Search": 3, "Chat": 1}
    assert live.sums("FailedCalls") == {"Chat": 1}
    assert live.sums("InputTokens", by="ModelId") == {
        HAIKU: 1833,
        "anthropic.claude-sonnet-4-5-20250929-v1:0": 7,
    }


def test_values_stand_at_the_five_minutes_of_their_calls(live: Live) -> None:
    live.call(ago=3 * HOUR + 7 * MINUTE, tokens=(5, 1))
    live.call(ago=3 * HOUR + 6 * MINUTE, tokens=(6, 1))
    live.call(ago=3 * HOUR + 5 * MINUTE, tokens=(7, 1))
    live.sync()
    live.publish()
    start = int((NOW - 3 * HOUR).timestamp())
    assert live.points("InputTokens") == {start - 600: 11, start - 300: 7}


def test_publishing_twice_is_publishing_once(live: Live) -> None:
    some_calls(live)
    live.publish()
    assert live.in_flight() == 0
    puts, sums = live.puts(), live.sums("CostUSD")
    again = live.publish()
    assert (again.values, again.left) == (0, [])
    assert (live.puts(), live.sums("CostUSD")) == (puts, sums)


def test_a_late_call_corrects_its_period_by_the_difference(live: Live) -> None:
    some_calls(live)
    live.publish()
    live.late("Search", 5 * HOUR, tokens=(40, 4))
    plan = live.plan()
    assert {put.series.metric: put.amount for put in plan.puts}["InputTokens"] == 40
    assert plan.corrections == len(plan.puts) == 4
    assert live.publish().left == []
    assert live.sums("InputTokens") == live.costs("input_tokens") == {"Search": 1380, "Chat": 500}


def test_what_turns_out_to_be_another_s_is_taken_away_with_a_negative_value(live: Live) -> None:
    some_calls(live)
    live.publish()
    live.world.rows("update applications set application = 'Renamed' where application = 'Chat'")
    live.world.rows("delete from stale_rate_keys")
    assert live.publish().left == []
    assert live.sums("InputTokens") == {"Search": 1340, "Chat": 0, "Renamed": 500}
    assert live.sums("CostUSD")["Chat"] == 0


def test_a_period_is_put_only_when_it_is_settled(live: Live) -> None:
    live.call(ago=10 * MINUTE)
    live.clock.advance(MINUTE)
    live.sync()
    assert live.publish().values == 0
    live.clock.advance(20 * MINUTE)
    assert live.publish().values > 0


def test_nothing_is_put_for_what_is_unknown_or_zero(live: Live) -> None:
    live.call("Mystery", tokens=(10, 1), model="nobody.knows-v1:0")
    live.call("Silent", tokens=None)
    live.call("Failing", tokens=None, errorCode="AccessDenied")
    live.sync()
    assert live.plan().calls_without_cost == 2
    assert live.plan().unpriced_tokens == 11
    live.publish()
    assert live.sums("CostUSD") == {}
    assert live.sums("InputTokens") == {"Mystery": 10}
    assert live.sums("CacheReadTokens") == {}
    assert live.sums("Calls") == {"Mystery": 1, "Silent": 1}
    assert live.sums("FailedCalls") == {"Failing": 1}


def with_totals(live: Live, hour: datetime, tokens: int) -> None:
    for metric in ("InputTokenCount", "OutputTokenCount"):
        live.world.place.metric("AWS/Bedrock", metric, {"ModelId": HAIKU}, {hour: tokens})


def test_estimates_are_put_too_and_add_up(live: Live) -> None:
    for minutes in (181, 192, 199):
        live.call(ago=minutes * MINUTE, tokens=None)
    live.call(ago=186 * MINUTE, tokens=(10, 20))
    with_totals(live, NOW - 4 * HOUR, 1000)  # 990 and 980 are shared by three calls
    with_totals(live, NOW - 7 * HOUR, 101)  # no call accounts for these
    live.sync("cloudtrail", "cloudwatch")
    live.publish()
    assert live.sums("InputTokens") == {"Search": 1000, "(unattributed)": 101}
    assert live.sums("OutputTokens") == {"Search": 1000, "(unattributed)": 101}
    assert live.sums("CostUSD") == live.costs() != {}
    assert sorted(live.points("InputTokens").values()) == [10, 330, 330, 330]
    assert sorted(live.points("OutputTokens").values()) == [20, 326, 327, 327]
    assert sorted(live.points("InputTokens", "(unattributed)").values()) == [8] * 7 + [9] * 5


def test_without_estimates_there_is_what_calls_tell(live: Live) -> None:
    live.call(ago=181 * MINUTE, tokens=None)
    live.call(ago=185 * MINUTE, tokens=(10, 20))
    with_totals(live, NOW - 4 * HOUR, 1000)
    live.sync("cloudtrail", "cloudwatch")
    live.publish(msgspec.structs.replace(EVERYTHING, include_estimates=False))
    assert live.sums("InputTokens") == {"Search": 10}


def test_an_estimate_that_changes_is_corrected(live: Live) -> None:
    live.call(ago=181 * MINUTE, tokens=None)
    live.call(ago=182 * MINUTE, tokens=None)
    with_totals(live, NOW - 4 * HOUR, 1000)
    live.sync("cloudtrail", "cloudwatch")
    live.publish()
    live.late("Chat", 200 * MINUTE, tokens=(400, 400))
    live.publish()
    assert live.sums("InputTokens") == {"Search": 600, "Chat": 400}
    assert live.sums("CostUSD") == live.costs()


def test_a_crash_between_the_put_and_the_ledger_counts_once(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    some_calls(live)
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "confirm", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            live.publish()
    sums = live.sums("InputTokens")
    assert live.in_flight() > 0
    assert sums["Search"] > 0
    live.clock.advance(MINUTE)
    assert live.publish().left == []
    assert live.sums("InputTokens") == live.costs("input_tokens") == sums
    assert (live.puts(), live.in_flight()) == (1, 0)


def test_a_request_that_got_lost_is_put_again_but_not_before_it_is_certain(live: Live) -> None:
    live.call(ago=2 * HOUR)
    live.sync()
    live.aws.faults.append(Fault("reset", operation="PutMetricData"))
    first = live.publish()
    assert "no response" in first.left[-1]
    assert (first.values, live.puts(), live.in_flight()) == (0, 1, 4)
    live.clock.advance(5 * MINUTE)
    second = live.publish()
    assert "does not show yet" in second.left[0]
    assert live.puts() == 1
    live.clock.advance(11 * MINUTE)
    third = live.publish()
    assert third.left == []
    assert (live.puts(), live.in_flight()) == (2, 0)
    assert live.sums("InputTokens") == {"Search": 1000}


@pytest.mark.parametrize("kind", some(["reset-in-body", "500", "503", "garbage"], 2))
def test_an_answer_that_does_not_come_through_is_read_back(live: Live, kind: str) -> None:
    some_calls(live)
    live.aws.faults.append(Fault(kind, operation="PutMetricData"))
    live.publish()
    for _ in range(3):
        live.clock.advance(3 * HOUR)
        live.publish()
    assert live.in_flight() == 0
    assert live.sums("InputTokens") == live.costs("input_tokens") != {}
    assert live.sums("CostUSD") == live.costs()


def test_what_shows_late_is_waited_for(live: Live) -> None:
    live.call(ago=2 * HOUR)
    live.sync()
    live.world.place.metrics.lag = 10 * MINUTE
    live.aws.faults.append(Fault("reset-in-body", operation="PutMetricData"))
    assert live.publish().left
    live.clock.advance(5 * MINUTE)
    assert live.publish().left
    live.clock.advance(6 * MINUTE)
    assert live.publish().left == []
    assert (live.puts(), live.in_flight()) == (1, 0)
    assert live.sums("InputTokens") == {"Search": 1000}


def test_a_correction_is_not_lost_while_its_period_is_in_doubt(live: Live) -> None:
    live.call(ago=2 * HOUR)
    live.sync()
    live.aws.faults.append(Fault("reset", operation="PutMetricData"))
    live.publish()
    live.late(ago=2 * HOUR, tokens=(50, 5))
    live.clock.advance(5 * MINUTE)
    live.publish()
    assert live.sums("InputTokens") == {}
    live.clock.advance(20 * MINUTE)
    assert live.publish().left == []
    assert live.sums("InputTokens") == live.costs("input_tokens") == {"Search": 1050}


def test_a_put_that_fails_halfway_leaves_the_rest_for_the_next_run(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "MOST_METRICS_A_REQUEST", 4)
    some_calls(live)
    total = len(live.plan().puts)
    assert len(live.plan().batches) > 2
    live.aws.faults.append(Fault("throttle", operation="PutMetricData", skip=1, times=None))
    result = live.publish()
    assert (result.values, live.in_flight()) == (4, 0)
    assert f"{total - 4} of {total} values were not sent" in result.left
    assert "throttled" in result.left[-1]
    live.aws.faults.clear()
    rest = live.publish()
    assert (rest.values, rest.left) == (total - 4, [])
    assert live.sums("InputTokens") == live.costs("input_tokens")
    assert live.sums("CostUSD") == live.costs()


def test_a_throttled_request_is_tried_again(live: Live) -> None:
    some_calls(live)
    live.aws.faults.append(Fault("throttle", operation="PutMetricData", times=3))
    assert live.publish().left == []
    assert live.sums("InputTokens") == live.costs("input_tokens")


def test_a_refused_request_leaves_nothing_in_doubt(live: Live) -> None:
    some_calls(live)
    live.aws.faults.append(Fault("denied", operation="PutMetricData"))
    result = live.publish()
    assert "add cloudwatch:PutMetricData to the policy" in result.left[-1]
    assert (live.in_flight(), live.sums("InputTokens")) == (0, {})
    assert live.publish().left == []
    assert live.sums("InputTokens") == live.costs("input_tokens")


def test_without_a_connection_nothing_is_in_doubt(live: Live) -> None:
    some_calls(live)
    live.publish()
    live.late("Search", 5 * HOUR, tokens=(40, 4))
    nowhere = {"AWS_ENDPOINT_URL_CLOUDWATCH": "http://127.0.0.1:9"}
    with environment(live.aws.environment() | nowhere), open_warehouse(live.world.path) as db:
        place = Place(open_own_account(None, live.clock), REGION, live.clock)
        publisher = Publisher(db, place, EVERYTHING)
        result = publisher.run(publisher.plan())
    assert "no response (EndpointConnectionError)" in result.left[-1]
    assert live.in_flight() == 0
    assert live.publish().left == []
    assert live.sums("InputTokens") == live.costs("input_tokens") == {"Search": 1380, "Chat": 500}


def test_a_rebuilt_warehouse_doubles_nothing(live: Live) -> None:
    some_calls(live)
    live.publish()
    sums = live.sums("CostUSD")
    for table in ("points", "limits", "series", "targets"):
        live.world.rows(f"delete from monitor_{table}")
    live.late("Chat", 4 * HOUR, tokens=(1, 1))
    assert live.publish().left == []
    assert live.sums("CostUSD") == live.costs() != sums
    assert live.sums("Calls") == {"Search": 3, "Chat": 2}


WRONG = ["reset", "reset-in-body", "500", "throttle", "denied"]


@given(
    steps=st.lists(st.sampled_from(["call", "publish", "wait", *WRONG]), min_size=8, max_size=16)
)
@settings(max_examples=rounds(2, 100))
def test_whatever_goes_wrong_it_ends_in_the_sums_of_the_views(
    new_world: Callable[[], World], steps: list[str]
) -> None:
    live = Live(new_world())
    live.world.place.metrics.lag = 10 * MINUTE
    for number, step in enumerate(["call", *steps]):
        if step == "call":
            live.late(ago=live.clock.now() - NOW + number * 20 * MINUTE, tokens=(2**number, 1))
        elif step == "wait":
            live.clock.advance(10 * MINUTE)
        else:
            if step != "publish":
                live.aws.faults.append(Fault(step, operation="PutMetricData", times=8))
            live.publish()
            live.aws.faults.clear()
    for wait in (timedelta(), 15 * MINUTE, 3 * HOUR):
        live.clock.advance(wait)
        last = live.publish()
    assert (last.left, live.in_flight()) == ([], 0)
    live.clock.advance(10 * MINUTE)
    assert live.sums("InputTokens") == live.costs("input_tokens")
    assert live.sums("CostUSD") == live.costs()


def test_what_a_first_run_could_not_put_is_put_days_later(live: Live) -> None:
    live.call(ago=23 * HOUR, tokens=(1, 1))
    live.call(ago=2 * HOUR, tokens=(2, 1))
    live.sync()
    live.aws.faults.append(Fault("denied", operation="PutMetricData", times=2))
    assert live.publish().left
    live.clock.advance(3 * DAY)
    assert live.publish().left
    assert live.publish().left == []
    assert live.sums("InputTokens") == {"Search": 3}


def test_what_since_could_not_put_is_put_by_the_next_run(live: Live) -> None:
    live.call(ago=6 * DAY, tokens=(1, 1))
    live.call(ago=2 * HOUR, tokens=(2, 1))
    live.sync()
    live.publish()
    live.aws.faults.append(Fault("denied", operation="PutMetricData"))
    assert live.publish(since=NOW - 7 * DAY).left
    assert live.publish().left == []
    assert live.sums("InputTokens") == {"Search": 3}


def test_the_first_run_puts_a_day_and_since_puts_more(live: Live) -> None:
    live.call(ago=30 * HOUR, tokens=(1, 1))
    live.call(ago=20 * HOUR, tokens=(2, 1))
    live.sync()
    live.publish()
    assert live.sums("InputTokens") == {"Search": 2}
    live.publish()
    assert live.sums("InputTokens") == {"Search": 2}
    live.publish(since=NOW - 2 * DAY)
    assert live.sums("InputTokens") == {"Search": 3}


def test_after_a_pause_what_came_in_it_is_put_up_to_two_weeks_back(live: Live) -> None:
    live.call(ago=2 * HOUR, tokens=(1, 1))
    live.sync()
    live.publish()
    live.clock.advance(10 * DAY)
    live.late(ago=9 * DAY, tokens=(2, 1))
    live.publish()
    assert live.sums("InputTokens") == {"Search": 3}
    live.clock.advance(20 * DAY)
    live.late(ago=18 * DAY, tokens=(4, 1))
    live.late(ago=12 * DAY, tokens=(8, 1))
    plan = live.plan()
    assert plan.range.missed_from is not None
    assert live.publish().left == []
    assert live.sums("InputTokens") == {"Search": 11}


def test_what_vacuum_dropped_is_not_taken_back(live: Live) -> None:
    some_calls(live)
    live.publish()
    before = live.sums("InputTokens")
    horizon = utc_text(NOW - 2 * HOUR - MINUTE)
    live.world.rows("pragma foreign_keys = off")
    live.world.rows("delete from events where event_time < ?", horizon)
    live.world.rows(
        "insert into dropped_calls values ('2026-11-20T12:00:00Z', ?, 3, null, null)", horizon
    )
    assert live.publish().left == []
    assert live.sums("InputTokens") == before


def test_nothing_is_published_before_the_price_is_agreed_to(live: Live) -> None:
    some_calls(live)
    with pytest.raises(NotAgreedError, match=r"\$2\.79 a month"):
        live.publish(Monitor())
    assert (live.puts(), live.in_flight(), live.aws.count("GetMetricData")) == (0, 0, 0)


def test_more_metrics_than_allowed_are_refused_with_the_price(live: Live) -> None:
    some_calls(live)
    with pytest.raises(ConfigError, match=r"9 metrics \(3 for each of 3 pairs .* \$2\.79 a month"):
        live.publish(Monitor(max_metrics=8, accept_usd_a_month=100.0))
    assert live.puts() == 0


@pytest.mark.parametrize(
    "monitor",
    [Monitor(max_metrics=9, accept_usd_a_month=100.0), Monitor(accept_usd_a_month=2.8)],
    ids=["max_metrics", "price"],
)
def test_new_names_beyond_it_are_left_out_and_the_others_go_on(
    live: Live, monitor: Monitor
) -> None:
    some_calls(live)
    assert live.publish(monitor).left == []
    live.late("Surprise", 2 * HOUR, tokens=(1, 1))
    live.late("Chat", 2 * HOUR, tokens=(5, 5))
    live.publish(monitor)
    assert live.sums("InputTokens") == {"Search": 1340, "Chat": 505}


def test_by_team_the_sums_are_those_of_the_teams_and_switching_takes_nothing_away(
    live: Live,
) -> None:
    by_team = msgspec.structs.replace(EVERYTHING, by="team")
    with open_warehouse(live.world.path) as db:
        apply_config(db, [TeamRule(team="Web", application="Search")], {})
    live.call("Search", tokens=(1000, 1))
    live.call("Chat", tokens=(50, 1))
    live.call("Docs", tokens=(7, 1))
    live.sync()
    live.publish()
    by_application = {"Search": 1000, "Chat": 50, "Docs": 7}
    for _ in range(2):
        live.publish(by_team)
        assert live.sums("InputTokens", by="Team") == {"Web": 1000, "(no team)": 57}
    costs = dict(live.world.rows("select team, cost_usd from team_costs"))
    assert live.sums("CostUSD", by="Team") == pytest.approx(costs)
    # A correction goes to what is published now; a change back makes up for what was missed.
    live.late("Search", tokens=(1, 1))
    live.publish(msgspec.structs.replace(by_team, teams=("Web",)))
    assert live.sums("InputTokens", by="Team") == {"Web": 1001, "(no team)": 57}
    assert live.sums("InputTokens") == by_application
    live.publish()
    assert live.sums("InputTokens") == by_application | {"Search": 1001}


def test_only_the_applications_that_are_wanted(live: Live) -> None:
    some_calls(live)
    only = msgspec.structs.replace(EVERYTHING, applications=("Chat",), metrics=("CostUSD",))
    live.publish()
    assert live.publish(only).values == 0  # nothing is reversed
    assert live.plan(only).metrics == 1


def levels(live: Live) -> list[float]:
    return [value for _, value in sorted(live.points("DailyCostUSD").items())]


def test_the_cost_of_the_day_is_put_for_applications_with_a_limit(live: Live) -> None:
    live.call(ago=2 * HOUR, tokens=(1_000_000, 0))
    live.call("Chat", ago=2 * HOUR, tokens=(1_000_000, 0))
    live.call(ago=14 * HOUR, tokens=(1_000_000, 0))  # yesterday
    live.sync()
    live.limit("Search", "50")
    live.publish()
    assert levels(live) == [0.25]
    assert live.points("DailyCostUSD", "Chat") == {}
    assert live.sums("DailyCostUSD", by="ModelId") == {"(all models)": 0.25}


def levels_at(live: Live, *moments: timedelta) -> list[float]:
    """Return the levels after runs at these times after NOW."""
    for moment in moments:
        live.clock.advance(NOW + moment - live.clock.now())
        live.publish()
    return levels(live)


def test_it_begins_at_0_each_day_once_the_day_before_was_published_to_its_end(live: Live) -> None:
    live.limit("Search", "50")
    live.call(ago=2 * HOUR, tokens=(1_000_000, 0))
    live.sync()
    midnight = 12 * HOUR
    runs = [timedelta(), *(midnight + minutes * MINUTE for minutes in (10, 20, 30))]
    assert levels_at(live, *runs) == [0.25, 0.25, 0.25, 0.0]


def test_calls_between_the_last_run_and_midnight_are_published_by_the_next(live: Live) -> None:
    live.limit("Search", "50")
    live.call(ago=2 * HOUR, tokens=(1_000_000, 0))
    live.sync()
    assert levels_at(live, 11 * HOUR) == [0.25]
    live.late(ago=-30 * MINUTE, tokens=(2_000_000, 0))
    assert levels_at(live, 13 * HOUR, 14 * HOUR) == [0.25, 0.75, 0.0]


def test_a_run_that_failed_later_does_not_tell_a_day_again(live: Live) -> None:
    live.limit("Search", "50")
    live.call(ago=2 * HOUR, tokens=(1_000_000, 0))
    live.sync()
    levels_at(live, timedelta(), 13 * HOUR)
    live.late(ago=30 * MINUTE, tokens=(400_000, 0))
    live.aws.faults.append(Fault("denied", operation="PutMetricData", skip=1))
    assert levels_at(live, 15 * HOUR, 16 * HOUR) == [0.25, 0.25, 0.1, 0.1]


def test_an_unknown_cost_of_the_day_is_no_level(live: Live) -> None:
    live.limit("Search", "50")
    live.call(ago=2 * HOUR, tokens=(10, 1), model="nobody.knows-v1:0")
    live.sync()
    assert live.plan().levels == ()
    live.publish()
    assert levels(live) == []


def test_a_rebuilt_warehouse_doubles_no_earlier_values_either(live: Live) -> None:
    live.call(ago=5 * DAY, tokens=(1, 1))
    live.call(ago=2 * HOUR, tokens=(2, 1))
    live.sync()
    live.publish(since=NOW - 6 * DAY)
    sums = live.sums("CostUSD")
    for table in ("points", "limits", "series", "targets"):
        live.world.rows(f"delete from monitor_{table}")
    live.publish()
    assert live.publish(since=NOW - 6 * DAY).left == []
    assert live.sums("InputTokens") == {"Search": 3}
    assert live.sums("CostUSD") == sums


def test_what_cannot_be_read_back_is_not_put(live: Live) -> None:
    live.call(ago=5 * DAY, tokens=(1, 1))
    live.call(ago=2 * HOUR, tokens=(2, 1))
    live.sync()
    live.publish(since=NOW - 6 * DAY)
    for table in ("points", "limits", "series", "targets"):
        live.world.rows(f"delete from monitor_{table}")
    live.publish()
    live.aws.faults.append(Fault("denied", operation="GetMetricData"))
    assert live.publish(since=NOW - 6 * DAY).left
    assert live.publish(since=NOW - 6 * DAY).left == []
    assert live.publish().left == []
    assert live.sums("InputTokens") == {"Search": 3}


def test_since_leaves_no_gap_behind_it(live: Live) -> None:
    live.call(ago=2 * HOUR, tokens=(1, 1))
    live.sync()
    live.publish()
    live.clock.advance(5 * DAY)
    live.late(ago=4 * DAY, tokens=(2, 1))
    live.late(ago=2 * HOUR, tokens=(4, 1))
    assert live.publish(since=live.clock.now() - DAY).left == []
    assert live.publish().left == []
    assert live.sums("InputTokens") == {"Search": 7}


def test_a_warehouse_put_back_from_a_copy_doubles_nothing(live: Live) -> None:
    live.call(ago=5 * HOUR, tokens=(1, 1))
    live.sync()
    live.publish()
    ((copied,),) = live.world.rows("select published_to from monitor_targets")
    live.clock.advance(8 * HOUR)
    live.late(ago=2 * HOUR, tokens=(2, 1))
    live.publish()
    sums = live.sums("CostUSD")
    live.world.rows("delete from monitor_points where period_start >= ?", copied)
    live.world.rows("update monitor_targets set published_to = ?", copied)
    live.late(ago=3 * HOUR, tokens=(4, 1))
    assert live.publish().left == []
    assert live.sums("InputTokens") == {"Search": 7}
    assert live.sums("CostUSD") == live.costs() != sums


def test_what_was_put_a_moment_ago_is_read_back_only_where_the_ledger_does_not_know(
    live: Live,
) -> None:
    some_calls(live)
    live.publish()
    reads = live.aws.count("GetMetricData")
    live.clock.advance(HOUR)
    live.late("Search", 2 * HOUR, tokens=(40, 4))
    live.publish()
    assert live.aws.count("GetMetricData") == reads


def test_what_is_in_flight_is_found_without_looking_at_all_that_was_published(live: Live) -> None:
    asked: list[tuple[str, object]] = []
    with open_warehouse(live.world.path, create=True) as db:
        place = live.world.places()[0]
        target = ledger.find_target(db, place.account_id, place.region)
        with db.tracer(lambda sql, parameters: asked.append((sql, parameters))):
            assert ledger.in_flight(db, target) == []
        ((sql, parameters),) = asked
        steps = db.execute(f"explain query plan {sql}", parameters).fetchall()
    assert any("monitor_points_in_flight" in step[3] for step in steps), steps
