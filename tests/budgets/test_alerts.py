"""What is unusual is told once, while it is news."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from etl.config import Target
from etl.notify.run import send_due
from etl.warehouse.alerts import record_alerts
from etl.warehouse.upkeep.forget import forget
from etl.warehouse.write.watch import renew_watch
from tests.aws.clock import FakeClock
from tests.budgets.support import Spending, Webhook, moment, of
from tests.support import call, role_identity, rows

pytest.importorskip("apprise", reason="an extra, notify")

FIRST, LAST = date(2026, 10, 1), date(2026, 11, 20)
OPS = Target(name="ops", variable="OPS", topics=("anomalies",))


def quiet(spending: Spending) -> None:
    spending.load(
        *(
            call(number, eventTime=f"{FIRST + timedelta(days=number)}T10:00:00Z", tokens=(10, 0))
            for number in range((LAST - FIRST).days + 1)
        )
    )
    renew_watch(spending.db)


def test_a_new_caller_is_told_once_and_by_its_name_of_now(
    spending: Spending, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPS", webhook.address)
    quiet(spending)
    at = moment(f"{LAST}T12:00:00")
    assert record_alerts(spending.db, at, ["ops"]) == 0
    backdoor = {"userIdentity": role_identity("backdoor"), "eventTime": f"{LAST}T11:00:00Z"}
    spending.load(call(9001, tokens=(4_000_000, 0), **backdoor))
    renew_watch(spending.db)
    # Without anyone to tell, it is not told; but it stays news.
    assert record_alerts(spending.db, at, []) == 0
    assert record_alerts(spending.db, at, ["ops"]) == 1
    spending.load(call(9002, tokens=(4_000_000, 0), **backdoor))
    renew_watch(spending.db)
    assert record_alerts(spending.db, at, ["ops"]) == 0
    said: list[str] = []
    assert send_due(spending.db, of(OPS), FakeClock(at), None, said.append)
    assert said == ["Sent              anomalies to ops"]
    (got,) = webhook.received
    assert got["title"] == "Unusual use of Amazon Bedrock: 1 finding"
    assert "backdoor" in got["message"]
    assert "new principal: its first call; 2 calls, $2.00" in got["message"]
    assert "bedrock-usage inspect" in got["message"]
    assert "backdoor" not in str(rows(spending.db, "select * from alerts"))
    # The next message tells of the next one alone.
    spending.load(call(9003, user="mallory", tokens=(1, 0), eventTime=f"{LAST}T11:30:00Z"))
    renew_watch(spending.db)
    assert record_alerts(spending.db, at, ["ops"]) == 1
    assert send_due(spending.db, of(OPS), FakeClock(at), None, said.append)
    assert "mallory" in webhook.received[1]["message"]
    assert "backdoor" not in webhook.received[1]["message"]


def test_a_message_that_waited_has_no_name_that_was_forgotten(
    spending: Spending, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPS", webhook.address)
    quiet(spending)
    spending.load(call(9001, user="mallory", tokens=(1, 0), eventTime=f"{LAST}T11:00:00Z"))
    renew_watch(spending.db)
    at = moment(f"{LAST}T12:00:00")
    assert record_alerts(spending.db, at, ["ops"]) == 1
    forget(spending.db, ["mallory"])
    send_due(spending.db, of(OPS), FakeClock(at), None, lambda line: None)
    assert "mallory" not in str(webhook.received)


def test_what_is_older_than_a_week_is_no_news(spending: Spending) -> None:
    quiet(spending)
    spending.load(call(9001, user="mallory", tokens=(1, 0), eventTime=f"{LAST}T11:00:00Z"))
    renew_watch(spending.db)
    for days, new in ((8, 0), (7, 1)):
        at = moment(f"{LAST}T11:00:00") + timedelta(days=days)
        assert record_alerts(spending.db, at, ["ops"]) == new
