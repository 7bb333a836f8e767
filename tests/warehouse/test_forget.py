"""A person is forgotten: no byte of the name is left, every figure stays, and later loads agree."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlite_utils import Database

from etl.errors import DataError
from etl.load.run import load_files
from etl.normalise.cloudtrail import parse_event
from etl.normalise.rows import Event
from etl.normalise.rules import ApplicationRule
from etl.sql_files import sql_names
from etl.warehouse.bookmarks import StreamId, finish_run, save_error, start_run
from etl.warehouse.database import open_warehouse
from etl.warehouse.pseudonyms import Forgotten
from etl.warehouse.upkeep.check import run_checks
from etl.warehouse.upkeep.forget import check_name, forget
from etl.warehouse.upkeep.vacuum import compact
from etl.warehouse.write.attribution import apply_config, stored_aliases
from etl.warehouse.write.batch import Batch, Loader
from tests.cases import cases
from tests.cli.running import run
from tests.rounds import rounds
from tests.support import (  # fmt: skip
    call,
    load,
    logged,
    role_identity,
    rows,
    user_identity,
    write_invocation_log,
    write_log,
)

MARTS = sql_names("marts")
PSEUDONYM = re.compile(r"forgotten-[0-9a-f]{12}")
SSO = "AWSReservedSSO_Data_0123456789abcdef"


def figures(db: Database) -> dict[str, list[tuple[Any, ...]]]:
    return {mart: rows(db, f"select * from {mart}") for mart in MARTS}


def unnamed(found: dict[str, list[tuple[Any, ...]]], *names: str) -> dict[str, list[str]]:
    """Return figures with every pseudonym and every name replaced by the same word."""
    word = re.compile("|".join([PSEUDONYM.pattern, *map(re.escape, sorted(names, key=len)[::-1])]), re.I)  # fmt: skip
    return {mart: sorted(word.sub("NAME", repr(row)) for row in part) for mart, part in found.items()}  # fmt: skip


def traces(folder: Path, *names: str) -> list[tuple[str, str]]:
    """Return which files contain which name, in upper or lower case."""
    return [
        (file.name, name)
        for file in folder.glob("w.db*")
        for name in names
        if name.casefold() in file.read_bytes().decode("utf-8", "replace").casefold()
    ]


def knowing(*names: str, patterns: tuple[str, ...] = ()) -> Forgotten:
    key = Forgotten(b"key", {})
    return Forgotten(b"key", {key.hash_of(n): len(re.findall(r"[\w.@-]+", n)) for n in names}, patterns)  # fmt: skip


@cases(
    ("text", "expected"),
    [
        ("alice", "X"),
        ("ALICE", "X"),
        ("arn:aws:iam::111122223333:user/staff/alice", "arn:aws:iam::111122223333:user/staff/X"),
        ("Boto3/1.42 app/alice (alice; x)", "Boto3/1.42 app/X (X; x)"),
        ("alice.smith", "alice.smith"),
        ("malice alice-dev alice@example.com", "malice alice-dev alice@example.com"),
        ("by Bob Ray Marley, later", "by X, later"),
        ("Bob Ray, Marley", "Bob Ray, Marley"),
        ("x@corp.example", "X"),
        ("Denied: x@corp.example.", "Denied: X."),
        ("aws", "aws"),
        ("forgotten-0123456789ab", "forgotten-0123456789ab"),
        ("", ""),
    ],
)
def test_a_name_is_found_between_other_characters(text: str, expected: str) -> None:
    known = knowing("alice", "Bob Ray Marley", "aws", patterns=("*@corp.example", "forgotten*"))
    assert PSEUDONYM.sub("X", known.text(text)) == (expected if "forgotten" not in text else "X")
    assert known.text(known.text(text)) == known.text(text)


def test_each_spelling_of_a_name_stays_distinct() -> None:
    known = knowing("alice", "bob")
    pseudonyms = {known.text(name) for name in ("alice", "Alice", "bob")}
    assert len(pseudonyms) == 3
    assert all(PSEUDONYM.fullmatch(name) for name in pseudonyms)
    assert Forgotten(b"another key", {}).pseudonym("alice") not in pseudonyms


def test_a_rule_goes_on_matching_whom_it_names() -> None:
    known = knowing("alice")
    name = known.text("alice")
    rule = ApplicationRule(application="x", user="alice", principal_arn="*:user/alice", session="alice*")  # fmt: skip
    assert known.rule(rule) == ApplicationRule(application="x", user=name, principal_arn=f"*:user/{name}", session="alice*")  # fmt: skip


@cases("name", ["*", "a*", "", "--", "user", "AWS", "(unattributed)", "Unknown"])
def test_what_would_meet_too_much_is_refused(name: str) -> None:
    with pytest.raises(DataError):
        check_name(name)


NAMES = ("zoe.quist", "zoe.quist@corp.example", "Żaneta-Łęcka", "yuri+dev@corp.example", "xandra")


@st.composite
def people(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw raw calls, some by people to forget, with the names in any possible place."""
    records = []
    for number in range(draw(st.integers(3, 12))):
        who = draw(st.sampled_from((*NAMES, *(name.upper() for name in NAMES), "stays")))
        identity = draw(
            st.sampled_from(
                (
                    user_identity(who),
                    role_identity(SSO, who),
                    role_identity("Chat-BedrockRole", who),
                    role_identity("worker", f"made-up-{number}", sourceIdentity=who),
                )
            )
        )
        agent = draw(
            st.sampled_from(("Boto3/1.42.97", f"Boto3/1.42.97 app/{who}", f"tool ({who})"))
        )
        metadata = draw(st.sampled_from(({}, {"owner": who}, {who: [f"by {who}"], "team": "blue"})))
        records.append(
            call(
                number, userIdentity=identity, userAgent=agent, tokens=(number, 1),
                requestParameters={"modelId": draw(st.sampled_from(("amazon.nova-lite-v1:0", "x"))),
                                   "requestMetadata": metadata},
                eventTime=f"2026-11-0{draw(st.integers(1, 5))}T10:00:00Z",
            )
        )  # fmt: skip
    return records


@settings(max_examples=rounds(2, 100))
@given(records=people(), order=st.permutations(NAMES), with_config=st.booleans())
def test_nothing_of_a_name_is_left_and_no_figure_changes(
    records: list[dict[str, Any]],
    order: list[str],
    with_config: bool,
    new_warehouse: Callable[[], AbstractContextManager[Database]],
) -> None:
    rules = [ApplicationRule(application="ruled", user="xandra"), ApplicationRule(application="all", user="st*")]  # fmt: skip
    aliases = {"zoe.quist": "Zoe", "xandra": "X. Andra", "stays": "Stays"}
    with new_warehouse() as db:
        folder = Path(db.conn.execute("pragma database_list").fetchone()[2]).parent
        half, logs = len(records) // 2, folder / "logs"
        logs.mkdir()
        files = [
            write_log(logs / "a.json", [*records[:half], 7]),
            write_invocation_log(logs / "log.jsonl", [
                logged(900 + n, user=name, requestMetadata={"application": name, "by": name})
                for n, name in enumerate(NAMES)
            ]),
        ]  # fmt: skip
        load(db, *files)
        if with_config:
            apply_config(db, rules, aliases)
        before = figures(db)
        for name in order:
            forget(db, [name])
        assert compact(db)
        after = figures(db)
        # The session name of a forgotten user would reveal the user.
        sessions = (f"made-up-{number}" for number in range(12))
        everybody = (*NAMES, "Zoe", "X. Andra", *sessions)
        assert unnamed(after, *everybody) == unnamed(before, *everybody)
        assert [c for c in run_checks(db) if c.status != "ok"] == []
        _no_trace(folder)
        # The same again, more from the same people, and a configuration that still names them.
        for name in order:
            assert not sum(forget(db, [name]).replaced.values())
        load(db, *files)
        assert figures(db) == after
        load(db, write_log(logs / "b.json", records[half:]))
        apply_config(db, rules, aliases)
        assert set(stored_aliases(db)) <= {"stays"}
        compact(db)
        _no_trace(folder)
        later = figures(db)
    # Forgetting first gives the same result as forgetting afterwards.
    with new_warehouse() as db:
        load(db, *files, logs / "b.json")
        apply_config(db, rules, aliases)
        forget(db, list(order))
        apply_config(db, rules, aliases)
        assert unnamed(figures(db)) == unnamed(later)


def _no_trace(folder: Path) -> None:
    for file in folder.glob("warehouse.db*"):
        text = file.read_bytes().decode("utf-8", "replace").casefold()
        for name in (*NAMES, "X. Andra"):
            assert name.casefold() not in text, (file.name, name)


def planted(db: Database, name: str) -> None:
    """Insert a name wherever the warehouse stores text from outside."""
    db.conn.executescript(f"""
        insert into sync_state (stream, source, account_id, region, error)
            values ('a', 'a', 'a', 'a', 'User: arn:aws:iam::1:user/{name} is not authorized');
        insert into sync_runs (started_at, message, pid, host) values ('', 'denied to {name}.', 1, '');
        insert into rejects values ('/home/{name}/a.json', 'Records[1]', 'not an object');
        insert into log_folders values (99, '/home/{name}/');
        insert into monitor_targets (target_key, account_id, region) values (1, '1', 'r');
        insert into monitor_series values (1, 1, '{name}', 'm', 'x', 'application');
        insert into monitor_limits values (1, '{name}', '1');
        insert into inference_profiles values ('arn', 'id', '{name}', 'APPLICATION', null, 'regional',
            '{name}', '{{"owner": "{name}"}}');
    """)


def test_every_table_is_looked_at(db: Database, tmp_path: Path) -> None:
    load(db, write_log(tmp_path / "log.json", [call(1, user="zoe")]))
    planted(db, "zoe")
    done = forget(db, ["zoe"])
    assert done.left == []
    assert {"users", "principals", "rejects", "log_folders", "monitor_series", "sync_runs"} <= set(done.replaced)  # fmt: skip
    assert not tables_with(db, "zoe")
    assert rows(db, "select json_extract(tags, '$.owner') = application from inference_profiles") == [(1,)]  # fmt: skip


def tables_with(db: Database, name: str) -> list[str]:
    tables = rows(db, "select name from sqlite_master where type = 'table'")
    return [table for (table,) in tables if name in repr(rows(db, f"select * from {table}"))]


def test_no_later_place_or_message_brings_it_back(db: Database, tmp_path: Path) -> None:
    folder = tmp_path / "zoe"
    folder.mkdir()
    write_log(folder / "log.json", [7, call(1)])
    (folder / "profiles.json").write_text(json.dumps({"inferenceProfileSummaries": [{
        "inferenceProfileName": "zoe", "inferenceProfileArn": "arn:aws:bedrock:us-east-1:1:x/y",
        "inferenceProfileId": "y", "type": "APPLICATION", "models": [],
        "tags": [{"key": "application", "value": "zoe"}, {"key": "owner", "value": "Zoe"}],
    }]}))  # fmt: skip
    forget(db, ["zoe"])
    load_files(db, [folder])
    now = datetime(2026, 11, 20, tzinfo=UTC)
    save_error(db, StreamId("cloudtrail", "1", "r"), "User: arn:aws:iam::1:user/zoe is denied", now)
    finish_run(
        db, start_run(db, now, pid=1, host="h"), now, "incomplete", ["zoe is denied"], rejected=1
    )
    assert tables_with(db, "zoe") == tables_with(db, "Zoe") == []
    assert rows(db, "select count(*) from rejects, log_files") == [(2,)]
    # Files that were read are found under the pseudonym of their folder.
    assert load_files(db, [folder]).files_unchanged == 2


def test_longer_texts_with_the_name_are_reported_and_left(db: Database, tmp_path: Path) -> None:
    load(db, write_log(tmp_path / "log.json", [call(1, user="zoe"), call(2, user="zoe.quist")]))
    done = forget(db, ["zoe"])
    assert ("users.user_name", "zoe.quist") in done.left
    assert len(rows(db, "select * from users where user_name = 'zoe.quist'")) == 1


def test_who_is_shown_under_an_alias_goes_by_it(db: Database, tmp_path: Path) -> None:
    load(db, write_log(tmp_path / "log.json", [call(1, user="u1234")]))
    apply_config(db, [], {"u1234": "Zoe Quist"})
    assert forget(db, ["zoe quist"]).users == 1
    ((name,),) = rows(db, "select user_name from user_costs")
    assert PSEUDONYM.fullmatch(name)
    load(db, write_log(tmp_path / "more.json", [call(2, user="u1234")]))
    assert rows(db, "select user_name, calls from user_costs") == [(name, 2)]


def test_a_loader_that_is_open_meanwhile_obeys(db: Database, tmp_path: Path) -> None:
    path = Path(db.conn.execute("pragma database_list").fetchone()[2])
    loader = Loader(db)

    def event(number: int) -> Event:
        row = parse_event(call(number, user="zoe")).row
        assert isinstance(row, Event)
        return row

    loader.write(Batch(events=[event(1)]))
    with open_warehouse(path) as other:
        forget(other, ["zoe"])
    loader.write(Batch(events=[event(2)]))
    assert len(rows(db, "select * from users where user_name = 'zoe'")) == 0
    assert rows(db, "select count(distinct user_key) from events") == [(1,)]


def test_the_command_says_what_goes_and_asks(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log.json", [
        call(1, user="zoe"), call(2, userIdentity=role_identity(SSO, "zoe@corp.example")),
        call(3, user="zoe-2"),
    ])  # fmt: skip
    path = tmp_path / "w.db"
    assert run("load", log, "--db", path)[0] == 0
    words = ("vacuum", "--forget", "ZOE", "--forget", "zoe@corp.*", "--db", path)
    status, out, _ = run(*words, "--dry-run")
    assert status == 0
    lines = out.splitlines()
    assert lines[2:4] == [
        "Would forget   2 users",
        "Would replace  sessions 1, users 2, principals 1",
    ]
    assert "Still there    zoe-2 (users.user_name): a different name" in lines
    assert traces(tmp_path, "zoe@corp") == [("w.db", "zoe@corp")]
    assert run(*words)[0] == 2
    assert traces(tmp_path, "zoe@corp") == [("w.db", "zoe@corp")]
    status, _, err = run(*words, "--yes")
    assert status == 0
    assert "Forgot         2 users" in err
    # A pattern is stored as it is.
    assert b"zoe@corp.example" not in path.read_bytes()
    assert b"zoe@corp.*" in path.read_bytes()
    assert run("check", "--db", path)[0] == 0
    status, out, _ = run("inspect", log, "--db", path)
    assert status == 0
    assert "forgotten-" in out
    assert not re.search(r"zoe(?!-2)", out)
    status, out, _ = run("status", "--db", path)
    assert "zoe" not in out


def test_a_reader_in_the_way_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("etl.warehouse.database._BUSY_SECONDS", 0.2)
    path = tmp_path / "w.db"
    assert (
        run("load", write_log(tmp_path / "log.json", [call(1, user="zoe")]), "--db", path)[0] == 0
    )
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("begin")
        reader.execute("select * from users").fetchall()
        status, _, err = run("vacuum", "--forget", "zoe", "--yes", "--db", path)
        assert status == 1
        assert "may still be readable in the file's log" in err
        reader.execute("commit")
    assert run("vacuum", "--db", path)[0] == 0
    assert traces(tmp_path, "zoe") == []
