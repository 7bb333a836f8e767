"""A second run counts only days with new files, and ends as if all had been there at first."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database

from etl.cli.shared.rolling_up import roll_up_after_sync
from etl.clock import Clock
from etl.config import load_config
from etl.errors import BedrockUsageError, DataError
from tests.checks import failed_checks
from tests.rollup.rolling import manifest_of, roll_up, tables_of
from tests.support import ACCOUNT, call, logged, rows, service_event, uuid_of
from tests.team_evidence import assumed, session_call, tags

CONFIG = 'team_tag = "costcenter"\n'


def log(folder: Path, day: str, name: str, *records: Any) -> None:
    """Write a trail's file, delivered on a day."""
    place = folder / f"AWSLogs/{ACCOUNT}/CloudTrail/us-east-1/{day.replace('-', '/')}"
    place.mkdir(parents=True, exist_ok=True)
    stamp = day.replace("-", "")
    file = place / f"{ACCOUNT}_CloudTrail_us-east-1_{stamp}T1000Z_{name}.json"
    file.write_text(json.dumps({"Records": list(records)}))


def invocations(folder: Path, day: str, *records: Any) -> None:
    place = (
        folder
        / f"AWSLogs/{ACCOUNT}/BedrockModelInvocationLogs/us-east-1/{day.replace('-', '/')}/10"
    )
    place.mkdir(parents=True, exist_ok=True)
    (place / "a.json").write_text("".join(f"{json.dumps(one)}\n" for one in records))


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    for day in range(2, 8):
        log(
            folder,
            f"2026-11-{day:02}",
            "one",
            *(call(100 * day + n, tokens=(n, day), eventTime=f"2026-11-{day:02}T1{n}:00:00Z") for n in range(5)),
        )  # fmt: skip
    log(folder, "2026-11-02", "session", assumed(1, "ASIAONE", tags=tags(costcenter="42"))
        | {"eventTime": "2026-11-02T20:00:00Z"})  # fmt: skip
    stream = call(803, eventTime="2026-11-02T23:59:59Z", eventName="ConverseStream")
    log(folder, "2026-11-02", "stream", stream)
    return folder


def later(folder: Path) -> None:
    """What comes after the first run: late, early, correcting, and of calls seen before."""
    log(folder, "2026-11-08", "new", call(801, eventTime="2026-11-08T10:00:00Z", tokens=(5, 5)))
    log(folder, "2026-11-08", "late", call(802, eventTime="2026-11-04T10:00:00Z", tokens=(5, 5)))
    log(folder, "2026-11-08", "copy", call(503, eventTime="2026-11-05T13:00:00Z", user="aaron"))
    log(
        folder,
        "2026-11-08",
        "service",
        service_event(804, 803, {"inputTokens": 9}, eventTime="2026-11-03T00:10:00Z"),
    )
    log(
        folder,
        "2026-11-08",
        "session",
        session_call(805, "ASIAONE", eventTime="2026-11-03T01:00:00Z"),
    )
    invocations(
        folder, "2026-11-07", logged(702, timestamp="2026-11-07T12:00:30Z", tokens=(1000, 1))
    )


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "config.toml"
    file.write_text(CONFIG)
    return file


def test_only_days_with_new_files_are_counted(logs: Path, config: Path, tmp_path: Path) -> None:
    output, whole = tmp_path / "parts", tmp_path / "whole"
    first = roll_up([logs], output, config=config)
    assert len(first.days) == 6
    nothing = roll_up([logs], output, config=config)
    assert (nothing.days, nothing.files, nothing.files_unchanged) == ([], 0, 4)
    before = manifest_of(output)
    later(logs)
    second = roll_up([logs], output, config=config)
    assert "2026-11-06" not in second.days
    assert {"2026-11-03", "2026-11-04", "2026-11-05", "2026-11-07", "2026-11-08"} <= {*second.days}
    after = manifest_of(output)
    assert after.days["2026-11-06"] == before.days["2026-11-06"]
    roll_up([logs], whole, config=config)
    assert tables_of(output) == tables_of(whole)
    full = manifest_of(whole)
    assert {d: after.digest_of(d) for d in after.days if after.days[d]} == {
        d: full.digest_of(d) for d in full.days
    }


def test_a_correction_of_a_counted_day_stays(logs: Path, config: Path, tmp_path: Path) -> None:
    addendum = {
        "reason": "UPDATED_DATA",
        "originalEventID": uuid_of(203),
        "originalRequestID": uuid_of(1_000_203),
    }
    fix = call(900, eventTime="2026-11-06T09:00:00Z", user="fixed", addendum=addendum)
    log(logs, "2026-11-06", "fix", fix)
    output, whole = tmp_path / "parts", tmp_path / "whole"
    roll_up([logs], output, config=config)
    log(logs, "2026-11-08", "late", call(901, eventTime="2026-11-02T10:00:00Z"))
    roll_up([logs], output, config=config)
    roll_up([logs], whole, config=config)
    assert tables_of(output) == tables_of(whole)
    users = {row[9] for row in tables_of(whole)["2026-11-02", "callers"]}
    assert "fixed" in users


def test_a_day_whose_files_are_gone_stays(logs: Path, config: Path, tmp_path: Path) -> None:
    output = tmp_path / "parts"
    roll_up([logs], output, config=config)
    before = tables_of(output)
    shutil.rmtree(logs / f"AWSLogs/{ACCOUNT}/CloudTrail/us-east-1/2026/11/04")
    log(logs, "2026-11-08", "late", call(901, eventTime="2026-11-04T12:00:00Z"))
    result = roll_up([logs], output, config=config)
    assert result.days_kept == ["2026-11-04"]
    assert not result.is_complete
    after = tables_of(output)
    assert after["2026-11-04", "usage"] == before["2026-11-04", "usage"]
    assert roll_up([logs], output, config=config).days_kept == ["2026-11-04"]


def test_a_run_that_ends_early_changes_nothing(
    logs: Path, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "parts"
    roll_up([logs], output, config=config)
    before, files = tables_of(output), manifest_of(output).paths()
    later(logs)

    def killed(*_: object) -> None:
        raise BedrockUsageError("no more space")

    with monkeypatch.context() as patched:
        patched.setattr("etl.rollup.run.write_inputs", killed)
        with pytest.raises(BedrockUsageError):
            roll_up([logs], output, config=config)
    assert tables_of(output) == before
    assert manifest_of(output).paths() == files
    roll_up([logs], output, config=config)
    assert tables_of(output) != before


def test_another_configuration_needs_all_days(logs: Path, config: Path, tmp_path: Path) -> None:
    output = tmp_path / "parts"
    roll_up([logs], output)
    with pytest.raises(DataError, match="--full"):
        roll_up([logs], output, config=config)
    assert len(roll_up([logs], output, config=config, full=True).days) == 6


def test_sync_brings_it_up_to_date_and_loads_it(
    db: Database, logs: Path, config: Path, tmp_path: Path
) -> None:
    output = tmp_path / "parts"
    settings = f'[rollup]\noutput = "{output}"\ninputs = ["{logs}"]\n'
    config.write_text(CONFIG + settings)
    assert roll_up_after_sync(db, load_config(config), config, Clock(), None)
    calls = "select sum(calls) from usage_hourly"
    assert rows(db, calls) == [(31,)]
    later(logs)
    assert roll_up_after_sync(db, load_config(config), config, Clock(), None)
    assert rows(db, calls) == [(34,)]
    # Another job makes it now.
    config.write_text(CONFIG + f'[rollup]\noutput = "{output}"\n')
    log(logs, "2026-11-09", "more", call(999, eventTime="2026-11-09T10:00:00Z"))
    assert roll_up_after_sync(db, load_config(config), config, Clock(), None)
    assert rows(db, calls) == [(34,)]
    roll_up([logs], output, config=config)
    assert roll_up_after_sync(db, load_config(config), config, Clock(), None)
    assert rows(db, calls) == [(35,)]
    assert failed_checks(db) == {}
