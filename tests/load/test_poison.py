"""Bad content costs only its file or record, and no message quotes it."""

from __future__ import annotations

import gzip
import json
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etl.load.decoder import pool as workers_module
from etl.load.decoder.content import MAX_REJECTS, Decoder, Keys
from etl.load.decoder.pool import Workers
from etl.normalise.packed import unpack
from etl.warehouse.database import open_warehouse
from tests.bombs import BOMBS, packed
from tests.cases import cases
from tests.load.long_way import shown, the_long_way
from tests.load.poison import CANARY, NUMBER, PROFILE, TOTALS, poison
from tests.rounds import rounds
from tests.support import (
    ACCOUNT,
    call,
    load,
    logged,
    rows,
    uuid_of,
)


def good(number: int) -> bytes:
    return json.dumps({"Records": [call(number, tokens=(1, 1))]}).encode()


def is_quiet(reason: str) -> bool:
    return CANARY.lower() not in reason.lower() and str(NUMBER) not in reason


@settings(max_examples=rounds(25, 20_000), suppress_health_check=[HealthCheck.too_slow])
@given(data=poison())
def test_any_document_gives_rows_or_rejects_that_quote_nothing(data: bytes) -> None:
    short = shown(Decoder().decode(data))
    with pytest.MonkeyPatch.context() as monkeypatch:
        long = shown(the_long_way(data, monkeypatch))
    assert [short["events"], short["rows"]] == [long["events"], long["rows"]]
    assert len(short["rejects"]) == len(long["rejects"])
    for position, reason in short["rejects"] + long["rejects"]:
        assert is_quiet(position + reason)
    for event in short["events"]:
        json.dumps(event).encode()


@settings(max_examples=rounds(2, 100), suppress_health_check=[HealthCheck.too_slow])
@given(files=st.lists(poison(), min_size=20, max_size=20), elsewhere=st.booleans())
def test_bad_files_do_not_affect_good_ones_around_them(
    files: list[bytes], *, elsewhere: bool
) -> None:
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as monkeypatch:
        folder = Path(name, "logs")
        folder.mkdir()
        for number, data in enumerate(files):
            Path(folder, f"{number:02}a").write_bytes(good(5000 + number))
            Path(folder, f"{number:02}b").write_bytes(data)
        if elsewhere:
            monkeypatch.setattr(workers_module, "FEW_BYTES", 0)
        with open_warehouse(Path(name, "w.db"), create=True) as db:
            assert load(db, folder, reread=False).files == 40
            marks = {uuid_of(5000 + number) for number in range(20)}
            assert marks <= {event_id for (event_id,) in rows(db, "select event_id from calls")}
            assert load(db, folder, reread=False).files == 0


EXAMPLES = {
    "models is a number": json.dumps({**PROFILE, "models": 7}).encode(),
    "numbers for lists": json.dumps(
        {**TOTALS, "MetricDataResults": [{"Id": "q0", "Timestamps": 1, "Values": 2}, 3]}
    ).encode(),
    "a dimension that has no hash": json.dumps(TOTALS).replace('"ModelId"', '["x"]').encode(),
    "half a surrogate": json.dumps({"Records": [call(1, user="a\ud800")]}).encode(),
    "old line ends": b"account_id,region,model_id,period_start,period_seconds,metric,value\r"
    b"1,us-east-1,m,2026-11-02T10:00:00Z,300,InputTokenCount,5\r",
    "a long field": b"account_id,region,model_id,period_start,period_seconds,metric,value\n"
    b'"' + b"x" * 200_000 + b'",r,m,2026-11-02T10:00:00Z,300,InputTokenCount,5\n'
    b"1,us-east-1,m,2026-11-02T10:00:00Z,300,InputTokenCount,6\n",
}


def test_the_examples_cost_no_more_than_themselves(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    for name, data in EXAMPLES.items():
        (folder / name).write_bytes(data)
    (folder / "loop").symlink_to("loop")
    Path(os.fsdecode(bytes(folder) + b"/b\xe4d")).write_bytes(good(2))
    (folder / "zz").write_bytes(good(3))
    with open_warehouse(tmp_path / "w.db", create=True) as db:
        result = load(db, folder, reread=False)
        again = load(db, folder, reread=False)
    assert (result.files, result.written.calls_new, result.written.metric_values) == (8, 3, 2)
    assert (again.files, again.files_unchanged, again.rejected) == (0, 8, 1)


@cases("kind", BOMBS)
def test_little_is_kept_of_a_small_file_with_very_much_content(kind: str) -> None:
    chunks = list(Decoder().chunks([packed(BOMBS[kind](rounds(32_768, 4_000_000)))]))
    kept = [reject for chunk in chunks for reject in chunk.rejects]
    assert len(kept) <= MAX_REJECTS + 1
    rejected = sum(chunk.rejected for chunk in chunks)
    if rejected > len(kept):
        assert kept[-1][0] == "file"
        assert kept[-1][1].endswith(" more that cannot be read")
    assert [chunk.is_last for chunk in chunks] == [False] * (len(chunks) - 1) + [True]


def test_a_record_that_is_too_large_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("etl.sources.split.MAX_VALUE_BYTES", 300_000)
    large = call(2) | {"requestParameters": {"x": ['a]\\"}' * 20, {"y": []}] * 10_000}}
    data = json.dumps({"Records": [call(1), large, call(3)]}).encode()
    decoded = Decoder().decode(data)
    assert len(decoded.calls) == 2
    ((position, reason),) = decoded.rejects
    assert position == "Records[1]"
    assert "larger than" in reason


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\n\n"])
def test_no_line_is_lost_where_windows_meet(end: bytes) -> None:
    lines = [json.dumps(logged(number)).encode() for number in range(1000)]
    decoded = Decoder().decode(end.join(lines))
    assert (len(decoded.calls), decoded.rejects) == (1000, [])


def test_a_large_file_comes_in_chunks_from_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers_module, "FEW_BYTES", 0)
    number = 25_000
    record = json.dumps(call(1, tokens=(1, 2))).encode()
    data = gzip.compress(b'{"Records":[' + b",".join([record] * number) + b"]}", 1)
    with Workers(Keys(), count=2) as workers:
        parts = [part for _, part in workers.decode([(1, data)])]
    assert sum(len(part.calls) for part in parts) == number
    assert [part.is_first for part in parts] == [True] + [False] * (len(parts) - 1)
    assert max(len(part.calls) for part in parts) < 30_000
    shapes = {key: shape for part in parts for key, shape in part.shapes}
    assert unpack(parts[-1].calls[0], shapes[parts[-1].calls[0][4]]).account_id == ACCOUNT
