"""``--config``: where the configuration is found, and what ``load`` does with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.running import run
from tests.rounds import long
from tests.support import ACCOUNT, HAIKU, call, dump, marked_demo, write_log

RULES = '[[application_rules]]\napplication = "Mine"\nuser = "alice"\n'
ALIASES = '[user_aliases]\nalice = "A. Liddell"\n'
REATTRIBUTED = "reattributed: the rules changed"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with two calls to load."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BEDROCK_USAGE_CONFIG", raising=False)
    write_log(tmp_path / "log.json", [call(1, tokens=(1, 2)), call(2, user="bob", tokens=(1, 2))])
    return tmp_path


def configure(folder: Path, text: str, name: str = "bedrock_usage.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def load(*options: object) -> str:
    """Load the calls; return stderr."""
    status, _, err = run("load", "log.json", *options)
    assert status == 0, err
    return err


def report(kind: str) -> dict[str, int]:
    _, out, _ = run("report", kind, "--format", "json")
    name = "user_name" if kind == "users" else "application"
    return {row[name]: row["calls"] for row in json.loads(out)["rows"]}


def test_the_file_in_this_folder_is_obeyed(folder: Path) -> None:
    configure(folder, RULES + ALIASES)
    assert REATTRIBUTED not in load()
    assert report("applications") == {"Mine": 1, "Unknown": 1}
    assert report("users") == {"A. Liddell": 1, "bob": 1}


def test_a_change_of_the_rules_reaches_the_calls_that_are_loaded(folder: Path) -> None:
    load()
    file = configure(folder, RULES)
    assert load().startswith(f"1 call {REATTRIBUTED}\n")
    assert report("applications") == {"Mine": 1, "Unknown": 1}
    assert REATTRIBUTED not in load()
    file.write_text(RULES.replace("alice", "*"))
    assert load().startswith(f"1 call {REATTRIBUTED}\n")
    file.write_text("")
    assert load().startswith(f"2 calls {REATTRIBUTED}\n")
    assert report("applications") == {"Unknown": 2}


def test_without_a_file_rules_and_aliases_stay(folder: Path) -> None:
    file = configure(folder, RULES + ALIASES)
    load()
    file.unlink()
    write_log(folder / "log.json", [call(3, tokens=(1, 2))])
    assert REATTRIBUTED not in load()
    assert report("applications") == {"Mine": 2, "Unknown": 1}
    assert report("users") == {"A. Liddell": 2, "bob": 1}


def test_a_file_without_rules_or_aliases_means_there_are_none(folder: Path) -> None:
    file = configure(folder, RULES + ALIASES)
    load()
    file.write_text('[sync]\nregions = ["us-east-1"]\n')
    assert load().startswith(f"1 call {REATTRIBUTED}\n")
    assert report("applications") == {"Unknown": 2}
    assert report("users") == {"alice": 1, "bob": 1}


def test_a_file_that_is_named_wins_over_the_variable_and_both_over_the_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(folder, RULES)
    named = configure(folder, RULES.replace("Mine", "Named"), "named.toml")
    load("--config", named)
    assert report("applications") == {"Named": 1, "Unknown": 1}
    configure(folder, RULES.replace("Mine", "Variable"), "variable.toml")
    monkeypatch.setenv("BEDROCK_USAGE_CONFIG", "variable.toml")
    load()
    assert report("applications") == {"Variable": 1, "Unknown": 1}
    load("--config", named)
    assert report("applications") == {"Named": 1, "Unknown": 1}
    monkeypatch.delenv("BEDROCK_USAGE_CONFIG")
    load()
    assert report("applications") == {"Mine": 1, "Unknown": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "Error: my.toml: No such file"),
        ("[sync]\nregion = 1", "Error: my.toml: sync: unknown key region; did you mean regions?"),
        ("[sync", "Error: my.toml: not TOML: "),
    ],
)
def test_a_file_that_cannot_be_used_stops_the_command_before_anything_is_written(
    folder: Path, text: str | None, message: str
) -> None:
    if text is not None:
        configure(folder, text, "my.toml")
    status, out, err = run("load", "log.json", "--config", "my.toml")
    assert (status, out) == (2, "")
    assert err.startswith(message)
    assert not (folder / "bedrock_usage.db").exists()


def test_the_tag_of_the_configuration_names_the_application_of_a_profile(folder: Path) -> None:
    arn = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:application-inference-profile/abc"
    profile = {
        "inferenceProfileArn": arn, "inferenceProfileName": "name", "type": "APPLICATION",
        "models": [{"modelArn": f"arn:aws:bedrock:us-east-1::foundation-model/{HAIKU}"}],
        "tags": [{"key": "application", "value": "by-default"}, {"key": "team", "value": "by-team"}],
    }  # fmt: skip
    (folder / "profiles.json").write_text(json.dumps({"inferenceProfileSummaries": [profile]}))
    write_log(folder / "log.json", [call(1, requestParameters={"modelId": arn})])
    load("profiles.json")
    assert report("applications") == {"by-default": 1}
    configure(folder, 'application_tag = "team"')
    load("profiles.json")
    assert report("applications") == {"by-team": 1}


@long
def test_the_demo_obeys_no_configuration(folder: Path) -> None:
    run("demo", "--no-serve", "--db", "plain.db")
    configure(folder, '[[application_rules]]\napplication = "Mine"\nregion = "*"\n' + ALIASES)
    status, out, _ = run("demo", "--no-serve", "--db", "demo.db")
    assert status == 0
    assert "Mine" not in out
    assert dump(folder / "demo.db") == dump(folder / "plain.db")


def test_loading_into_the_demo_is_refused_before_its_calls_are_attributed(folder: Path) -> None:
    run("load", "log.json", "--db", "demo.db")
    marked_demo(folder / "demo.db")
    before = dump(folder / "demo.db")
    configure(folder, '[[application_rules]]\napplication = "Mine"\nregion = "*"\n')
    status, _, err = run("load", "log.json", "--db", "demo.db")
    assert (status, "holds the demo's data" in err) == (1, True)
    assert dump(folder / "demo.db") == before
