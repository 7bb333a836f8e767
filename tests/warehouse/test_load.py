"""A call is counted once, whatever is loaded, how often, in what order, and what is killed."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlite_utils import Database

from etl.load.decoder.content import Decoder
from etl.load.run import load_files
from etl.normalise.cloudtrail import parse_event
from etl.normalise.rows import Event
from etl.warehouse.database import open_warehouse
from etl.warehouse.write.batch import Batch, Loader, Reject
from tests.checks import failed_checks
from tests.rounds import long, rounds, some
from tests.support import (
    ACCOUNT,
    HAIKU,
    call,
    dump,
    load,
    role_identity,
    rows,
    service_event,
    uuid_of,
    write_log,
    write_metrics,
)  # fmt: skip

OTHER_ACCOUNT = "444455556666"
NewWarehouse = Callable[[], AbstractContextManager[Database]]
TOKENS = {"inputTokens": 1200, "outputTokens": 340}


def load_records(db: Database, tmp_path: Path, *records: object) -> Any:
    return load(db, write_log(tmp_path / "log.json", records))


def call_tokens(db: Database) -> list[tuple[Any, ...]]:
    return rows(
        db, "select event_id, input_tokens, output_tokens, token_source from calls order by 1"
    )


def check_rollup(db: Database) -> None:
    assert failed_checks(db) == {}


def test_counts_of_a_load(db: Database, tmp_path: Path) -> None:
    result = load_records(
        db, tmp_path,
        call(1, tokens=(5, 6)), call(2), call(2), service_event(3, 2, TOKENS), service_event(4, 99, TOKENS),
        call(5, eventName="ListFoundationModels"), "text",
    )  # fmt: skip
    written = result.written
    assert (result.files, result.events_read, result.events_skipped, result.rejected) == (
        1,
        7,
        1,
        1,
    )
    assert (written.calls_new, written.calls_known, written.calls_with_tokens) == (2, 1, 2)
    assert (written.tokens_attached, written.tokens_pending) == (1, 1)


def test_loading_twice_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "w.db"
    log = write_log(
        tmp_path / "log.json", [call(1, tokens=(5, 6)), call(2), service_event(3, 2, TOKENS), {}]
    )
    metrics = write_metrics(tmp_path / "m.csv", [(HAIKU, "InputTokenCount", 10)])
    with open_warehouse(path, create=True) as db:
        load(db, log, metrics)
    first = dump(path)
    with open_warehouse(path) as db:
        result = load(db, log, metrics)
    assert dump(path) == first
    assert (result.written.calls_new, result.written.calls_known, result.written.metric_values) == (
        0,
        2,
        0,
    )
    assert result.written.tokens_attached == 0


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("batch_rows", [1, 100])
def test_service_event_and_call_in_any_order(
    db: Database, tmp_path: Path, order: tuple[int, ...], batch_rows: int
) -> None:
    records = [call(1), service_event(2, 1, TOKENS, eventTime="2026-11-02T10:15:09Z"), call(3)]
    for position in order:
        load(db, write_log(tmp_path / "log.json", [records[position]]), batch_rows=batch_rows)
    assert call_tokens(db) == [
        (uuid_of(1), 1200, 340, "AwsServiceEvent"),
        (uuid_of(3), None, None, "none"),
    ]
    assert rows(db, "select count(*) from pending_tokens") == [(0,)]
    check_rollup(db)


def test_a_service_event_fills_only_what_its_call_lacks(db: Database, tmp_path: Path) -> None:
    first = call(1, additionalEventData={"inputTokens": 1000})
    load_records(db, tmp_path, first)
    load_records(db, tmp_path, service_event(2, 1, {**TOKENS, "inferenceRegion": "us-east-2"}))
    assert call_tokens(db) == [(uuid_of(1), 1000, 340, "additionalEventData")]
    assert rows(db, "select inference_region from calls") == [("us-east-2",)]
    check_rollup(db)


@pytest.mark.parametrize(
    "difference", [{"awsRegion": "eu-west-1"}, {"recipientAccountId": OTHER_ACCOUNT}]
)
def test_a_service_event_belongs_to_a_call_of_its_account_and_region(
    db: Database, tmp_path: Path, difference: dict[str, str]
) -> None:
    load_records(db, tmp_path, call(1), service_event(2, 1, TOKENS, **difference))
    assert call_tokens(db) == [(uuid_of(1), None, None, "none")]
    assert rows(db, "select count(*) from pending_tokens") == [(1,)]


def test_a_request_id_of_two_calls_gives_the_tokens_to_the_one_that_succeeded(
    db: Database, tmp_path: Path
) -> None:
    shared = {"requestID": uuid_of(1_000_001)}
    failed = call(1, errorCode="ThrottlingException", eventTime="2026-11-02T10:14:00Z", **shared)
    load_records(db, tmp_path, failed, call(5, **shared), service_event(9, 1, TOKENS))
    assert rows(db, "select event_id from calls where input_tokens is not null") == [(uuid_of(5),)]


def test_tokens_far_from_any_call_in_time_wait(db: Database, tmp_path: Path) -> None:
    load_records(
        db, tmp_path, call(1), service_event(2, 1, TOKENS, eventTime="2026-11-03T10:15:09Z")
    )
    assert rows(db, "select count(*) from pending_tokens") == [(1,)]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("together", [True, False])
def test_of_a_call_copied_to_another_account_the_home_copy_is_kept(
    db: Database, tmp_path: Path, order: tuple[int, ...], together: bool
) -> None:
    home = call(1, sharedEventID=uuid_of(77), tokens=(5, 6))
    copy = call(2, sharedEventID=uuid_of(77), tokens=(5, 6), recipientAccountId=OTHER_ACCOUNT)
    records = [(home, copy)[position] for position in order]
    for group in [records] if together else [[record] for record in records]:
        load_records(db, tmp_path, *group)
    assert rows(db, "select event_id, account_id, input_tokens from calls") == [
        (uuid_of(1), ACCOUNT, 5)
    ]
    assert rows(db, "select sum(calls), sum(input_tokens) from usage_hourly") == [(1, 5)]
    check_rollup(db)


def test_a_copy_is_kept_while_the_home_copy_has_not_been_seen(db: Database, tmp_path: Path) -> None:
    load_records(db, tmp_path, call(2, sharedEventID=uuid_of(77), recipientAccountId=OTHER_ACCOUNT))
    assert rows(db, "select account_id from calls") == [(OTHER_ACCOUNT,)]


def test_a_shared_event_id_alone_is_no_duplicate(db: Database, tmp_path: Path) -> None:
    load_records(
        db, tmp_path, call(1, sharedEventID=uuid_of(77)), call(2, sharedEventID=uuid_of(78))
    )
    assert rows(db, "select count(*) from events") == [(2,)]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("together", [True, False])
def test_a_correction_replaces_its_event_whenever_it_comes(
    db: Database, tmp_path: Path, order: tuple[int, ...], together: bool
) -> None:
    original = call(1, user="alice", tokens=(5, 6))
    correction = call(2, user="bob", addendum={"originalEventID": uuid_of(1)})
    records = [(original, correction)[position] for position in order]
    for group in [records] if together else [[record] for record in records]:
        load_records(db, tmp_path, *group)
    assert rows(db, "select event_id, user_name, input_tokens from calls") == [
        (uuid_of(1), "bob", 5)
    ]
    check_rollup(db)


def test_ids_that_are_no_uuids_are_kept_as_they_are(db: Database, tmp_path: Path) -> None:
    odd = [
        "a1b2c3d4-5678-90ab-cdef-EXAMPLE11111",
        uuid_of(1).upper(),
        "x",
        "é" * 36,
        "00000000 0000-4000-8000-00000000000",
        "100000",
        "1e5",
    ]
    load_records(db, tmp_path, *[call(n, eventID=i, requestID=i) for n, i in enumerate(odd)])
    assert rows(db, "select event_id, request_id from calls order by 1") == sorted(
        (i, i) for i in odd
    )
    check_rollup(db)


def test_stored_calls_are_looked_up_by_their_whole_key(db: Database, tmp_path: Path) -> None:
    statements: list[str] = []
    load_records(db, tmp_path, call(1), call(2))
    db.conn.set_trace_callback(statements.append)
    load_records(db, tmp_path, call(1), call(2))
    db.conn.set_trace_callback(None)
    lookups = {sql for sql in statements if "from wanted_calls as wanted" in sql}
    assert lookups
    for lookup in lookups:
        plan = [step for *_, step in rows(db, f"explain query plan {lookup}")]
        assert "SEARCH events USING PRIMARY KEY (event_time=? AND event_id=?)" in plan


def test_rejects_hold_place_and_reason_and_nothing_of_the_record(
    db: Database, tmp_path: Path
) -> None:
    told: list[Reject] = []
    secret = call(1, eventTime="secret prompt", requestParameters={"prompt": "secret prompt"})
    log = write_log(tmp_path / "log.json", [secret, 7, call(2)])
    result = load(db, log, on_reject=told.append)
    assert result.rejected == 2
    assert rows(db, "select * from rejects") == [tuple(reject) for reject in told] == [
        (str(log), "Records[0]", "eventTime is not a time"),
        (str(log), "Records[1]", "not an object but a number"),
    ]  # fmt: skip
    assert rows(db, "select count(*) from events") == [(1,)]


def test_the_rejects_of_a_mended_file_go(db: Database, tmp_path: Path) -> None:
    load_records(db, tmp_path, 7)
    load_records(db, tmp_path, call(1))
    assert rows(db, "select count(*) from rejects") == [(0,)]


def test_no_text_of_a_request_or_response_reaches_the_database(tmp_path: Path) -> None:
    path = tmp_path / "w.db"
    canary = "canary-prompt"
    record = call(
        1, tokens=(5, 6), errorMessage=canary,
        requestParameters={"modelId": HAIKU, "messages": [canary], "body": canary, "requestMetadata": {"note": canary}},
        responseElements={"usage": {"inputTokens": 1}, "output": canary},
    )  # fmt: skip
    with open_warehouse(path, create=True) as db:
        load(db, write_log(tmp_path / "log.json", [record, {"eventID": canary, "body": canary}]))
        content = b"".join(file.read_bytes() for file in tmp_path.glob("w.db*"))
    assert canary.encode() not in content


def test_a_failed_batch_leaves_nothing_of_itself_and_may_be_written_again(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = parse_event(call(1, tokens=(5, 6))).row
    assert isinstance(event, Event)
    loader, batch = Loader(db), Batch(events=[event])

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr("etl.warehouse.write.bulk_insert.add_usage", fail)
        with pytest.raises(RuntimeError):
            loader.write(batch)
    counted = rows(db, "select (select count(*) from events) + (select count(*) from users)")
    assert counted == [(0,)]
    loader.write(batch)
    assert rows(db, "select user_name, calls from user_costs") == [("alice", 1)]


STEP = st.tuples(
    st.integers(0, 5),  # which call
    st.sampled_from(["call", "service", "copy", "correction", "failed"]),
)


@settings(max_examples=rounds(8, 300))
@given(st.lists(st.lists(STEP, max_size=6), max_size=5))
def test_rollup_equals_recomputation_whatever_comes(
    new_warehouse: NewWarehouse, batches: list[list[tuple[int, str]]]
) -> None:
    with new_warehouse() as db:
        for batch in batches:
            log = Path(db.conn.execute("pragma database_list").fetchone()[2]).with_suffix(".json")
            load(db, write_log(log, [_record(*step) for step in batch]))
        check_rollup(db)


def _record(number: int, kind: str) -> dict[str, Any]:
    tokens = (number * 100, number) if number % 2 else None
    if kind == "service":
        return service_event(100 + number, number, {"inputTokens": 7, "outputTokens": number})
    if kind == "copy":
        return call(
            200 + number,
            tokens=tokens,
            sharedEventID=uuid_of(number),
            recipientAccountId=OTHER_ACCOUNT,
        )
    if kind == "correction":
        return call(
            300 + number, tokens=(1, 1), user="bob", addendum={"originalEventID": uuid_of(number)}
        )
    if kind == "failed":
        return call(400 + number, errorCode="ThrottlingException")
    return call(number, tokens=tokens, sharedEventID=uuid_of(number))


LOADER = """
import sys
from pathlib import Path
from etl.load.decoder import pool
from etl.load.run import load_files
from etl.warehouse.database import open_warehouse
pool.FEW_BYTES = int(sys.argv[3])
with open_warehouse(Path(sys.argv[1]), create=True) as db:
    print("ready", flush=True)
    load_files(db, [Path(sys.argv[2])], batch_rows=40)
"""


def _start(database: Path, logs: Path, few_bytes: int) -> subprocess.Popen[bytes]:
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, "-c", LOADER, str(database), str(logs), str(few_bytes)],
        cwd=root,
        stdout=subprocess.PIPE,
    )


@pytest.mark.parametrize("few_bytes", some([0, 1 << 20], 1))
def test_killed_at_any_moment_and_run_again_it_is_the_same_database(
    tmp_path: Path, few_bytes: int
) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    rng = random.Random(7)
    for file in range(30):
        numbers = [rng.randrange(2000) for _ in range(60)]
        records: list[object] = [
            call(n, user=f"user-{n % 9}", tokens=(n, 1) if n % 3 else None) for n in numbers
        ]
        records += [service_event(10_000 + n, n + 1, TOKENS) for n in numbers[:10]]
        write_log(logs / f"{file:02}.json", [*records, file])
    clean = tmp_path / "clean.db"
    with open_warehouse(clean, create=True) as db:
        load_files(db, [logs], batch_rows=40)
    killed = tmp_path / "killed.db"
    kills = 0
    for _ in range(rounds(1, 12)):
        process = _start(killed, logs, few_bytes)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(rng.uniform(0, 0.25))
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        kills += process.returncode == -signal.SIGKILL
    assert kills >= 1
    process = _start(killed, logs, few_bytes)
    process.communicate()
    assert process.returncode == 0
    assert dump(killed) == dump(clean)


@long
def test_memory_does_not_grow_with_the_number_of_files(db: Database, tmp_path: Path) -> None:
    import tracemalloc

    def peak(first: int, count: int) -> int:
        folder = tmp_path / str(first)
        folder.mkdir()
        for file in range(count):
            start = (first + file) * 50
            records = [call(start + n, tokens=(1, 1)) for n in range(50)]
            (folder / f"{file:04}.json").write_text(json.dumps({"Records": records}))
        tracemalloc.start()
        load(db, folder, batch_rows=200)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    # How much is read ahead depends on timing; growth with the number of files shows every time.
    few = max(peak(start, 150) for start in (0, 1000))
    many = min(peak(start, 600) for start in (2000, 3000))
    assert many < few + 4_000_000


def test_two_roles_of_one_name_prefix_are_two_users(db: Database, tmp_path: Path) -> None:
    load_records(
        db, tmp_path,
        call(1, userIdentity=role_identity("App-BedrockRole")), call(2, userIdentity=role_identity("App")),
    )  # fmt: skip
    assert rows(db, "select user_name, application from calls order by 1") == [
        ("App", "Unknown"),
        ("App-BedrockRole", "App"),
    ]


def _log(*records: object) -> bytes:
    return json.dumps({"Records": list(records)}).encode()


def _batch(decoder: Decoder, *records: object) -> Batch:
    decoded = decoder.decode(_log(*records))
    return Batch(calls=decoded.calls, shapes=decoded.shapes)


def test_readers_that_take_turns_do_not_take_each_others_names(db: Database) -> None:
    loader, one, other = Loader(db), Decoder(), Decoder()
    loader.write(_batch(one, call(1, user="alice")))
    loader.write(_batch(other, call(2, user="bob")))
    loader.write(_batch(one, call(3, user="alice")))
    loader.write(Batch(events=[parse_event(call(4, user="carol")).row]))  # type: ignore[list-item]
    loader.write_all([_batch(other, call(5, user="bob")), _batch(one, call(6, user="alice"))])
    assert rows(db, "select user_name from calls order by event_id") == [
        (name,) for name in ("alice", "bob", "alice", "carol", "bob", "alice")
    ]
    check_rollup(db)


def test_what_a_writer_remembers_of_callers_is_bounded(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("etl.normalise.packed._MAX_SHAPES", 3)
    loader = Loader(db)
    for number in range(12):
        event = parse_event(call(number, user=f"user-{number}")).row
        loader.write(Batch(events=[event, event]))  # type: ignore[list-item]
    assert rows(db, "select count(*) <= 3 from call_shapes") == [(1,)]
    assert rows(db, "select count(distinct user_name) from calls") == [(12,)]
    check_rollup(db)
