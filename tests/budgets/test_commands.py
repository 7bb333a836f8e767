"""``budgets``, ``notify digest``, and ``sync``, which judges budgets too."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from etl.normalise.team_shares import TeamShare
from etl.warehouse.database import open_warehouse
from etl.warehouse.write.team_shares import apply_team_shares
from tests.aws import FakeAws, Fault
from tests.budgets.support import DOLLAR, Spending, Webhook
from tests.cli.recent import SMALL, record
from tests.cli.running import run
from tests.support import ACCOUNT, HAIKU, call, load, query, write_log

BUDGETS = """
[[budgets]]
name = "All"
amount = {amount}
per = "month"

[[budgets]]
name = "Each"
amount = 1000
per = "30d"
each = "application"
"""
NOTIFY = '[[notify.targets]]\nname = "ops"\nvariable = "OPS"\n'


def today() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """A warehouse with $12 of this day, read a moment ago."""
    path = tmp_path / "w.db"
    with open_warehouse(path, create=True) as db:
        spending = Spending(db, tmp_path)
        spending.spend(today().strftime("%Y-%m-%dT00:00:00Z"), 12)
        spending.synced(today().strftime("%Y-%m-%dT%H:%M:%SZ"))
    return path


def words(folder: Path, text: str) -> tuple[object, ...]:
    (folder / "c.toml").write_text(text)
    return ("--config", folder / "c.toml", "--db", folder / "w.db")


def test_the_exit_status_says_whether_a_budget_is_exceeded(db: Path, tmp_path: Path) -> None:
    status, out, err = run("budgets", *words(tmp_path, BUDGETS.format(amount=12)))
    assert status == 0, err
    assert "100.0 %" in out
    assert "100 % reached, $12.00 of $12.00" in err
    status, out, err = run("budgets", *words(tmp_path, BUDGETS.format(amount=11.99)))
    assert status == 3
    assert "exceeded" in out
    # The warehouse keeps the budgets without the file.
    assert run("budgets", "--db", db)[0] == 3
    status, out, err = run("budgets", "--db", db, "--format", "json")
    (state, each) = json.loads(out)["budgets"]
    assert (state["state"], state["used_percent"], each["name"]) == ("exceeded", 100.1, "Search")
    rows = list(csv.DictReader(io.StringIO(run("budgets", "--db", db, "--format", "csv")[1])))
    assert [row["budget"] for row in rows] == ["All", "Each"]


def test_what_cannot_be_judged_is_loud(db: Path, tmp_path: Path) -> None:
    with open_warehouse(db) as warehouse:
        warehouse.execute("update sync_state set read_at = '2026-01-01T00:00:00Z'")
    status, out, err = run("budgets", *words(tmp_path, BUDGETS.format(amount=100)))
    assert status == 1
    assert "cannot be judged" in out
    assert "2 budgets cannot be judged:\n  All, " in err
    assert "nothing was synced in this period, but at 2026-01-01T00:00:00Z" in err
    # More than that is known.
    assert run("budgets", *words(tmp_path, BUDGETS.format(amount=10)))[0] == 3


def test_a_name_that_nothing_has_is_said(db: Path, tmp_path: Path) -> None:
    names = {
        "user": ["alice", "alcie"], "application": ["Search", "search", "Unknown"],
        "model": [HAIKU, "anthropic.claude-4"], "region": ["us-east-1", "eu-west-9"],
        "account": [ACCOUNT, "999999999999"],
    }  # fmt: skip
    teams = '["(no team)", "Red", "Blue"]'
    text = f"""
[[budgets]]
name = "Named"
amount = 100
per = "month"
{"".join(f"{key} = {json.dumps(listed)}{chr(10)}" for key, listed in names.items())}
[[budgets]]
name = "Teams"
amount = 100
per = "month"
team = {teams}
"""
    with open_warehouse(db) as warehouse:
        shares = {"Red": 1, "Green": 1}
        apply_team_shares(warehouse, [TeamShare(application="Search", shares=shares)])
    err = run("budgets", *words(tmp_path, text))[2]
    told = [line[18:].split(";")[0] for line in err.splitlines() if "nothing loaded" in line]
    assert told == [
        "Named: nothing loaded is of account 999999999999",
        "Named: nothing loaded is of application search",
        "Named: nothing loaded is of model anthropic.claude-4",
        "Named: nothing loaded is of region eu-west-9",
        "Named: nothing loaded is of user alcie",
        "Teams: nothing loaded is of team Blue",
    ]


def test_without_budgets_it_says_how_to_have_some(db: Path) -> None:
    status, out, err = run("budgets", "--db", db)
    assert (status, out) == (0, "")
    assert "add [[budgets]]" in err


def test_messages_wait_if_asked_to(
    db: Path, tmp_path: Path, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPS", webhook.address)
    options = words(tmp_path, BUDGETS.format(amount=10) + NOTIFY)
    assert run("budgets", "--no-send", *options)[0] == 3
    assert webhook.received == []
    assert run("budgets", *options)[0] == 3
    assert [one["title"] for one in webhook.received] == ["Budget All: exceeded"]
    webhook.answers = [500]
    assert run("notify", "test", *options)[0] == 1
    with open_warehouse(db) as warehouse:
        earlier = call(99, eventTime=f"{today() - timedelta(days=8):%Y-%m-%d}T10:00:00Z")
        load(warehouse, write_log(tmp_path / "earlier.json", [earlier]))
    assert run("notify", "digest", "--daily", *options)[0] == 0
    assert run("notify", "digest", "--weekly", *options)[0] == 0
    status, _, err = run("notify", "digest", "--daily", *options)
    assert (status, err[:12]) == (0, "Sent before ")
    assert len(webhook.received) == 4
    assert run("notify", "digest", "--daily", "--again", *options)[0] == 0
    assert len(webhook.received) == 5


def test_a_digest_says_what_was_spent_what_changed_and_what_is_not_certain(
    tmp_path: Path,
) -> None:
    yesterday = (today() - timedelta(days=1)).strftime("%Y-%m-%d")
    before = (today() - timedelta(days=2)).strftime("%Y-%m-%d")
    with open_warehouse(tmp_path / "w.db", create=True) as db:
        spending = Spending(db, tmp_path)
        spending.spend(before, 8, app="Search")
        spending.spend(yesterday, 3, app="Search")
        spending.spend(yesterday, 9, app="Chat", user="=cmd|<b>")
        unpriced = {"requestParameters": {"modelId": "no.such-model"}}
        spending.spend(yesterday, 1, app="Chat", **unpriced)
    options = words(tmp_path, BUDGETS.format(amount=10))
    run("budgets", *options)
    status, out, _ = run("notify", "digest", "--daily", "--print", "text", *options)
    assert status == 0
    lines = out.splitlines()
    assert lines[0] == f"Amazon Bedrock, {yesterday}: ≥ $12.00"
    assert "In the day before it was $8.00 (+50.0%)." in out
    assert lines.index("- Chat (new): cost ≥ $9.00, change +$9.00, by calls +$9.00") < lines.index(
        "- Search: cost $3.00, change -$5.00, by tokens a call -$5.00"
    )
    assert "- =cmd|‹b> (new): cost $9.00, change +$9.00, by calls +$9.00" in lines
    assert "The cost is a lower bound: 1 call and 4.00M tokens without a price" in out
    html = run("notify", "digest", "--daily", "--print", "html", *options)[1]
    assert "<b>" not in html
    assert "=cmd|‹b&gt;" in html


def test_sync_judges_budgets_and_tells_once(
    aws: FakeAws, tmp_path: Path, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPS", webhook.address)
    aws.place().deliver(record(1, hours_ago=0.5, tokens=(12 * DOLLAR, 1)))
    text = BUDGETS.format(amount=10).replace("month", "2d") + NOTIFY
    options = words(tmp_path, text)
    status, _, err = run("sync", *SMALL, "--source", "cloudtrail", *options)
    assert status == 0, err
    assert "2 budgets in force" in err
    assert "Budget            All, " in err
    assert err.splitlines()[-1] == "Sent              budgets to ops"
    assert run("sync", *SMALL, "--source", "cloudtrail", *options)[0] == 0
    assert len(webhook.received) == 1
    assert query(tmp_path / "w.db", "select state from budget_status where budget = 'All'") == [
        ("exceeded",)
    ]
    # What cannot be sent is the sync's failure too: something is left to do.
    monkeypatch.delenv("OPS")
    aws.place().deliver(record(2, hours_ago=0.4, tokens=(12_000 * DOLLAR // 10, 1)))
    status, _, err = run("sync", *SMALL, "--source", "cloudtrail", *options)
    assert status == 1
    assert "Not sent          budgets to ops: the environment variable OPS has no address" in err


def test_a_sync_that_cannot_sign_in_still_tells_that_budgets_are_not_judged(
    aws: FakeAws, db: Path, tmp_path: Path, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPS", webhook.address)
    aws.faults.append(Fault("expired-credentials", times=None))
    with open_warehouse(db) as warehouse:
        earlier = today() - timedelta(days=2)
        warehouse.execute("update sync_state set read_at = ?", [f"{earlier:%Y-%m-%dT%H:%M:%SZ}"])
    options = words(tmp_path, BUDGETS.format(amount=100).replace("month", "7d") + NOTIFY)
    for _ in range(2):
        status, _, err = run("sync", *SMALL, "--source", "cloudtrail", *options)
        assert status == 1
        assert err.splitlines()[-1].startswith("Error: ")
    (message,) = webhook.received
    assert "- All: state cannot be judged: the last sync is too old" in message["message"]
