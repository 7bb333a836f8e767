"""The whole way through the lab, command by command, as on a live account."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

from etl.lab.sent_calls import read_ledger
from etl.sources.aws import PERMISSIONS
from tests.aws import ACCOUNT, FakeAws, FakeClock
from tests.cli.running import run
from tests.lab.small_scenarios import ROLES

# Tagging a new role needs a permission but no extra operation; the trust was right at once.
NOT_ASKED = {"iam:TagRole", "iam:UpdateAssumeRolePolicy"}
USAGE = {
    ("CustomerServiceApp-BedrockRole", "CustomerServiceApp", "us-east-1"): 3,
    ("DataAnalysisApp-BedrockRole", "DataAnalysisApp", "us-east-1"): 2,
    ("ChatbotApp-BedrockRole", "ChatbotApp", "us-east-1"): 5,
    ("DocumentProcessorApp-BedrockRole", "DocumentProcessorApp", "us-west-2"): 2,
    ("tester", "MobileApp", "us-east-1"): 4,
    ("tester", "WebPortal", "us-east-1"): 3,
    ("tester", "BackendAPI", "us-west-2"): 2,
}


def application_costs(db: str) -> dict[str, float]:
    """Return each application's cost in the report."""
    _, out, _ = run("report", "applications", "--format", "json", "--db", db)
    return {row["application"]: round(row["cost_usd"], 9) for row in json.loads(out)["rows"]}


def published_costs(aws: FakeAws) -> dict[str, float]:
    """Return each application's cost in CloudWatch, over all models and periods."""
    metrics = aws.place().metrics
    metrics.show(aws.clock.now())
    costs: dict[str, float] = {}
    for key in metrics.listed():
        if (key.namespace, key.name) == ("Custom/BedrockUsage", "CostUSD"):
            name = dict(key.dimensions)["Application"]
            costs[name] = costs.get(name, 0) + sum(metrics.find(key).sums(0, 2**40, 300).values())
    return {name: round(cost, 9) for name, cost in costs.items()}


def test_roles_traffic_proof_metrics_and_the_end(
    aws: FakeAws, clock: FakeClock, tmp_path: Path
) -> None:
    aws.accounts.role_delay = timedelta(seconds=12)
    aws.recording.delay = timedelta(minutes=9)

    status, out, err = run("lab", "roles", "create")
    assert status == 0, err
    assert [line.split()[2] for line in out.splitlines() if line.startswith("create")] == list(
        ROLES
    )
    assert "4 of 4 roles ready" in err
    assert clock.sleeps == [5.0, 5.0, 5.0, 10.0]

    status, out, err = run("lab", "traffic", "--yes")
    assert status == 0, err
    assert out.splitlines()[-2:] == [
        "Successful scenarios: 7/7",
        "Successful API calls: 21/21",
    ]
    sent = read_ledger(Path("lab_ledger.jsonl"))
    assert {entry.status for entry in sent} == {"ok"}

    status, out, err = run("lab", "verify", "--format", "json", "--db", "w.db")
    assert status == 0, out + err
    proof = json.loads(out)
    assert (proof["is_proved"], proof["counts"]["matches"], len(proof["calls"])) == (True, 21, 21)
    assert all(call["notes"] == [] for call in proof["calls"])
    assert "0 of 21 calls found; looking again in 1 min" in err

    status, out, _ = run("report", "breakdown", "--format", "json", "--db", "w.db")
    rows = json.loads(out)["rows"]
    assert {
        (row["user_name"], row["application"], row["region"]): row["calls"] for row in rows
    } == USAGE
    expected_usage = [
        sum((entry.usage or {})[kind] for entry in sent)
        for kind in ("input_tokens", "output_tokens")
    ]
    assert [sum(row[kind] for row in rows) for kind in ("input_tokens", "output_tokens")] == (
        expected_usage
    )

    published = len(aws.requests)
    clock.advance(timedelta(minutes=30))
    status, out, err = run("monitor", "publish", "--yes", "--db", "w.db")
    assert status == 0, out + err
    costs = application_costs("w.db")
    assert set(costs) == {application for _, application, _ in USAGE}
    assert published_costs(aws) == costs
    requests = aws.count("PutMetricData")
    assert run("monitor", "publish", "--yes", "--db", "w.db")[0] == 0
    assert aws.count("PutMetricData") == requests
    monitored = aws.requests[published:]

    status, out, _ = run("lab", "roles", "list")
    assert (status, out.count("ready")) == (0, 4)
    status, out, err = run("lab", "roles", "delete", "--yes")
    assert (status, err) == (0, "4 roles deleted\n")
    status, out, _ = run("lab", "roles", "list")
    assert (status, out.count("missing"), ACCOUNT in out) == (0, 4, False)

    _, out, _ = run("policy", "--lab")
    allowed = {action for one in json.loads(out)["Statement"] for action in one["Action"]}
    of_the_lab = [request for request in aws.requests if request not in monitored]
    asked = {f"{request.service}:{request.operation}" for request in of_the_lab}
    needed = {PERMISSIONS.get(action, action) for action in asked}
    assert needed - {"sts:GetCallerIdentity"} == allowed - NOT_ASKED
