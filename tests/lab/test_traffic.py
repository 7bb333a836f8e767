"""``lab traffic``: states the price, asks, sends each call once, and records what it sent."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from etl.cli import lab, main
from etl.lab.scenarios import load_scenarios
from etl.lab.sent_calls import Entry, read_ledger
from etl.lab.traffic import MAX_TRIES
from tests.aws import FakeAws, FakeClock, Fault
from tests.cli.running import run
from tests.lab.small_scenarios import scenarios
from tests.rounds import crossed, long
from tests.support import HAIKU, SONNET

RUNTIME = ("InvokeModel", "InvokeModelWithResponseStream", "Converse", "ConverseStream")


@pytest.fixture
def small(aws: FakeAws, tmp_path: Path) -> list[str]:
    """The words for traffic with a small file of scenarios."""
    (tmp_path / "small.toml").write_text(scenarios())
    return ["lab", "traffic", "--scenarios", "small.toml"]


def calls_made(aws: FakeAws) -> int:
    return sum(aws.count(operation) for operation in RUNTIME)


def ledger() -> list[Entry]:
    return read_ledger(Path("lab_ledger.jsonl"))


def summary(out: str) -> list[str]:
    return [line for line in out.splitlines() if line.startswith("Successful")]


def done(scenarios: str, calls: str) -> list[str]:
    return [f"Successful scenarios: {scenarios}", f"Successful API calls: {calls}"]


def test_a_dry_run_asks_nothing_of_aws(aws: FakeAws) -> None:
    status, out, _ = run("lab", "traffic", "--dry-run")
    assert (status, aws.count()) == (0, 0)
    assert not Path("lab_ledger.jsonl").exists()
    for scenario in load_scenarios(None):
        assert scenario.name in out
    assert "21 calls, at most about $0.0" in out


def test_nothing_is_sent_before_a_yes(
    aws: FakeAws, small: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    status, out, err = run(*small)
    assert (status, calls_made(aws)) == (2, 0)
    assert "3 calls, at most about $0.0" in out
    assert "Not a terminal: pass --yes" in err
    monkeypatch.setattr("etl.cli.shared.consent.is_interactive", lambda: True)
    for answer, expected in (("\n", 1), ("n\n", 1), ("y\n", 0)):
        assert calls_made(aws) == 0
        result = CliRunner().invoke(main, small, input=answer)
        assert result.exit_code == expected, result.output
        assert "Send 3 calls for at most about $0.0" in result.stderr
    assert calls_made(aws) == 3


def test_the_price_is_the_list_price_of_the_most_that_may_be_used(small: list[str]) -> None:
    _, out, _ = run(*small, "--dry-run")
    # 33 characters are 11 tokens, and 12 for the frame; Haiku $0.25 and $1.25, Sonnet in a
    # cross-region profile of the US $3.30 and $16.50 per million (list_prices.csv).
    # 2 * (23 * 0.25 + 50 * 1.25) = 136.5 and 23 * 3.30 + 50 * 16.50 = 900.9 millionths, rounded up.
    assert "$0.000137" in out
    assert "$0.000901" in out
    assert "at most about $0.001038" in out


def test_letters_that_take_more_tokens_cost_more(aws: FakeAws, tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(scenarios(prompts=["海" * 100]))
    _, out, _ = run("lab", "traffic", "--scenarios", "small.toml", "--dry-run")
    # One token for each of the hundred, not for three of them: 2 * (112 * 0.25 + 50 * 1.25).
    assert "$0.000181" in out


def test_ones_own_prices_count(small: list[str], tmp_path: Path) -> None:
    _, out, _ = run("prices", "list", "--model", HAIKU, "--db", "w.db")
    (tmp_path / "own.csv").write_text(out.replace(",250000,", ",10000000,"))
    assert run("prices", "import", "own.csv", "--db", "w.db")[0] == 0
    _, out, _ = run(*small, "--dry-run", "--db", "w.db")
    assert "$0.000585" in out  # 2 * (23 * 10 + 50 * 1.25) millionths


def test_a_price_that_is_not_known_is_said_and_needs_more_than_yes(
    aws: FakeAws, tmp_path: Path
) -> None:
    (tmp_path / "new.toml").write_text(scenarios(model="anthropic.claude-99-v1:0"))
    words = ("lab", "traffic", "--scenarios", "new.toml")
    status, out, _ = run(*words, "--dry-run")
    assert "unpriced" in out
    assert "plus 2 calls without a known price" in out
    status, _, err = run(*words, "--yes")
    assert (status, aws.count()) == (2, 0)
    assert "2 calls without a known price: --yes alone does not send them" in err
    status, out, _ = run(*words, "--yes", "--allow-unpriced")
    assert (status, summary(out)) == (0, done("2/2", "3/3"))


def test_without_its_roles_nothing_is_sent(aws: FakeAws) -> None:
    status, _, err = run("lab", "traffic", "--yes")
    assert (status, calls_made(aws)) == (1, 0)
    assert "CustomerServiceApp-BedrockRole (missing)" in err
    assert "`bedrock-usage lab roles create` first" in err


def test_the_scenarios_can_be_printed_changed_and_used(aws: FakeAws, tmp_path: Path) -> None:
    status, out, _ = run("lab", "traffic", "--print-scenarios")
    assert status == 0
    (tmp_path / "own.toml").write_text(out)
    assert load_scenarios(tmp_path / "own.toml") == load_scenarios(None)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"calls": 0}, "calls: 0 is not between 1 and"),
        ({"max_tokens": 100_000}, "max_tokens: 100000 is not between 1 and"),
        ({"role": "App-BedrockRole"}, "either a role or a user_agent"),
        ({"user_agent": "Boto3/1.0"}, "names an SDK or a library, not an application"),
        ({"user_agent": "two words/1"}, "user_agent: 'two words/1' is not valid"),
        ({"region": "moon"}, "region: 'moon' is not valid"),
        ({"operation": "Invoke"}, "operation"),
        ({"operation": "InvokeModel", "model": "amazon.nova-lite-v1:0"}, "use Converse"),
        ({"prompts": []}, "must not be empty"),
        ({"colour": "red"}, "colour"),
        ({"name": "Desk"}, "two scenarios are named"),
    ],
)
def test_a_wrong_file_is_refused_with_the_reason(
    aws: FakeAws, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    (tmp_path / "wrong.toml").write_text(scenarios(**changes))
    status, _, err = run("lab", "traffic", "--scenarios", "wrong.toml", "--yes")
    assert (status, aws.count()) == (2, 0)
    assert said in err
    assert "--print-scenarios" in err


def test_a_throttled_call_is_made_again(aws: FakeAws, clock: FakeClock, small: list[str]) -> None:
    aws.faults.append(Fault("throttle", operation="Converse", skip=1, times=2))
    status, out, _ = run(*small, "--yes")
    assert (status, summary(out), calls_made(aws)) == (0, done("2/2", "3/3"), 5)
    assert [(e.call, e.attempt, e.status) for e in ledger()] == [
        (1, 1, "ok"),
        (2, 1, "throttled"),
        (2, 2, "throttled"),
        (2, 3, "ok"),
        (3, 1, "ok"),
    ]
    assert clock.sleeps == [2.0, 4.0]
    assert ledger()[1].error_code == "ThrottlingException"


@pytest.mark.parametrize(
    ("kind", "tries", "status"),
    [
        ("throttle", MAX_TRIES, "throttled"),
        ("503", MAX_TRIES, "throttled"),
        ("denied", 1, "failed"),
    ],
)
def test_a_call_that_fails_for_good_stops_no_other(
    aws: FakeAws, small: list[str], kind: str, tries: int, status: str
) -> None:
    aws.faults.append(Fault(kind, operation="Converse", times=tries))
    code, out, err = run(*small, "--yes")
    assert (code, summary(out), calls_made(aws)) == (1, done("1/2", "2/3"), tries + 2)
    assert [e.status for e in ledger()] == [*[status] * tries, "ok", "ok"]
    assert "bedrock:InvokeModel in us-east-1" in err
    assert ("`bedrock-usage policy --lab`" in err) == (kind == "denied")


@long
def test_a_role_that_cannot_be_assumed_is_not_blamed_on_the_model(aws: FakeAws) -> None:
    assert run("lab", "roles", "create")[0] == 0
    aws.faults.append(Fault("denied", operation="AssumeRole", times=None))
    status, out, err = run("lab", "traffic", "--yes")
    assert (status, summary(out)) == (1, done("3/7", "9/21"))
    assert "AccessDenied on sts:AssumeRole" in err
    assert "`bedrock-usage policy --lab`" in err
    assert "if the model is retired" not in err


def test_a_retired_model_is_reported_with_what_to_do(aws: FakeAws, small: list[str]) -> None:
    aws.recording.gone.add(SONNET)
    status, out, err = run(*small, "--yes")
    assert (status, summary(out)) == (1, done("1/2", "2/3"))
    assert "if the model is retired" in err
    assert "--model OLD=NEW, or --print-scenarios and --scenarios FILE" in err


def test_a_model_can_be_replaced_where_it_stands(aws: FakeAws, small: list[str]) -> None:
    other = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
    _, _, err = run(*small, "--dry-run")
    assert f"{HAIKU} was retired in us-east-1 on 2026-09-10" in err
    assert f"--model {HAIKU}={other}" in err
    status, _, err = run(*small, "--yes", "--model", f"{HAIKU}={other}")
    assert (status, "was retired" in err) == (0, False)
    assert [e.model_id for e in ledger()] == [other, other, SONNET]
    assert run("lab", "verify", "--db", "w.db")[0] == 0


@pytest.mark.parametrize("words", ["nothing=new", HAIKU, f"{HAIKU}=", f"{HAIKU}=a b c"])
def test_a_wrong_replacement_is_refused(aws: FakeAws, small: list[str], words: str) -> None:
    status, _, err = run(*small, "--yes", "--model", words)
    assert (status, aws.count(), f"--model {words}: " in err) == (2, 0, True)


@pytest.mark.parametrize("kind", ["reset", "garbage", "500"])
def test_a_call_that_may_have_been_made_is_unknown_and_not_repeated(
    aws: FakeAws, small: list[str], kind: str
) -> None:
    aws.faults.append(Fault(kind, operation="Converse"))
    status, out, err = run(*small, "--yes")
    assert (status, summary(out), calls_made(aws)) == (1, done("1/2", "2/3"), 3)
    assert [e.status for e in ledger()] == ["unknown", "ok", "ok"]
    assert "AWS may have made the call; it is not repeated" in err


def test_a_call_that_never_left_is_failed_and_not_unknown(
    aws: FakeAws, small: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "http://127.0.0.1:1")
    status, out, err = run(*small, "--yes")
    assert (status, summary(out), calls_made(aws)) == (1, done("0/2", "0/3"), 0)
    assert [e.status for e in ledger()] == ["failed"] * 3
    assert "may have made" not in err


def test_a_ledger_that_cannot_be_written_stops_the_run(
    aws: FakeAws, small: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call without a line in the ledger would cost money and prove nothing."""
    write, written = os.write, []

    def full(descriptor: int, line: bytes) -> int:
        written.append(line)
        if len(written) == 4:
            return write(descriptor, line[:10])
        if len(written) > 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, line)

    monkeypatch.setattr("etl.lab.sent_calls.os.write", full)
    status, _, err = run(*small, "--yes")
    assert (status, calls_made(aws)) == (1, 2)
    assert "lab_ledger.jsonl: No space left on device" in err
    assert "--ledger" in err
    assert [e.status for e in ledger()] == ["ok", "sent"]


@pytest.mark.parametrize(
    ("operation", "kind"),
    crossed(
        ["ConverseStream", "InvokeModelWithResponseStream"],
        ["stream-error", "reset-in-body", "cut"],
    ),
)
def test_an_answer_that_breaks_off_has_an_id_and_no_tokens(
    aws: FakeAws, tmp_path: Path, operation: str, kind: str
) -> None:
    (tmp_path / "streams.toml").write_text(scenarios(operation=operation))
    aws.faults.append(Fault(kind, operation=operation))
    status, out, _ = run("lab", "traffic", "--scenarios", "streams.toml", "--yes")
    assert (status, summary(out), calls_made(aws)) == (1, done("1/2", "2/3"), 3)
    broken, *others = ledger()
    assert (broken.status, broken.usage) == ("broken", None)
    assert broken.request_id
    assert [e.status for e in others] == ["ok", "ok"]


def test_a_stop_ends_the_run_between_two_calls(
    aws: FakeAws, clock: FakeClock, small: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tell = lab._report_call

    def stop(*words: Any) -> None:
        tell(*words)
        clock.stop.set()

    monkeypatch.setattr(lab, "_report_call", stop)
    status, out, err = run(*small, "--yes")
    assert (status, summary(out), calls_made(aws)) == (1, done("0/2", "1/3"), 1)
    assert "Stopped: the remaining calls were not sent" in err
    assert [e.status for e in ledger()] == ["ok"]


def test_the_environment_gives_the_calls_no_other_name(
    aws: FakeAws, small: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An SDK app id would override the user agent, a Bedrock API key the credentials."""
    monkeypatch.setenv("AWS_SDK_UA_APP_ID", "SomethingElse")
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "secret-key")
    assert run(*small, "--yes")[0] == 0
    assert run("lab", "verify", "--db", "w.db")[0] == 0


def test_no_word_of_a_prompt_is_kept_or_shown(aws: FakeAws, small: list[str]) -> None:
    status, out, err = run(*small, "--yes")
    assert status == 0
    for text in (out, err, Path("lab_ledger.jsonl").read_text()):
        for word in ("quick brown", "wordword"):
            assert word not in text


def test_the_ledger_has_what_was_sent(aws: FakeAws, small: list[str]) -> None:
    assert run(*small, "--yes")[0] == 0
    one, _, other = ledger()
    assert (one.application, one.user_name, one.planned) == ("Shop", "tester", 3)
    assert (other.scenario, other.model_id, other.operation) == ("Desk", SONNET, "Converse")
    assert one.usage is not None
    # The fake counts four characters a token, and 8 for the frame.
    assert one.usage["input_tokens"] == 8 + 9
    lines = Path("lab_ledger.jsonl").read_text().splitlines()
    assert [json.loads(line)["status"] for line in lines] == ["sent", "ok"] * 3


def test_the_scenarios_of_the_program_are_these() -> None:
    built_in = load_scenarios(None)
    role, east, west = "-BedrockRole", "us-east-1", "us-west-2"
    assert [(s.role or s.user_agent, s.calls, s.model, s.region) for s in built_in] == [
        (f"CustomerServiceApp{role}", 3, HAIKU, east),
        (f"DataAnalysisApp{role}", 2, SONNET, east),
        (f"ChatbotApp{role}", 5, HAIKU, east),
        (f"DocumentProcessorApp{role}", 2, SONNET, west),
        ("MobileApp/2.1.0", 4, HAIKU, east),
        ("WebPortal/1.5.3", 3, SONNET, east),
        ("BackendAPI/3.0.0", 2, HAIKU, west),
    ]
    # Each way of calling is among them.
    assert {s.operation for s in built_in} == set(RUNTIME)
