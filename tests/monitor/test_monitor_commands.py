"""``bedrock-usage monitor`` as a user meets it, against a fake AWS in real time."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from click.testing import CliRunner

from etl.cli import main
from etl.monitor.plan import NAMESPACE
from etl.policy import MONITOR
from tests.aws import FakeAws, Fault
from tests.cases import cases
from tests.cli.running import ROOT, run
from tests.support import call, marked_demo, role_identity, write_log
from tests.sync.support import environment

WRITES = {
    *("PutMetricData", "PutDashboard", "DeleteDashboards", "PutMetricAlarm", "DeleteAlarms"),
    *("CreateTopic", "Subscribe", "DeleteTopic"),
}
LIMIT = ("--application", "Search", "--daily-limit", "50")


@pytest.fixture
def aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAws]:
    monkeypatch.chdir(tmp_path)
    with FakeAws() as fake, environment(fake.environment()):
        yield fake


def a_call(number: int, application: str = "Search", **fields: Any) -> dict[str, Any]:
    moment = datetime.now(UTC) - timedelta(hours=3)
    fields = {"tokens": (1_000_000, 1000), **fields}
    identity = role_identity(f"{application}-BedrockRole")
    return call(number, eventTime=moment.strftime("%Y-%m-%dT%H:%M:%SZ"), userIdentity=identity, **fields)  # fmt: skip


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("loaded")
    log = write_log(folder / "log.json", [a_call(1), a_call(2, "Chat")])
    assert run("load", log, "--db", folder / "w.db")[0] == 0
    return folder / "w.db"


@pytest.fixture
def path(aws: FakeAws, tmp_path: Path, loaded: Path) -> Path:
    return Path(shutil.copy(loaded, tmp_path))


def writes(aws: FakeAws) -> list[str]:
    return [request.operation for request in aws.requests if request.operation in WRITES]


def put_metrics(aws: FakeAws) -> list[tuple[str, dict[str, str]]]:
    keys = aws.place().metrics.listed()
    return [(key.name, dict(key.dimensions)) for key in keys if key.namespace == NAMESPACE]


def monitor(*words: object, answer: str | None = None) -> tuple[int, str, str]:
    """Run the command; ``answer``: what the user types, None without a terminal."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("etl.cli.shared.consent.is_interactive", lambda: answer is not None)
        result = CliRunner().invoke(main, ["monitor", *map(str, words)], input=answer)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def test_a_dry_run_prints_the_plan_and_its_price_and_sends_nothing(
    aws: FakeAws, path: Path
) -> None:
    status, out, err = monitor("publish", "--dry-run", "--db", path)
    assert (status, err) == (0, "")
    assert "Custom/BedrockUsage in us-east-1 (account 111122223333)" in out
    assert "Values            6 values, 0 of them corrections, in 1 request ($0.00001)" in out
    assert "Metrics           6, 6 of them new" in out
    assert "Nothing to send" not in out
    assert "  Chat, anthropic.claude-3-haiku-20240307-v1:0: CostUSD (new), InputTokens (new)" in out
    assert "Price             $1.89 a month at most: $0.30 for each metric" in out
    assert {request.operation for request in aws.requests} == {"GetCallerIdentity"}


@pytest.mark.parametrize("answer", ["n\n", ""])
def test_nothing_is_put_before_yes(aws: FakeAws, path: Path, answer: str) -> None:
    status, _, err = monitor("publish", "--db", path, answer=answer)
    assert status == 1
    assert "Publish, for up to $1.89 a month?" in err
    assert "not agreed: nothing was sent" in err
    assert (writes(aws), put_metrics(aws)) == ([], [])


def test_yes_is_asked_for_once_and_again_when_it_costs_more(aws: FakeAws, path: Path) -> None:
    status, _, err = monitor("publish", "--db", path, answer="y\n")
    assert status == 0, err
    assert err.splitlines()[-1] == "Published         6 values in 1 request"
    run("load", write_log(path.parent / "b.json", [a_call(3)]), "--db", path)
    status, _, err = monitor("publish", "--db", path)
    assert status == 0, err
    assert "?" not in err
    run("load", write_log(path.parent / "c.json", [a_call(4, "More")]), "--db", path)
    status, _, err = monitor("publish", "--db", path)
    assert status == 1
    assert "Publish, for up to $2.79 a month?" in err
    assert len(put_metrics(aws)) == 6
    assert monitor("publish", "--db", path, "--yes")[0] == 0
    assert len(put_metrics(aws)) == 9
    assert "Nothing to send   periods after" in monitor("publish", "--dry-run", "--db", path)[1]
    assert all(set(dimensions) == {"Application", "ModelId"} for _, dimensions in put_metrics(aws))


def test_what_is_left_is_said_with_status_1(aws: FakeAws, path: Path) -> None:
    aws.faults.append(Fault("denied", operation="PutMetricData"))
    status, _, err = monitor("publish", "--db", path, "--yes")
    assert status == 1
    assert "Not published     6 of 6 values were not sent" in err
    assert "add cloudwatch:PutMetricData to the policy" in err


def test_killed_in_the_middle_of_a_put_it_counts_once(aws: FakeAws, path: Path) -> None:
    aws.faults.append(Fault("slow", operation="PutMetricData", seconds=1.0))
    words = [sys.executable, "-m", "etl", "monitor", "publish", "--yes", "--db", str(path)]
    process = subprocess.Popen(words, cwd=ROOT, stderr=subprocess.DEVNULL)
    wait_until(lambda: aws.count("PutMetricData") == 1)
    process.kill()
    process.wait()
    assert put_metrics(aws) == []  # it was killed before the request was done
    wait_until(lambda: len(put_metrics(aws)) == 6)
    status, _, err = monitor("publish", "--db", path)
    assert status == 0, err
    assert err.splitlines()[-1] == "Published         0 values in 0 requests"
    assert aws.count("PutMetricData") == 1
    found = aws.place().metrics.series(NAMESPACE, "InputTokens", put_metrics(aws)[0][1])
    assert list(found.sums(0, 2**40, 300).values()) == [1_000_000]


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_demo_is_published_nowhere(aws: FakeAws, tmp_path: Path) -> None:
    demo = marked_demo(tmp_path / "demo.db")
    for command in (["publish", "--yes"], ["dashboard", "--yes"], ["alarm", *LIMIT], ["remove"]):
        status, _, err = monitor(*command, "--db", demo)
        assert status == 1
        assert "holds the demo's data" in err
    assert aws.requests == []


def test_names_that_callers_made_up_reach_neither_terminal_nor_cloudwatch_as_they_are(
    aws: FakeAws, path: Path
) -> None:
    evil = ":\x1b[31mÄ'\"\\%"
    (path.parent / "bedrock_usage.toml").write_text(
        f'[[application_rules]]\napplication = {json.dumps(evil)}\nrole = "*"\n'
    )
    run("load", write_log(path.parent / "b.json", [a_call(9)]), "--db", path)
    status, _, err = monitor("publish", "--db", path, "--yes")
    assert status == 0, err
    assert "\x1b" not in err
    values = {dimensions["Application"] for _, dimensions in put_metrics(aws)}
    assert values == {"%3A%1B[31m%C3%84%27%22%5C%25"}


@cases(
    ("words", "message"),
    [
        (["publish", "--since", "soon"], "neither a duration"),
        (["publish", "--since", "2999-01-01"], "is in the future"),
        (["publish", "--region", "mars-north-1"], "is not an AWS region"),
        (["alarm", "--application", "X", "--daily-limit", "0"], "not an amount in dollars above 0"),
        (
            ["alarm", "--application", "X", "--daily-limit", "NaN"],
            "not an amount in dollars above 0",
        ),
        (
            ["alarm", "--application", "X", "--daily-limit", "1e400"],
            "not an amount in dollars above 0",
        ),
        (
            ["alarm", "--application", "X", "--daily-limit", "-5"],
            "not an amount in dollars above 0",
        ),
        (["alarm", *LIMIT, "--topic", "T"], "does not look like arn:aws:sns"),
        (["alarm", *LIMIT, "--email", "nobody"], "does not look like name@example.com"),
        (
            ["alarm", *LIMIT, "--email", "a@b", "--topic", "arn:aws:sns:us-east-1:111122223333:T"],
            "cannot be combined with --email",
        ),
    ],
)
def test_wrong_usage_is_status_2(aws: FakeAws, path: Path, words: list[str], message: str) -> None:
    status, _, err = monitor(*words, "--db", path)
    assert (status, message in err) == (2, True), err
    assert writes(aws) == []


def test_after_a_sync_it_is_published_if_the_file_says_so(aws: FakeAws, tmp_path: Path) -> None:
    words = ("--region", "us-east-1", "--since", "2d", "--source", "cloudtrail", "--db", "w.db")
    aws.place().deliver(a_call(1))
    file = tmp_path / "bedrock_usage.toml"
    file.write_text("[monitor]\npublish_after_sync = true\n")
    status, _, err = run("sync", *words)
    assert status == 1
    assert "Bedrock calls     1 new" in err
    assert "Not published     publishing costs $0.99 a month, which was not agreed to" in err
    assert writes(aws) == []
    file.write_text("[monitor]\npublish_after_sync = true\naccept_usd_a_month = 1\n")
    status, _, err = run("sync", *words)
    assert status == 0, err
    assert "Published         3 values in 1 request" in err
    run("load", write_log(tmp_path / "late.json", [a_call(2, "Other")]), "--db", "w.db")
    status, _, err = run("sync", *words)
    assert status == 1
    assert "Left out          3 new metrics of 1 pair" in err
    assert len(put_metrics(aws)) == 3


def client(service: str) -> Any:
    return boto3.client(service)


def test_the_dashboard_is_made_after_yes_and_renewed_without_a_price(
    aws: FakeAws, path: Path
) -> None:
    assert monitor("dashboard", "--db", path, answer="n\n")[0] == 1
    status, out, err = monitor("dashboard", "--dry-run", "--db", path)
    assert (status, "$3.00 a month" in err) == (0, True)
    assert json.loads(out)["widgets"]
    assert writes(aws) == []
    assert monitor("dashboard", "--db", path, answer="y\n")[0] == 0
    assert monitor("dashboard", "--db", path)[0] == 0
    assert writes(aws) == ["PutDashboard"]
    monitor("publish", "--yes", "--db", path)
    status, _, err = monitor("dashboard", "--db", path)
    assert (status, "BedrockUsage: update" in err) == (0, True)
    body = client("cloudwatch").get_dashboard(DashboardName="BedrockUsage")["DashboardBody"]
    assert 'Application=\\"Search\\"' in body


def test_the_dashboard_searches_for_what_is_published(aws: FakeAws, path: Path) -> None:
    bodies = []
    for by in ("application", "team"):
        (path.parent / "bedrock_usage.toml").write_text(
            f'[monitor]\nby = "{by}"\n[[team_rules]]\nteam = "Web"\napplication = "Search"\n'
        )
        run("load", write_log(path.parent / "b.json", [a_call(9)]), "--db", path)
        assert monitor("publish", "--yes", "--db", path)[0] == 0
        assert monitor("dashboard", "--yes", "--db", path)[0] == 0
        body = client("cloudwatch").get_dashboard(DashboardName="BedrockUsage")["DashboardBody"]
        bodies.append(body)
    published = {tuple(sorted(dimensions)) for _, dimensions in put_metrics(aws)}
    assert published == {("Application", "ModelId"), ("ModelId", "Team")}
    old, new = bodies
    assert '{\\"Custom/BedrockUsage\\",Application,ModelId}' in old and "Team" not in old
    assert '{\\"Custom/BedrockUsage\\",Team,ModelId}' in new and "Application" not in new
    assert 'Team=\\"Web\\"' in new and 'Team=\\"\\\\(no team\\\\)\\"' in new


def test_a_dashboard_of_someone_else_is_left_alone(aws: FakeAws, path: Path) -> None:
    foreign = '{"widgets": []}'
    client("cloudwatch").put_dashboard(DashboardName="BedrockUsage", DashboardBody=foreign)
    status, _, err = monitor("dashboard", "--yes", "--db", path)
    assert status == 1
    assert "did not make" in err
    monitor("remove", "--yes", "--db", path)
    body = client("cloudwatch").get_dashboard(DashboardName="BedrockUsage")["DashboardBody"]
    assert body == foreign


def alarms() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client("cloudwatch").describe_alarms()["MetricAlarms"]
    return found


def test_an_alarm_has_its_price_its_topic_and_the_metric_that_it_looks_at(
    aws: FakeAws, path: Path
) -> None:
    words = ("alarm", *LIMIT, "--email", "ops@example.com", "--db", path)
    assert monitor(*words, answer="n\n")[0] == 1
    status, out, _ = monitor(*words, "--dry-run")
    assert (status, "Price             $0.40 a month" in out) == (0, True)
    assert (writes(aws), alarms()) == ([], [])
    status, _, err = monitor(*words, answer="y\n")
    assert status == 0, err
    assert "mail that AWS has sent to ops@example.com" in err
    (alarm,) = alarms()
    assert alarm["AlarmActions"] == ["arn:aws:sns:us-east-1:111122223333:BedrockUsage-alarms"]
    assert (alarm["Threshold"], alarm["TreatMissingData"]) == (50.0, "ignore")
    assert (alarm["Statistic"], alarm["ComparisonOperator"]) == ("Maximum", "GreaterThanThreshold")
    status, _, err = monitor("publish", "--yes", "--db", path)
    assert "Published         6 values and 1 daily cost in 2 requests" in err
    looked_at = {d["Name"]: d["Value"] for d in alarm["Dimensions"]}
    assert (alarm["MetricName"], looked_at) in put_metrics(aws)
    assert alarm["Namespace"] == NAMESPACE


def test_the_same_alarm_again_changes_nothing_and_another_limit_costs_nothing(
    aws: FakeAws, path: Path
) -> None:
    monitor("alarm", *LIMIT, "--email", "ops@example.com", "--yes", "--db", path)
    before = writes(aws)
    status, _, err = monitor("alarm", *LIMIT, "--email", "ops@example.com", "--db", path)
    assert (status, writes(aws)) == (0, before), err
    higher = ("--application", "Search", "--daily-limit", "75.5", "--email", "ops@example.com")
    assert monitor("alarm", *higher, "--db", path)[0] == 0
    assert [alarm["Threshold"] for alarm in alarms()] == [75.5]
    assert writes(aws) == [*before, "PutMetricAlarm"]


def test_another_limit_goes_on_telling_the_same(aws: FakeAws, path: Path) -> None:
    monitor("alarm", *LIMIT, "--email", "ops@example.com", "--yes", "--db", path)
    (before,) = alarms()
    status, _, err = monitor(
        "alarm", "--application", "Search", "--daily-limit", "75", "--db", path
    )
    assert status == 0, err
    assert f"Notifies          {before['AlarmActions'][0]}" in err
    (after,) = alarms()
    assert (after["Threshold"], after["AlarmActions"]) == (75.0, before["AlarmActions"])


def test_an_alarm_that_notifies_no_one_says_so(aws: FakeAws, path: Path) -> None:
    _, out, _ = monitor("alarm", *LIMIT, "--dry-run", "--db", path)
    assert "Notifies          no one: name an address with --email" in out


def test_a_topic_of_another_region_is_refused_before_anything_is_done(
    aws: FakeAws, path: Path
) -> None:
    topic = "arn:aws:sns:eu-west-1:111122223333:T"
    status, _, err = monitor("alarm", *LIMIT, "--topic", topic, "--yes", "--db", path)
    assert (status, "not in us-east-1" in err, writes(aws)) == (1, True, [])


def test_an_alarm_whose_metric_would_stop_all_publishing_is_refused(
    aws: FakeAws, path: Path
) -> None:
    (path.parent / "bedrock_usage.toml").write_text("[monitor]\nmax_metrics = 6\n")
    assert monitor("publish", "--yes", "--db", path)[0] == 0
    status, _, err = monitor("alarm", *LIMIT, "--yes", "--db", path)
    assert (status, "6 of 6 are used. Raise it under [monitor]" in err) == (2, True), err
    assert (alarms(), monitor("publish", "--db", path)[0]) == ([], 0)


def test_a_refusal_names_the_policy_that_allows_it(aws: FakeAws, path: Path) -> None:
    for operation, words in (
        ("PutMetricData", ["publish"]),
        ("PutDashboard", ["dashboard"]),
        ("CreateTopic", ["alarm", *LIMIT, "--email", "ops@example.com"]),
    ):
        aws.faults.append(Fault("denied", operation=operation))
        status, _, err = monitor(*words, "--yes", "--db", path)
        assert (status, "`bedrock-usage policy --monitor`" in err) == (1, True), err


def test_alarms_and_topics_of_someone_else_are_left_alone(aws: FakeAws, path: Path) -> None:
    client("cloudwatch").put_metric_alarm(
        AlarmName="BedrockUsage/daily-cost/Search", MetricName="M", Namespace="N", Period=60,
        Statistic="Sum", Threshold=1.0, EvaluationPeriods=1,
        ComparisonOperator="GreaterThanThreshold",
    )  # fmt: skip
    client("sns").create_topic(Name="BedrockUsage-alarms")
    status, _, err = monitor("alarm", *LIMIT, "--yes", "--db", path)
    assert (status, "an alarm BedrockUsage/daily-cost/Search" in err) == (1, True)
    other = ("--application", "Chat", "--daily-limit", "5", "--email", "ops@example.com")
    status, _, err = monitor("alarm", *other, "--yes", "--db", path)
    assert (status, "a topic BedrockUsage-alarms" in err) == (1, True)
    assert monitor("remove", "--yes", "--db", path)[0] == 0
    assert [alarm["MetricName"] for alarm in alarms()] == ["M"]
    assert len(client("sns").list_topics()["Topics"]) == 1


def test_remove_takes_away_all_that_is_ours_after_yes(aws: FakeAws, path: Path) -> None:
    monitor("publish", "--yes", "--db", path)
    monitor("dashboard", "--yes", "--db", path)
    monitor("alarm", *LIMIT, "--email", "ops@example.com", "--yes", "--db", path)
    before = writes(aws)
    status, out, _ = monitor("remove", "--dry-run", "--db", path)
    assert status == 0
    assert out.splitlines() == [
        "Delete            dashboard BedrockUsage",
        "Delete            alarm BedrockUsage/daily-cost/Search",
        "Delete            topic arn:aws:sns:us-east-1:111122223333:BedrockUsage-alarms",
    ]
    assert monitor("remove", "--db", path, answer="n\n")[0] == 1
    assert writes(aws) == before
    status, _, err = monitor("remove", "--db", path, answer="y\n")
    assert status == 0
    assert "cannot be deleted; without new values they cost nothing" in err
    assert (alarms(), client("sns").list_topics()["Topics"]) == ([], [])
    status, out, _ = monitor("remove", "--dry-run", "--db", path)
    assert out == "There is nothing to delete.\n"
    # What was agreed to is taken back.
    run("load", write_log(path.parent / "b.json", [a_call(5)]), "--db", path)
    assert monitor("publish", "--db", path)[0] == 1


def test_all_of_it_requests_exactly_what_the_policy_allows(aws: FakeAws, path: Path) -> None:
    monitor("publish", "--yes", "--db", path)
    monitor("dashboard", "--yes", "--db", path)
    for _ in range(2):  # the second time the topic and its subscribers are there
        monitor("alarm", *LIMIT, "--email", "ops@example.com", "--yes", "--db", path)
    monitor("publish", "--yes", "--db", path)
    monitor("remove", "--yes", "--db", path)
    requested = {f"{request.service}:{request.operation}" for request in aws.requests}
    allowed = {action for grant in MONITOR for action in grant.actions}
    # Things get their tags when they are created.
    assert requested - {"sts:GetCallerIdentity"} == allowed - {
        "cloudwatch:TagResource",
        "sns:TagResource",
    }


def test_a_removal_that_fails_halfway_goes_on_the_next_time(aws: FakeAws, path: Path) -> None:
    monitor("dashboard", "--yes", "--db", path)
    monitor("alarm", *LIMIT, "--yes", "--db", path)
    aws.faults.append(Fault("denied", operation="DeleteAlarms"))
    assert monitor("remove", "--yes", "--db", path)[0] == 1
    assert len(alarms()) == 1
    assert monitor("remove", "--yes", "--db", path)[0] == 0
    assert alarms() == []
