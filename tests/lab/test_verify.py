"""``lab verify``: finds and reports whatever is wrong with a call in the warehouse."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from etl.warehouse.lock import sync_lock
from tests.aws import FakeAws, FakeClock, Fault
from tests.cli.running import run
from tests.lab.small_scenarios import scenarios
from tests.sync.support import environment

Send = Callable[..., None]
VERIFY = ("lab", "verify", "--db", "w.db")


@pytest.fixture
def send(aws: FakeAws, tmp_path: Path) -> Send:
    """Send the three calls of the small file."""

    def send(expected: int = 0, **changes: Any) -> None:
        (tmp_path / "small.toml").write_text(scenarios(**changes))
        words = ("lab", "traffic", "--scenarios", "small.toml", "--yes")
        assert run(*words)[0] == expected

    return send


def verify(*words: str) -> tuple[int, dict[str, Any]]:
    status, out, err = run(*VERIFY, "--format", "json", *words)
    assert out, err
    return status, json.loads(out)


def differences(proof: dict[str, Any]) -> list[tuple[int, str, Any, Any]]:
    return [
        (call["call"], one["field"], one["expected"], one["found"])
        for call in proof["calls"]
        for one in call["differences"]
    ]


def looks(clock: FakeClock) -> int:
    """Return how often it waited to look again; one-second pauses are the limiter's."""
    return sum(pause > 5 for pause in clock.sleeps)


def change_ledger(call: int, **changes: Any) -> None:
    """Change an entry of the ledger to something that was never sent."""
    file = Path("lab_ledger.jsonl")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    for line in lines:
        if line["call"] == call and line["status"] != "sent":
            line |= {k: line[k] | v if isinstance(v, dict) else v for k, v in changes.items()}
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def test_it_waits_until_cloudtrail_has_every_call(
    aws: FakeAws, clock: FakeClock, send: Send
) -> None:
    aws.recording.delay = timedelta(minutes=3)
    send()
    status, out, err = run(*VERIFY)
    assert status == 0, out + err
    assert looks(clock) == 3
    assert "0 of 3 calls found; looking again in 1 min, for " in err
    assert out.count("✓") == 3
    assert out.splitlines()[-1].endswith(": 3 matches: proved.")


def test_a_lost_event_is_found_out(aws: FakeAws, clock: FakeClock, send: Send) -> None:
    aws.recording.lost = 1
    send()
    status, out, err = run(*VERIFY, "--wait", "5m")
    assert (status, out.count("✓")) == (1, 2)
    assert "✗ Shop, call 1: not in the warehouse" in out
    assert out.splitlines()[-1].endswith(": 2 matches, 1 not found: not proved.")
    assert "2 of 3 calls found; looking again" in err
    assert looks(clock) == 5
    assert 300 <= clock.monotonic() < 310


def test_what_may_not_be_read_is_not_waited_for(aws: FakeAws, clock: FakeClock, send: Send) -> None:
    send()
    aws.faults.append(Fault("denied", operation="LookupEvents", times=None))
    status, out, err = run(*VERIFY)
    assert (status, looks(clock)) == (1, 0)
    assert "add cloudtrail:LookupEvents to the policy" in err
    assert "Not waiting for the rest" in err
    assert out.splitlines()[-1].endswith(": 3 not found: not proved.")


def test_what_may_be_read_again_soon_is_waited_for(
    aws: FakeAws, clock: FakeClock, send: Send
) -> None:
    send()
    aws.faults.append(Fault("503", operation="LookupEvents", times=8))
    status, out, err = run(*VERIFY)
    assert (status, out.count("✓")) == (0, 3), err
    assert "looking again" in err


def test_a_partial_match_is_not_reported_as_a_full_one(
    aws: FakeAws, clock: FakeClock, tmp_path: Path, send: Send
) -> None:
    aws.recording.has_service_events = False
    send(operation="ConverseStream")
    status, out, _ = run(*VERIFY)
    said = ": 3 matches (3 of them without tokens or cost): proved."
    assert (status, out.splitlines()[-1].endswith(said)) == (0, True)
    status, proof = verify("--no-sync")
    assert (status, proof["matches_in_part"]) == (0, 3)


def test_another_application_is_found_out_with_what_gave_it(
    aws: FakeAws, tmp_path: Path, send: Send
) -> None:
    send()
    (tmp_path / "bedrock_usage.toml").write_text(
        '[[application_rules]]\napplication = "Wrong"\nuser_agent = "*Shop/*"\n'
    )
    status, proof = verify()
    assert (status, proof["is_proved"]) == (1, False)
    wrong = ("application", "Shop", "Wrong (by config rule)")
    assert differences(proof) == [(1, *wrong), (2, *wrong)]


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"user_name": "somebody"}, [(3, "raw_user_name", "somebody", "tester")]),
        ({"application": "Chair"}, [(3, "application", "Chair", "Desk (by user agent)")]),
        ({"region": "us-east-2"}, [(3, "region", "us-east-2", "us-east-1")]),
        ({"operation": "InvokeModel"}, [(3, "event_name", "InvokeModel", "Converse")]),
        ({"model_id": "other"}, [(3, "raw_model_id", "other", None), (3, "cost_picodollars", None, None)]),
        ({"status": "failed", "error_code": "AccessDenied"}, [(3, "error_code", "AccessDenied", None)]),
    ],
)  # fmt: skip
def test_every_field_is_compared(
    aws: FakeAws, send: Send, changes: dict[str, Any], found: list[tuple[Any, ...]]
) -> None:
    send()
    change_ledger(3, **changes)
    status, out, _ = run(*VERIFY, "--format", "json")
    assert status == 1
    said = differences(json.loads(out))
    assert [one[:3] for one in said] == [one[:3] for one in found]
    for one, expected in zip(said, found, strict=True):
        assert expected[3] in (None, one[3])


@pytest.mark.parametrize(
    ("kind", "rate"), [("input_tokens", 3_300_000), ("output_tokens", 16_500_000)]
)
def test_tokens_and_with_them_the_cost_are_compared(
    aws: FakeAws, send: Send, kind: str, rate: int
) -> None:
    send()
    assert verify()[0] == 0
    entries = [json.loads(line) for line in Path("lab_ledger.jsonl").read_text().splitlines()]
    tokens = entries[-1]["usage"][kind]
    change_ledger(3, usage={kind: tokens + 1})
    status, proof = verify("--no-sync")
    (of_tokens, of_cost) = differences(proof)
    assert (status, of_tokens) == (1, (3, kind, tokens + 1, tokens))
    assert of_cost[:2] == (3, "cost_picodollars")
    assert of_cost[2] - of_cost[3] == rate


def test_cached_tokens_that_the_warehouse_lacks_are_a_difference(aws: FakeAws, send: Send) -> None:
    send()
    change_ledger(1, usage={"cache_read_tokens": 7})
    status, proof = verify()
    assert (status, differences(proof)) == (1, [(1, "cache_read_tokens", 7, None)])
    assert "invocation logs have them" in proof["calls"][0]["notes"][0]


def test_a_stream_may_lack_its_tokens_unless_that_is_asked_for(
    aws: FakeAws, clock: FakeClock, send: Send
) -> None:
    aws.recording.has_service_events = False
    send(operation="ConverseStream")
    status, proof = verify()
    assert (status, differences(proof)) == (0, [])
    assert all(
        call["notes"] == [
            "no input_tokens, output_tokens in CloudTrail: AWS does not always report a"
            " stream's tokens; invocation logs have them (docs/troubleshooting.md#no-tokens)"
        ]
        for call in proof["calls"]
    )  # fmt: skip
    # Found at once, and five minutes more for the service events.
    assert looks(clock) == 5
    status, proof = verify("--no-sync", "--streams-need-tokens")
    assert (status, len(differences(proof))) == (1, 6)


def test_a_late_service_event_is_waited_for(aws: FakeAws, clock: FakeClock, send: Send) -> None:
    aws.recording.service_delay = timedelta(minutes=2)
    send(operation="ConverseStream")
    status, proof = verify("--streams-need-tokens")
    assert (status, differences(proof), looks(clock)) == (0, [], 2)


def test_without_tokens_a_call_that_is_no_stream_is_a_difference(aws: FakeAws, send: Send) -> None:
    aws.recording.has_tokens = False
    send()
    status, proof = verify("--wait", "1m")
    assert status == 1
    assert {one[1] for one in differences(proof)} == {"input_tokens", "output_tokens"}


def test_failed_and_unknown_calls_are_no_differences(aws: FakeAws, send: Send) -> None:
    aws.faults += [Fault("denied", operation="Converse"), Fault("reset", operation="Converse")]
    send(1)
    status, proof = verify()
    assert (status, differences(proof)) == (0, [])
    assert [call["status"] for call in proof["calls"]] == ["refused", "unknown", "matches"]


def test_refused_calls_are_not_reported_as_proved(aws: FakeAws, send: Send) -> None:
    aws.faults += [Fault("throttle", operation="Converse"), Fault("denied", operation="Converse")]
    send(1)
    status, out, _ = run(*VERIFY)
    said = ": 2 matches, 2 refused: proved for 2 of 3 planned calls."
    assert (status, out.splitlines()[-1][-len(said) :]) == (0, said)


def test_a_run_of_which_nothing_succeeded_proves_nothing(aws: FakeAws, send: Send) -> None:
    aws.faults.append(Fault("denied", operation="Converse", times=None))
    send(1)
    status, proof = verify()
    assert (status, proof["is_proved"], differences(proof)) == (1, False, [])


def test_ones_own_prices_are_in_both_costs(aws: FakeAws, send: Send, tmp_path: Path) -> None:
    send()
    _, out, _ = run("prices", "list", "--model", "anthropic.claude-sonnet-4-5", "--db", "w.db")
    (tmp_path / "own.csv").write_text(out.replace(",3300000,", ",7700000,"))
    assert run("prices", "import", "own.csv", "--db", "w.db")[0] == 0
    assert verify()[0] == 0
    _, out, _ = run("report", "models", "--format", "json", "--db", "w.db")
    usage = {row["model_id"]: row for row in json.loads(out)["rows"]}
    sonnet = usage["anthropic.claude-sonnet-4-5-20250929-v1:0"]
    cost = sonnet["input_tokens"] * 7.7 + sonnet["output_tokens"] * 16.5
    assert sonnet["cost_usd"] == pytest.approx(cost / 1e6)


def test_no_sync_asks_nothing_of_aws(aws: FakeAws, send: Send) -> None:
    send()
    asked = aws.count()
    status, _, err = run(*VERIFY, "--no-sync")
    assert (status, aws.count()) == (1, asked)
    assert "w.db" in err
    assert verify()[0] == 0
    asked = aws.count()
    assert verify("--no-sync")[0] == 0
    assert aws.count() == asked


def test_the_last_run_is_verified_or_the_one_that_is_named(aws: FakeAws, send: Send) -> None:
    aws.recording.lost = 1
    send()
    first = json.loads(Path("lab_ledger.jsonl").read_text().splitlines()[0])["run_id"]
    send()
    status, proof = verify()
    assert (status, {call["run_id"] for call in proof["calls"]} & {first}) == (0, set())
    status, proof = verify("--run", first, "--no-sync")
    assert (status, {call["run_id"] for call in proof["calls"]}) == (1, {first})
    status, _, err = run(*VERIFY, "--run", "other")
    assert (status, f"the ledger has no run 'other'; it has {first}" in err) == (1, True)


def test_a_sync_that_runs_elsewhere_is_waited_for(
    aws: FakeAws, clock: FakeClock, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process holds the lock until it has written the awaited calls."""
    assert run("sync", "--region", "us-east-1", "--since", "1d", "--db", "w.db")[0] == 0
    send()
    records = [event.item["CloudTrailEvent"] for event in aws.place().events._events]
    Path("late.json").write_text(f'{{"Records": [{", ".join(records)}]}}')
    sleep = clock.sleep

    def load_and_sleep(seconds: float) -> None:
        assert run("load", "late.json", "--db", "w.db")[0] == 0
        sleep(seconds)

    monkeypatch.setattr(clock, "sleep", load_and_sleep)
    with sync_lock(Path("w.db")):
        status, out, err = run(*VERIFY)
    assert (status, looks(clock)) == (0, 1), out + err
    assert "Not synced now" in err


def test_a_run_that_was_stopped_says_what_was_not_sent(aws: FakeAws, send: Send) -> None:
    send()
    file = Path("lab_ledger.jsonl")
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:4]))
    status, out, _ = run(*VERIFY)
    assert status == 0
    assert out.splitlines()[-1].endswith(": 2 matches: proved for 2 of 3 planned calls.")


def test_credentials_of_another_account_are_refused(aws: FakeAws, send: Send) -> None:
    send()
    with environment(aws.environment("444455556666")):
        status, _, err = run(*VERIFY)
    assert status == 1
    assert "made in account 111122223333, but the credentials belong to 444455556666" in err


def test_without_a_ledger_it_says_what_writes_one(aws: FakeAws) -> None:
    status, _, err = run(*VERIFY)
    assert (status, "create one with `bedrock-usage lab traffic`" in err) == (1, True)
