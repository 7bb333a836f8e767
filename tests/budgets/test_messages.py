"""Messages arrive once, are recorded before they are sent, and are sent again if they were not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta
from email.message import Message
from pathlib import Path

import pytest

from etl.config import Target
from etl.notify.contents import digest, last_period, period_of
from etl.notify.document import as_text
from etl.notify.run import send_due
from etl.warehouse.messages import MOST_TRIES, add_message, due_deliveries
from etl.warehouse.turns import transaction
from tests.aws.clock import FakeClock
from tests.budgets.support import Mailbox, Spending, Webhook, budget, closed_port, moment, of
from tests.cli.running import ROOT, run
from tests.support import load, rows, write_metrics

pytest.importorskip("apprise", reason="an extra, notify")

NOW = "2026-11-02"
OPS = Target(name="ops", variable="OPS")


def crossed(spending: Spending, *targets: str) -> None:
    spending.budgets(budget(10))
    spending.spend(NOW, 6)
    assert len(spending.record(NOW, targets or ("ops",))) == 1


def send(
    spending: Spending, at: datetime, *targets: Target, **options: str
) -> tuple[bool, list[str]]:
    said: list[str] = []
    config = of(*(targets or (OPS,)), **options)
    return send_due(spending.db, config, FakeClock(at), None, said.append), said


def state_of(spending: Spending) -> list[tuple[object, ...]]:
    return rows(spending.db, "select target, state, tries from deliveries order by 1")


def test_a_crossing_arrives_by_webhook_and_only_once(
    spending: Spending, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPS", webhook.address)
    crossed(spending)
    is_sent, said = send(spending, moment(NOW), url="https://usage.example.com/")
    assert (is_sent, said) == (True, ["Sent              budgets to ops"])
    (got,) = webhook.received
    assert got["type"] == "warning"
    assert got["title"] == "Budget B: 50 % reached"
    assert "- B: state 50 % reached, cost $6.00, amount $10.00, period 2026-11" in got["message"]
    assert "Budgets: https://usage.example.com/budgets" in got["message"]
    assert send(spending, moment(NOW)) == (True, [])
    spending.record("2026-11-03", ("ops",))
    assert send(spending, moment("2026-11-03")) == (True, [])
    assert len(webhook.received) == 1
    assert state_of(spending) == [("ops", "sent", 1)]


def parts(mail: Message) -> dict[str, str]:
    return {
        part.get_content_type(): part.get_payload(decode=True).decode()  # type: ignore[union-attr]
        for part in mail.walk()
        if not part.is_multipart()
    }


def test_mail_has_both_forms_and_names_cannot_act_in_either(
    spending: Spending, mailbox: Mailbox, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPS", f"# ours\n{mailbox.address}\n\n{webhook.address}\n")
    name = "<img src=http://evil.example/x>@everyone a@Here [x](http://evil.example) <!channel> www.evil.example"
    spending.budgets(budget(10, each="user"))
    spending.spend(NOW, 6, user=name)
    spending.record(NOW, ("ops",))
    assert send(spending, moment(NOW))[0]
    (mail,) = mailbox.messages
    found = parts(mail)
    for text in (
        found["text/plain"],
        found["text/html"],
        webhook.received[0]["message"],
        str(mail["subject"]),
        webhook.received[0]["title"],
    ):
        for acting in ("<img", "://evil", "@everyone", "a@Here", "](", "<!channel", "www.evil"):
            assert acting not in text
    assert "‹img src=http: //evil.example/x>@ everyone" in found["text/plain"]
    assert "<table" in found["text/html"]


def test_what_fails_is_tried_again_later_and_then_given_up(
    spending: Spending, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPS", webhook.address)
    crossed(spending)
    webhook.answers = [500]
    is_sent, said = send(spending, moment(NOW))
    assert not is_sent
    assert said == [
        "Not sent          budgets to ops: address 1: JSON did not accept the message (answer 500);"
        " a later run tries again"
    ]
    # Too early, then late enough.
    assert send(spending, moment(NOW) + timedelta(minutes=4)) == (True, [])
    assert send(spending, moment(NOW) + timedelta(minutes=5))[0]
    assert webhook.received[-1]["title"] == "Budget B: 50 % reached"  # known not to have arrived
    crossed_again = spending.spend(NOW, 3)
    assert crossed_again is None
    spending.record(NOW, ("ops",))
    webhook.answers = [500] * MOST_TRIES
    at = moment(NOW)
    for number in range(MOST_TRIES):
        assert len(webhook.received) == 2 + number
        assert not send(spending, at)[0]
        at += timedelta(hours=13)
    assert send(spending, at) == (True, [])
    assert state_of(spending) == [("ops", "sent", 2), ("ops", "failed", MOST_TRIES)]
    assert at - moment(NOW) > timedelta(days=3)


def test_what_a_slow_server_may_have_taken_is_a_possible_repeat(
    spending: Spending, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPS", f"{webhook.address}?rto=0.2")
    crossed(spending)
    webhook.before_answer = lambda: time.sleep(0.5)
    is_sent, said = send(spending, moment(NOW))
    assert not is_sent
    assert "it did not answer; the message may have arrived" in said[0]
    webhook.before_answer = lambda: None
    assert send(spending, moment("2026-11-03"))[0]
    assert [one["title"] for one in webhook.received] == [
        "Budget B: 50 % reached", "[possible repeat] Budget B: 50 % reached",
    ]  # fmt: skip


def test_one_of_several_addresses_that_fails_does_not_repeat_the_others(
    spending: Spending, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = f"json://127.0.0.1:{closed_port()}/"
    monkeypatch.setenv("OPS", f"{dead}\n{webhook.address}")
    monkeypatch.setenv("BOSS", "nonsense")
    crossed(spending, "ops", "boss")
    boss = Target(name="boss", variable="BOSS")
    assert not send(spending, moment(NOW), OPS, boss)[0]
    _, said = send(spending, moment(NOW) + timedelta(hours=1), OPS, boss)
    assert len(webhook.received) == 1
    assert "boss: address 1: not one that apprise understands" in said[0]
    monkeypatch.setenv("OPS", webhook.address)
    assert send(spending, moment(NOW) + timedelta(hours=2))[0]  # boss waits for its configuration
    assert len(webhook.received) == 1
    assert {one[0]: one[1] for one in state_of(spending)} == {"ops": "sent", "boss": "pending"}


def test_a_kill_between_sending_and_recording_sends_it_again_as_a_possible_repeat(
    tmp_path: Path, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPS", webhook.address)
    (tmp_path / "c.toml").write_text('[[notify.targets]]\nname = "ops"\nvariable = "OPS"\n')
    words = ("notify", "test", "--db", tmp_path / "w.db", "--config", tmp_path / "c.toml")
    command = [sys.executable, "-m", "etl", *map(str, words)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE) as process:
        webhook.before_answer = lambda: os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert [one["title"] for one in webhook.received] == ["bedrock-usage: test message"]
    webhook.before_answer = lambda: None
    status, _, err = run("notify", "send", *words[2:])
    assert (status, err) == (0, "Sent              test to ops\n")
    assert webhook.received[-1]["title"] == "[possible repeat] bedrock-usage: test message"
    assert run("notify", "send", *words[2:])[::2] == (0, "")
    assert len(webhook.received) == 2
    status, out, _ = run("notify", "log", *words[2:4])
    assert status == 0
    assert "test ops sent, possible repeat 2" in " ".join(out.split())


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_a_file_of_addresses_that_others_can_read_is_refused(
    spending: Spending, webhook: Webhook, tmp_path: Path
) -> None:
    file = tmp_path / "addresses"
    file.write_text(webhook.address)
    target = Target(name="ops", file=str(file))
    crossed(spending)
    for days, mode in enumerate((0o640, 0o604, 0o644)):
        file.chmod(mode)
        is_sent, said = send(spending, moment(NOW) + timedelta(days=days), target)
        assert not is_sent
        assert "other users can read it" in said[0]
    assert webhook.received == []
    file.chmod(0o600)
    assert send(spending, moment(NOW) + timedelta(days=9), target)[0]
    assert len(webhook.received) == 1


def test_no_secret_is_in_the_output_or_the_warehouse(
    spending: Spending,
    webhook: Webhook,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    dead = f"json://someone:s3cret-pass@127.0.0.1:{closed_port()}/s3cret-pass"
    bad = "mailto://someone:s3cret-pass@?s3cret-pass"
    monkeypatch.setenv("OPS", "\n".join((webhook.address, dead, bad, "s3cret-pass")))
    crossed(spending)
    webhook.answers = [403]
    _, said = send(spending, moment(NOW))
    out = capfd.readouterr()
    assert len(webhook.received) == 1
    assert "address 4" in said[0]
    dumped = "\n".join(spending.db.conn.iterdump())
    for text in (*said, out.out, out.err, dumped):
        assert "s3cret" not in text
        assert "someone" not in text


def test_without_targets_what_is_due_waits_and_a_target_that_is_gone_is_given_up(
    spending: Spending,
) -> None:
    crossed(spending)
    assert send_due(spending.db, of(), FakeClock(moment(NOW)), None, print) is True
    assert state_of(spending) == [("ops", "pending", 0)]
    # Another configuration of the same warehouse may still have it.
    other = Target(name="other", variable="OTHER")
    assert send(spending, moment(NOW), other) == (True, [])
    assert state_of(spending) == [("ops", "pending", 0)]
    is_sent, said = send(spending, moment("2026-11-05"), other)
    assert not is_sent
    assert said == [
        "Not sent          budgets to ops: the configuration has no such target any more; it is given up"
    ]


def test_an_unset_variable_and_a_missing_extra_are_said(
    spending: Spending, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPS", raising=False)
    crossed(spending)
    assert "the environment variable OPS has no address" in send(spending, moment(NOW))[1][0]
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    said = send(spending, moment("2026-11-03"))[1]
    assert "pip install 'bedrock-usage[notify]'" in said[0]


def test_a_digest_is_of_the_last_day_or_week_that_is_over() -> None:
    for today, day, week in (
        ("2027-01-01", "2026-12-31", "2026-12-21 to 2026-12-27"),
        ("2027-01-04", "2027-01-03", "2026-12-28 to 2027-01-03"),
        ("2028-03-01", "2028-02-29", "2028-02-21 to 2028-02-27"),
    ):
        moment_ = moment(today).date()
        assert (str(last_period("day", moment_)), str(last_period("week", moment_))) == (day, week)


def test_a_digest_waits_until_its_days_are_read_but_not_longer_than_noon(
    spending: Spending, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPS", webhook.address)
    clock = FakeClock(moment("2026-11-03T00:05"))
    monkeypatch.setattr("etl.cli.notify.Clock", lambda: clock)
    (spending.folder / "c.toml").write_text('[[notify.targets]]\nname = "ops"\nvariable = "OPS"\n')
    options = ("--daily", "--config", spending.folder / "c.toml", "--db", spending.folder / "w.db")
    spending.spend("2026-11-01", 4)
    spending.spend("2026-11-02", 3)
    spending.synced("2026-11-02T23:40:00Z")
    for _ in range(2):
        status, _, err = run("notify", "digest", *options)
        assert (status, err[:6], webhook.received) == (0, "Waits ", [])
    spending.spend("2026-11-02T23:50:00Z", 2)
    spending.synced("2026-11-03T01:00:00Z")
    assert run("notify", "digest", *options)[2].startswith("Sent   ")
    assert run("notify", "digest", *options)[2].startswith("Sent before")
    assert [one["title"] for one in webhook.received] == ["Amazon Bedrock, 2026-11-02: $5.00"]
    # Who is told later gets it too, and nobody twice.
    more = '[[notify.targets]]\nname = "more"\nvariable = "OPS"\n'
    with (spending.folder / "c.toml").open("a") as file:
        file.write(more)
    assert run("notify", "digest", *options)[2].startswith("Sent              digest to more")
    assert len(webhook.received) == 2
    (spending.folder / "c.toml").write_text('[[notify.targets]]\nname = "ops"\nvariable = "OPS"\n')
    # The next one is never read to its end: whatever sends messages at noon sends it.
    clock = FakeClock(moment("2026-11-04T00:05"))
    assert run("notify", "digest", *options)[2].startswith("Waits ")
    assert send(spending, moment("2026-11-04T11:59")) == (True, [])
    assert send(spending, moment("2026-11-04T12:00"))[0]
    assert "Not all of 2026-11-03 is read" in webhook.received[2]["message"]


def test_a_digest_names_what_has_no_price_and_the_cost_that_a_budget_counts(
    spending: Spending,
) -> None:
    spending.spend(NOW, 12)
    spending.budgets(budget(10))
    totals = [("acme.model-v1:0", "InputTokenCount", 5000, f"{NOW}T10:00:00Z", 3600)]
    load(spending.db, write_metrics(spending.folder / "totals.csv", totals))
    spending.synced("2026-11-03T11:00:00Z")
    # As where estimates count at their upper end.
    state = {**spending.state("2026-11-03"), "cost_usd": 8.0, "is_lower_bound": 1}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("etl.notify.contents.budget_states", lambda *_: [state])
        text = as_text(digest(spending.db, period_of(f"day {NOW}"), None, moment("2026-11-03")))
    assert "- B: state exceeded, cost ≥ $12.00, amount $10.00" in text
    assert "No price for acme.model-v1:0 in us-east-1." in text
    assert "5,000 tokens without a price are unattributed" in text
    assert "Not all of" not in text


def test_a_subject_is_told_once(spending: Spending) -> None:
    with transaction(spending.db):
        first = add_message(spending.db, "digest", moment(NOW), ["ops"], "day 2026-11-01")
        assert first is not None
        assert add_message(spending.db, "digest", moment(NOW), ["ops"], "day 2026-11-01") is None
        assert add_message(spending.db, "test", moment(NOW), ["ops"]) is not None
        assert add_message(spending.db, "test", moment(NOW), ["ops"]) is not None
    assert len(due_deliveries(spending.db, moment(NOW))) == 3


def test_a_topic_of_sns_gets_it_by_the_credentials_that_boto3_finds(
    aws: object, tmp_path: Path
) -> None:
    import boto3

    topic = boto3.client("sns", region_name="eu-west-1").create_topic(Name="costs")["TopicArn"]
    (tmp_path / "c.toml").write_text(f'[[notify.targets]]\nname = "topic"\nsns = "{topic}"\n')
    words = ("--db", tmp_path / "w.db", "--config", tmp_path / "c.toml")
    assert run("notify", "test", *words)[::2] == (0, "Sent              test to topic\n")
    (tmp_path / "c.toml").write_text(f'[[notify.targets]]\nname = "topic"\nsns = "{topic}-none"\n')
    status, _, err = run("notify", "test", *words)
    assert status == 1
    assert "sns:Publish in eu-west-1" in err
