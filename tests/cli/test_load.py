"""``bedrock-usage load`` as a user meets it."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from etl.errors import RejectError
from etl.load.run import load_files
from etl.warehouse.database import open_warehouse
from tests.cli.running import ROOT, run
from tests.rounds import long
from tests.support import call, dump, marked_demo, service_event, write_log
from tests.team_evidence import PROFILE, assumed, profile, session_call, tags


def test_it_ends_with_counts_on_stderr_and_nothing_on_stdout(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log.json", [
        call(1, tokens=(1, 2)), call(2), call(2), call(3, eventName="GetFoundationModel"),
        service_event(4, 2, {"inputTokens": 3}), service_event(5, 77, {"inputTokens": 3}),
    ])  # fmt: skip
    status, out, err = run("load", log, "--db", tmp_path / "w.db")
    assert (status, out) == (0, "")
    assert err.splitlines() == [
        "Files             1",
        "Events read       6",
        "Bedrock calls     2 new (2 with tokens), 1 already known",
        "Tokens attached   1 from service events, 1 waiting for their call",
        "Other events      1 skipped",
        "Other operations  1 GetFoundationModel (of Bedrock, no calls)",
        "CloudWatch values 0 new or changed",
        "Profiles          0 new or changed",
        "Rejected          0",
    ]


def test_it_says_how_many_stored_calls_late_evidence_gave_another_team(tmp_path: Path) -> None:
    def summary(name: str, text: str) -> str:
        (tmp_path / name).write_text(text)
        status, _, err = run("load", tmp_path / name, "--db", tmp_path / "w.db")
        assert status == 0, err
        return err

    metadata = {"modelId": PROFILE}
    calls = [session_call(1), session_call(2), call(3, requestParameters=metadata)]
    for late in (
        summary("calls.json", json.dumps({"Records": calls})),
        summary("untagged.json", json.dumps({"inferenceProfileSummaries": [profile()]})),
    ):
        assert "Reattributed" not in late and "Sessions" not in late
    told = {"Records": [assumed(1, "ASIAONE", tags=tags(team="Search")), session_call(4)]}
    late = summary("session.json", json.dumps(told))
    assert "Sessions          1 kept, for the tags of their calls" in late
    assert "Reattributed      2 stored calls, to another team" in late
    assert "Other events      0 skipped" in late
    late = summary("profile.json", json.dumps({"inferenceProfileSummaries": [profile(team="Ads")]}))
    assert "Reattributed      1 stored call, to another team" in late


def test_calls_that_are_attributed_again_show_their_progress(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether a rule or a tag is the cause."""
    monkeypatch.setattr("etl.warehouse.long_work._REPORT_SECONDS", 0.0)
    monkeypatch.setattr("etl.cli.shared.long_work._FIRST", 0.0)
    told = re.compile("^Attributing all calls again: 20.*? \\(1 of 1 days\\)", re.MULTILINE)
    calls = write_log(tmp_path / "a.json", [call(1, requestParameters={"modelId": PROFILE})])
    tagged = tmp_path / "profile.json"
    tagged.write_text(json.dumps({"inferenceProfileSummaries": [profile(team="Ads")]}))
    rule = '[[team_rules]]\nteam = "Web"\naccount_id = "*"\n'
    for config, file, shown in (("", calls, 0), ("", tagged, 1), ("", tagged, 0), (rule, calls, 1)):
        (tmp_path / "rules.toml").write_text(config)
        places = ("--db", tmp_path / "w.db", "--config", tmp_path / "rules.toml")
        status, _, err = run("load", file, *places)
        assert (status, len(told.findall(err))) == (0, shown), err


def test_rejects_are_told_with_their_place_and_the_status_is_1(tmp_path: Path) -> None:
    good, bad = write_log(tmp_path / "a.json", [call(1), 7]), tmp_path / "b.json"
    bad.write_text('{"Records": [')
    status, _, err = run("load", tmp_path, "--db", tmp_path / "w.db")
    assert status == 1
    assert f"{good}, Records[1]: not an object but a number" in err
    assert f"{bad}, Records[0]: the JSON is truncated; 0 records before it were read" in err
    assert "Bedrock calls     1 new" in err
    assert "Rejected          2 (see table rejects for where and why)" in err


def test_many_rejects_do_not_flood_the_terminal(tmp_path: Path) -> None:
    status, _, err = run(
        "load", write_log(tmp_path / "a.json", range(100)), "--db", tmp_path / "w.db"
    )
    assert status == 1
    assert "... and 80 more; all of them are in the table rejects" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["load"], "Missing argument"),
        (["load", "no/such/file"], "does not exist"),
        (["load", "s3://"], "as in s3://bucket/prefix/"),
        (["load", ".", "--nonsense"], "No such option"),
    ],
)
def test_wrong_usage_is_status_2_and_says_what_to_do(words: list[str], message: str) -> None:
    status, _, err = run(*words)
    assert status == 2
    assert message in err


def test_a_database_that_is_none_is_status_1_without_a_traceback(tmp_path: Path) -> None:
    other = tmp_path / "w.db"
    other.write_text("something else " * 100)
    status, _, err = run("load", write_log(tmp_path / "a.json", []), "--db", other)
    assert (status, err) == (
        1,
        f"Error: {other}: the file is not a SQLite database, or its first page is damaged;"
        " choose another with --db, or restore a copy\n",
    )


def test_the_warehouse_may_be_named_by_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BEDROCK_USAGE_DB", str(tmp_path / "env.db"))
    assert run("load", write_log(tmp_path / "a.json", [call(1)]))[0] == 0
    assert dump(tmp_path / "env.db")["events"]


def test_own_data_are_never_mixed_with_the_demo(tmp_path: Path) -> None:
    db = marked_demo(tmp_path / "w.db")
    status, _, err = run("load", write_log(tmp_path / "a.json", [call(1)]), "--db", db)
    assert status == 1
    assert "holds the demo's data" in err


def test_the_demo_never_touches_own_data(tmp_path: Path) -> None:
    db = tmp_path / "w.db"
    run("load", write_log(tmp_path / "a.json", [call(1)]), "--db", db)
    before = dump(db)
    status, _, err = run("demo", "--no-serve", "--db", db)
    assert status == 1
    assert "holds your own data" in err
    assert dump(db) == before


@long
def test_a_progress_bar_on_a_terminal_and_none_otherwise(tmp_path: Path) -> None:
    for n in range(3):
        write_log(tmp_path / f"{n}.json", [call(n)])
    command = [
        sys.executable,
        "-m",
        "etl",
        "load",
        str(tmp_path),
        "--db",
        str(tmp_path.with_suffix(".db")),
    ]
    piped = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "Loading" not in piped.stderr
    assert _on_a_terminal(command).count("Loading") >= 1


def _on_a_terminal(command: list[str]) -> str:
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color"}
    process = subprocess.Popen(command, cwd=ROOT, stdout=slave, stderr=slave, env=environment)
    os.close(slave)
    shown = b""
    try:
        while chunk := os.read(master, 4096):
            shown += chunk
    except OSError:
        pass  # Linux: the other side was closed
    os.close(master)
    assert process.wait() == 0
    return shown.decode()


def test_a_crash_never_prints_what_was_in_an_event(tmp_path: Path) -> None:
    """A traceback with variables would show a prompt."""
    secret = call(1, requestParameters={"modelId": "m", "prompt": "canary-prompt"})
    log = write_log(tmp_path / "log.json", [secret])
    crash = (
        "import etl.load.decoder.fast_cloudtrail\n"
        "def crash(*_): raise RuntimeError('bug')\n"
        "etl.load.decoder.fast_cloudtrail.name_call = crash\n"
        "from etl.cli import main\n"
        f"main(['load', {str(log)!r}, '--db', {str(tmp_path / 'w.db')!r}])\n"
    )
    result = subprocess.run([sys.executable, "-c", crash], cwd=ROOT, capture_output=True, text=True)
    assert "it cannot be understood (RuntimeError)" in result.stderr
    assert "canary-prompt" not in result.stderr + result.stdout
    assert json.loads(log.read_text())


def test_a_path_that_leads_nowhere_costs_no_other(tmp_path: Path) -> None:
    good, gone = write_log(tmp_path / "log.json", [call(1)]), tmp_path / "gone.json"
    with open_warehouse(tmp_path / "w.db", create=True) as warehouse:
        result = load_files(warehouse, [gone, good])
        assert (result.files, result.rejected, result.written.calls_new) == (1, 1, 1)
        with pytest.raises(RejectError):
            load_files(warehouse, [gone])
