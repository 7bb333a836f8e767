"""However many callers a day has, a rollup keeps their sums, and the names of the largest."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from etl.normalise.rollups import TABLES, Caller
from tests.rollup.rolling import Tables, load_it, manifest_of, roll_up, tables_of
from tests.support import call, role_identity, rows

MOST = 4
RUNS = 30


def write_runs(folder: Path) -> None:
    """Write the calls of two people, of many runs with a session of their own, and of many roles."""
    calls = [call(n, user="ann", tokens=(1, 1)) for n in range(1, 6)]
    calls += [call(n, user="ben", tokens=(1, 1)) for n in range(11, 15)]
    for n in range(RUNS):
        run = role_identity("ci-BedrockRole", f"run-{n}")
        calls.append(call(100 + n, userIdentity=run, tokens=(10, 1)))
        role = role_identity(f"role-{n}", "session")
        calls.append(call(200 + n, userIdentity=role, tokens=(100, 1)))
    folder.mkdir()
    (folder / "trail.json").write_text(json.dumps({"Records": calls}))


def callers_of(tables: Tables) -> dict[str, list[Caller]]:
    """Return the callers of each day."""
    return {
        day: [Caller(*row[1 : 1 + len(Caller._fields)]) for row in found]
        for (day, table), found in tables.items()
        if table == "callers"
    }


def sums_of(tables: Tables) -> Counter[Any]:
    """Return all that is summed, by what no caller may change: day, account, region, model."""
    sums: Counter[Any] = Counter()
    for (day, name), found in tables.items():
        table, width = TABLES[name], len(TABLES[name].key)
        if "caller_id" not in table.key or name == "callers":
            continue
        at = table.key.index("caller_id")
        places = {caller.caller_id: caller[:4] for caller in callers_of(tables)[day]}
        for row in found:
            rest = row[:at] + row[at + 1 : width]
            for column, value in zip(table.sums, row[width:], strict=True):
                sums[day, name, places[row[at]], rest, column] += value
    return sums


def test_the_smallest_callers_are_counted_together(cases: Path, tmp_path: Path) -> None:
    write_runs(tmp_path / "logs")
    inputs = [cases / "input", tmp_path / "logs"]
    roll_up(inputs, tmp_path / "all")
    roll_up(inputs, tmp_path / "few", most_callers=MOST)
    everybody, few = tables_of(tmp_path / "all"), tables_of(tmp_path / "few")
    assert sums_of(few) == sums_of(everybody)
    before, after = callers_of(everybody), callers_of(few)
    assert max(map(len, before.values())) > 60
    for day, callers in after.items():
        assert len(set(callers)) == len(callers)
        named = [caller for caller in callers if caller.user_name != "(others)"]
        assert len(named) == min(MOST, len(before[day]))
        places = {caller[:4] for caller in before[day]}
        assert len(callers) <= 2 * MOST + len(places)
    gone = {(day, one) for day in before for one in before[day] if one not in after[day]}
    assert manifest_of(tmp_path / "few").counts["callers_in_others"] >= len(gone) > 60


def test_others_keep_their_role_and_application(new_warehouse: Any, tmp_path: Path) -> None:
    write_runs(tmp_path / "logs")
    roll_up([tmp_path / "logs"], tmp_path / "rollup", most_callers=MOST)
    with new_warehouse() as db:
        load_it(db, tmp_path / "rollup")
        by_user = dict(rows(db, "select user_name, sum(calls) from usage_cost group by 1"))
        by_application = (
            "select application, sum(calls), sum(input_tokens) from usage_cost group by 1"
        )
        of = {name: figures for name, *figures in rows(db, by_application)}
    assert (by_user["ann"], by_user["ben"]) == (5, 4)
    # The runs of a role are too many, and stay the role's; the roles are too many as well.
    assert of["ci"] == [RUNS, 10 * RUNS]
    assert of["(others)"][0] >= RUNS - 2 * MOST
    assert by_user["(others)"] >= of["(others)"][0] + RUNS - MOST
    assert len(by_user) <= MOST + 1
