"""What is exported is what the warehouse has: to the pico-dollar, in every format, every time."""

from __future__ import annotations

import stat
import sys
import tracemalloc
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlite_utils import Database

from etl.clock import Clock
from etl.export import formats
from etl.export.table import Table, column_of, decimal_text
from etl.export.teams import RULES, UNALLOCATED
from etl.normalise.parts import whole_parts
from etl.warehouse.database import open_warehouse
from etl.warehouse.turns import path_of
from tests.cli.running import run
from tests.export.exports import FORMATS, export, manifest, manifest_path, read, total, usd
from tests.export.months import HOUR, MODELS, MOMENTS, NOVA, TEAMS, UNPRICED, Used, fill
from tests.rounds import rounds
from tests.support import HAIKU, call, load, rows, write_log

COUNT = st.sampled_from([0, 1, 7, 12_345, 10**9])
USED = st.builds(
    Used,
    st.sampled_from(MOMENTS),
    st.sampled_from(["alice", "bob", "carol"]),
    st.sampled_from([*TEAMS, "elsewhere"]),
    st.sampled_from(MODELS),
    st.one_of(st.none(), st.tuples(COUNT, COUNT)),
    st.sampled_from([False, False, True]),
)
METRIC = st.tuples(st.sampled_from(MODELS), COUNT)
MONTHS = ("2026-09", "2026-10", "2026-11")

COUNTS = (
    "calls", "failed_calls", "input_tokens", "output_tokens", "unpriced_calls", "unpriced_tokens",
    "calls_without_tokens",
)  # fmt: skip
COSTS = ("cost", "list_cost")


def of_month(db: Database, view: str, month: str, by: str) -> dict[Any, tuple[Any, ...]]:
    """Return the sums of a view in a month: counts, then costs in whole pico-dollars."""
    columns = [*COUNTS, *(f"{cost}_picodollars" for cost in COSTS)]
    sums = ", ".join(f"coalesce(sum({column}), 0)" for column in columns)
    found = rows(
        db, f"select {by}, {sums} from {view} where substr(day, 1, 7) = ? group by 1", [month]
    )
    return {key: sums for key, *sums in found}  # type: ignore[misc]


def of_file(exported: list[dict[str, Any]], by: str) -> dict[Any, list[Any]]:
    """Return the same sums of an export."""
    groups: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for row in exported:
        groups[row[by]].append(row)
    columns = [*COUNTS, *(f"{cost}_usd" for cost in COSTS)]
    return {
        key: [
            int(total(some, column).scaleb(12 if column.endswith("_usd") else 0))
            for column in columns
        ]
        for key, some in groups.items()
    }


@settings(max_examples=rounds(3, 60))
@given(
    calls=st.lists(USED, min_size=3, max_size=14),
    metrics=st.lists(METRIC, max_size=3, unique_by=lambda one: one[0]),
    rule=st.sampled_from(RULES),
)
def test_sums_are_those_of_the_views(
    new_warehouse: Callable[[], AbstractContextManager[Database]],
    tmp_path_factory: pytest.TempPathFactory,
    calls: list[Used],
    metrics: list[tuple[str, int]],
    rule: str,
) -> None:
    folder = tmp_path_factory.mktemp("exported")
    calls = [*calls, *(Used(moment, "dave", "chat", HAIKU, (3, 1)) for moment in MOMENTS)]
    with new_warehouse() as db:
        fill(db, folder, calls, metrics)
        for month in MONTHS:
            used = read(export(path_of(db), "usage", month, folder / month))
            assert of_file(used, "day") == of_month(db, "usage_cost_daily", month, "day")
            assert of_file(used, "user_name") == of_month(
                db, "usage_cost_daily", month, "user_name"
            )
            grain = ("day", "account_id", "region", "model_id", "user_name", "application", "team", "data_source")  # fmt: skip
            keys = [tuple(row[name] for name in grain) for row in used]
            assert keys == sorted(set(keys))
            file = export(path_of(db), "teams", month, folder / month, "--unallocated", rule)
            charged = read(file)
            assert of_file(charged, "team") == of_month(db, "daily_costs_by_team", month, "team")
            check_charges(charged, rule)
            for column in ("calls", "cost_usd"):
                assert Decimal(manifest(file)["totals"][column] or 0) == total(used, column)


def check_charges(charged: list[dict[str, Any]], rule: str) -> None:
    cost = total(charged, "cost_usd")
    assert total(charged, "charge_usd") == cost
    assert total(charged, "share_of_month") == (1 if cost else 0)
    teams = {row["team"] for row in charged}
    named = teams - {*UNALLOCATED}
    got: dict[str, list[Decimal]] = {}
    for team, column in UNALLOCATED.items():
        assert total(charged, column) == 0
        given_ = total([row for row in charged if row["team"] == team], "cost_usd")
        is_spread = rule != "leave" and bool(named)
        own = total([row for row in charged if row["team"] == team], column)
        assert own == (-given_ if is_spread else 0)
        got[team] = [total([r for r in charged if r["team"] == name], column) for name in named]
        if is_spread:
            assert sum(got[team]) == given_
    if rule == "evenly":
        for parts in got.values():
            assert not parts or max(parts) - min(parts) <= usd(1)
    for row in charged:
        parts = [row[column] for column in UNALLOCATED.values()]
        if row["cost_usd"] is None and not any(parts):
            assert row["charge_usd"] is None
        else:
            assert row["charge_usd"] == (row["cost_usd"] or 0) + sum(parts)
        assert (row["user_name"] is None) is row["is_shared"]


@pytest.mark.parametrize(
    ("rule", "charges"),
    [
        ("leave", {"Blue": (300, 0), "Red": (100, 0), "(no team)": (90, 0)}),
        ("by-cost", {"Blue": (300, 67), "Red": (100, 22), "(no team)": (90, -90)}),
        ("evenly", {"Blue": (300, 45), "Red": (100, 45), "(no team)": (90, -90)}),
    ],
)
def test_cost_of_no_team_is_spread_by_a_rule(
    db: Database, tmp_path: Path, rule: str, charges: dict[str, tuple[int, int]]
) -> None:
    """In micro-dollars; Red's is of two users, who share it by their costs."""
    used = [
        Used(HOUR, "alice", "search", NOVA, (375, 0)),
        Used(HOUR, "bob", "chat", NOVA, (100, 0)),
        Used(HOUR, "carol", "mail", NOVA, (25, 0)),
        *(Used(HOUR, "dave", "elsewhere", model, (112, 0)) for model in (NOVA, UNPRICED)),
        Used(HOUR, "dave", "elsewhere", HAIKU, (1, 0)),
    ]
    fill(db, tmp_path, used)
    charged = read(export(path_of(db), "teams", "2026-10", tmp_path / "out", "--unallocated", rule))
    found = {
        team: tuple(
            round(total([row for row in charged if row["team"] == team], column) * 10**6)
            for column in ("cost_usd", "no_team_part_usd")
        )
        for team in charges
    }
    assert found == charges
    check_charges(charged, rule)
    bob, carol = (row["no_team_part_usd"] for row in charged if row["team"] == "Red")
    assert abs(bob - 4 * carol) <= usd(4)
    # Of the same day and user, one model has a price and one has none.
    (dave,) = [row for row in charged if row["user_name"] == "dave"]
    assert dave["is_lower_bound"] is True


@given(
    st.integers(-(10**20), 10**20),
    st.lists(st.integers(0, 10**12), min_size=1, max_size=9).filter(any),
)
def test_parts_are_whole_fair_and_add_up(number: int, weights: list[int]) -> None:
    parts = whole_parts(number, weights)
    assert sum(parts) == number
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part * sum(weights) - number * weight) < sum(weights)
        assert weight or not part


def test_a_number_that_nothing_can_take_is_refused() -> None:
    with pytest.raises(ValueError, match="no weight"):
        whole_parts(1, [0, 0])


@given(st.integers(-(10**25), 10**25))
def test_decimal_text_is_exact(value: int) -> None:
    text = decimal_text(value)
    assert Decimal(text) == usd(value) if abs(value) < 10**28 else True
    assert not text.endswith((".", "-0")) and "E" not in text
    assert "." not in text or not text.endswith("0")


@pytest.fixture
def months(db: Database, tmp_path: Path) -> Path:
    """A warehouse with usage in three months, some of it unpriced, estimated or of no team."""
    used = [
        Used(moment, user, application, model, tokens)
        for moment in MOMENTS
        for user, application, model, tokens in (
            ("alice", "chat", HAIKU, (1000, 100)),
            ("bob", "gateway", NOVA, (12_345, 67)),
            ("carol", "elsewhere", UNPRICED, (5, 5)),
            ("carol", "search", HAIKU, None),
        )
    ]
    fill(db, tmp_path, used, [(HAIKU, 54_321)])
    return path_of(db)


KINDS = ("usage", "teams", "prices")


@pytest.mark.parametrize("kind", KINDS)
def test_formats_say_the_same_and_the_same_again(
    kind: str, months: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {
        format_: export(months, kind, "2026-10", tmp_path / "a", "--format", format_)
        for format_ in FORMATS
    }
    assert read(files["csv"]) == read(files["json"]) == read(files["parquet"]) != []
    later = Clock().now().replace(year=2031)
    monkeypatch.setattr(Clock, "now", lambda _: later)
    for format_, file in files.items():
        again = export(months, kind, "2026-10", tmp_path / "b", "--format", format_)
        assert again.read_bytes() == file.read_bytes()
        (one, other) = manifest(file), manifest(again)
        assert (
            one.pop("made_at")
            != other.pop("made_at")
            == "2031" + later.strftime("-%m-%dT%H:%M:%SZ")
        )
        assert one == other
        assert one["rows"] == len(read(file))
        # Over the earlier file it is written without a question.
        export(months, kind, "2026-10", tmp_path / "a", "--format", format_)
        if format_ != "parquet":
            status, out, _ = run(
                "export", kind, "--month", "2026-10", "--format", format_, "--db", months
            )
            assert (status, out.encode()) == (0, file.read_bytes())


def test_a_month_is_its_days_in_utc(months: Path, tmp_path: Path) -> None:
    found = {
        month: {row["day"] for row in read(export(months, "usage", month, tmp_path / "out"))}
        for month in MONTHS
    }
    assert found == {
        "2026-09": {"2026-09-30"},
        "2026-10": {"2026-10-01", "2026-10-15", "2026-10-31"},
        "2026-11": {"2026-11-01"},
    }
    about = manifest(tmp_path / "out/usage-2026-10.csv")
    assert (about["days_with_usage"], len(about["days_without_usage"])) == (3, 28)
    assert about["is_month_over"] is True


def test_a_leap_day_is_in_its_month(db: Database, tmp_path: Path) -> None:
    moments = ("2028-02-28T12:00:00Z", "2028-02-29T23:59:59Z", "2028-03-01T00:00:00Z")
    events = [call(n, tokens=(1, 1), eventTime=moment) for n, moment in enumerate(moments)]
    load(db, write_log(tmp_path / "log.json", events))
    file = export(path_of(db), "usage", "2028-02", tmp_path / "out")
    assert {row["day"] for row in read(file)} == {"2028-02-28", "2028-02-29"}
    assert manifest(file)["is_month_over"] is False


def test_without_a_month_it_is_the_last_one_that_is_over(
    months: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for today, days in (("2026-11-01", "2026-10"), ("2026-12-31", "2026-11")):
        now = Clock().now().replace(year=2026, month=int(today[5:7]), day=int(today[8:]))
        monkeypatch.setattr(Clock, "now", lambda _, now=now: now)
        status, out, err = run("export", "usage", "--db", months)
        assert status == 0
        assert {line[:7] for line in out.splitlines()[1:]} == {days}
        assert err.startswith(f"usage-{days}.csv: ")
        assert f"{days} is not over" not in err


def test_unknown_is_not_zero(months: Path, tmp_path: Path) -> None:
    used = read(export(months, "usage", "2026-10", tmp_path / "out"))
    unpriced = [row for row in used if row["model_id"] == UNPRICED]
    assert unpriced
    for row in unpriced:
        assert (row["cost_usd"], row["list_cost_usd"], row["cache_read_tokens"]) == (None,) * 3
        assert (row["unpriced_tokens"], row["is_lower_bound"]) == (10, True)
    assert {row["is_lower_bound"] for row in used if row["model_id"] == NOVA} == {False}
    unknown = [row for row in used if row["data_source"] == "No token data"]
    assert unknown and {row["input_tokens"] for row in unknown} == {None}
    assert manifest(tmp_path / "out/usage-2026-10.csv")["is_lower_bound"] is True
    charged = read(export(months, "teams", "2026-10", tmp_path / "out"))
    # An upper end that is not known adds up to none that is.
    totals = manifest(tmp_path / "out/teams-2026-10.csv")["totals"]
    assert None in {row["cost_high_usd"] for row in charged}
    assert totals["cost_high_usd"] is None and totals["cost_low_usd"] is not None
    of_no_team = [row for row in charged if row["team"] == "(no team)"]
    assert {(row["cost_usd"], row["charge_usd"]) for row in of_no_team} == {(None, None)}
    assert {row["is_charge_lower_bound"] for row in charged if row["team"] == "Red"} == {False}
    spread = read(export(months, "teams", "2026-10", tmp_path / "b", "--unallocated", "evenly"))
    # What is not known of the cost of no team is missing from everyone's charge.
    assert {row["is_charge_lower_bound"] for row in spread if row["team"] == "Red"} == {True}


def test_an_estimate_is_marked(months: Path, tmp_path: Path) -> None:
    charged = read(export(months, "teams", "2026-10", tmp_path / "out"))
    marks = {(row["team"], row["application"]): row["is_estimated"] for row in charged}
    assert marks[("Blue", "search")] is True
    assert marks[("Red", "chat")] is False
    for row in charged:
        if row["cost_usd"] is not None:
            assert row["cost_low_usd"] <= row["cost_usd"]


def test_shared_applications_are_split_as_team_costs_does(months: Path, tmp_path: Path) -> None:
    charged = read(export(months, "teams", "2026-10", tmp_path / "out"))
    parts = [row for row in charged if row["application"] == "gateway"]
    assert [row["team"] for row in parts] == ["Blue", "Green", "Red"]
    assert {(row["is_shared"], row["user_name"]) for row in parts} == {(True, None)}
    with open_warehouse(months) as db:
        ((cost,),) = rows(db, "select sum(cost_picodollars) from usage_cost_daily where application = 'gateway' and day like '2026-10%'")  # fmt: skip
    assert total(parts, "cost_usd") == usd(cost)


NASTY = ["=cmd|' /C calc'!A0", "a,b", 'say "hi"', "line\nend", "ta\tb", "ü\u202e", "-1", " "]


def test_names_arrive_as_they_are(db: Database, tmp_path: Path) -> None:
    """Files are for programs: an apostrophe would become part of a name."""
    events = [call(n, user=name, tokens=(1, 1)) for n, name in enumerate(NASTY, 1)]
    load(db, write_log(tmp_path / "log.json", events))
    wanted = {name for (name,) in rows(db, "select distinct user_name from calls")}
    assert NASTY[0] in wanted
    for format_ in FORMATS:
        file = export(path_of(db), "usage", "2026-11", tmp_path / "out", "--format", format_)
        assert {row["user_name"] for row in read(file)} == wanted
    assert b"\r" not in (tmp_path / "out/usage-2026-11.csv").read_bytes()


def test_prices_are_imported_again_and_price_the_same(
    db: Database, tmp_path: Path, new_warehouse: Callable[[], AbstractContextManager[Database]]
) -> None:
    rates = tmp_path / "rates.csv"
    head = "model_id,region,scope,service_tier,token_kind,min_input_tokens,usd_per_mtok,effective_from,effective_to,source,checked_on,rate_class\n"
    use = f"{HAIKU},us-east-1,regional,standard"
    rates.write_text(
        f"{head}{use},input,0,100000,2026-10-10,2026-10-20,ours,2026-10-01,negotiated\n"
        f"{use},input,0,300000,2026-10-15,,a correction,2026-10-01,list\n"
        f"{HAIKU},*,regional,standard,output,0,900000,2026-10-15,2026-10-16,a day,2026-10-01,list\n"
    )
    assert run("prices", "import", rates, "--db", path_of(db))[0] == 0
    used = [Used(moment, "alice", "chat", HAIKU, (1001, 101)) for moment in MOMENTS]
    fill(db, tmp_path, used, is_shared=False)
    file = export(path_of(db), "prices", "2026-10", tmp_path / "out")
    costs = "select day, sum(cost_picodollars), sum(list_cost_picodollars) from usage_cost_daily group by 1"
    before = rows(db, costs)
    assert len({cost for _, cost, _ in before}) > 2
    for found in (read(file), read(export(path_of(db), "prices", "2026-09", tmp_path / "out"))):
        assert len(found) > 3000
    mine = [row for row in read(file) if row["source"] in ("ours", "a correction", "a day")]
    assert len(mine) == 3
    with new_warehouse() as other:
        fill(other, tmp_path, used, is_shared=False)
        status, _, err = run("prices", "import", file, "--force-new", "--db", path_of(other))
        assert (status, err.split(" ", 1)[1]) == (0, "rates imported\n")
        of_month = [row for row in before if row[0].startswith("2026-10")]
        assert [row for row in rows(other, costs) if row[0].startswith("2026-10")] == of_month


def test_files_are_for_their_owner_and_leave_no_others(months: Path, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    words = ("--month", "2026-10", "--month", "2026-09", "--output", folder, "--db", months)
    assert run("export", "usage", *words)[0] == 0
    names = {file.name for file in folder.iterdir()}
    files = {f"usage-2026-{n}.csv" for n in ("09", "10")}
    assert names == files | {f"{name}.manifest.json" for name in files}
    modes = {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}
    assert (modes, stat.S_IMODE(folder.stat().st_mode)) == ({0o600}, 0o700)


def test_a_file_that_was_changed_is_kept(months: Path, tmp_path: Path) -> None:
    file = export(months, "teams", "2026-10", tmp_path / "out")
    file.write_text(file.read_text() + "a note of mine\n")
    kept = {path: path.read_bytes() for path in file.parent.iterdir()}
    words = ("export", "teams", "--month", "2026-09", "--month", "2026-10", "--output", file.parent)
    status, _, err = run(*words, "--db", months)
    assert status == 1
    assert f"{file}: not written" in err and "--force" in err
    # Nothing of the run was written, and no draft is left.
    assert {path: path.read_bytes() for path in file.parent.iterdir()} == kept
    assert run(*words, "--force", "--db", months)[0] == 0
    assert "a note of mine" not in file.read_text()
    assert run(*words, "--db", months)[0] == 0
    manifest_path(file).write_text("[]")
    assert run(*words, "--db", months)[0] == 0, "it is what would be written"
    file.unlink()
    file.mkdir()
    assert run(*words, "--db", months)[0] == 1


def test_new_usage_replaces_the_file(months: Path, tmp_path: Path) -> None:
    file = export(months, "usage", "2026-10", tmp_path / "out")
    before = file.read_bytes()
    with open_warehouse(months) as db:
        load(db, write_log(tmp_path / "more.json", [call(99, tokens=(5, 5), eventTime=HOUR)]))
    export(months, "usage", "2026-10", tmp_path / "out")
    assert file.read_bytes() != before


def test_what_cannot_be_exported_says_why(
    months: Path, db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*words: object) -> tuple[int, str]:
        status, out, err = run("export", *words, "--db", months)
        assert out == ""
        return status, err

    status, err = fails("usage", "--month", "2026-08")
    assert status == 1 and "no usage of 2026-08 is loaded: there is 2026-09-30 to 2026-11-01" in err
    status, err = fails("usage", "--month", "2026-10", "--month", "2026-11")
    assert status == 2 and "--output" in err
    assert fails("usage", "--month", "2026-13")[0] == 2
    (tmp_path / "file").touch()
    status, err = fails("usage", "--month", "2026-10", "--output", tmp_path / "file")
    assert status == 1 and "cannot be written" in err
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    status, err = fails("usage", "--month", "2026-10", "--format", "parquet", "--output", tmp_path / "p")  # fmt: skip
    assert status == 1 and 'pip install "bedrock-usage[parquet]"' in err
    assert list((tmp_path / "p").iterdir()) == []


def test_gaps_stand_in_the_manifest(months: Path, tmp_path: Path) -> None:
    with open_warehouse(months) as db:
        db.execute(
            "insert into sync_gaps values ('cloudtrail/a', '2026-09-20T00:00:00Z', '2026-10-02T11:59:59Z', 'AWS no longer has it')"
        )
        db.execute(
            "insert into sync_state (stream, source, account_id, region, covered_from, watermark) values ('cloudtrail/b', 'cloudtrail', '1', 'r', '2026-10-05T00:00:00Z', '2026-10-30T12:00:00Z')"
        )
    status, _, err = run(
        "export", "usage", "--month", "2026-10", "--output", tmp_path / "out", "--db", months
    )
    assert status == 0
    assert "2026-10 lacks a part of cloudtrail/a (AWS no longer has it)" in err
    gaps = [tuple(gap.values()) for gap in manifest(tmp_path / "out/usage-2026-10.csv")["gaps"]]
    assert gaps == [
        ("cloudtrail/a", "2026-10-01T00:00:00Z", "2026-10-02T11:59:59Z", "AWS no longer has it"),
        ("cloudtrail/b", "2026-10-01T00:00:00Z", "2026-10-05T00:00:00Z", "not read"),
        ("cloudtrail/b", "2026-10-30T12:00:00Z", "2026-10-31T23:59:59Z", "not read yet"),
    ]


def made_up(count: int) -> Table:
    columns = [column_of(name) for name in ("day", "user_name", "calls", "cost_usd", "is_shared")]

    def found() -> Iterator[tuple[Any, ...]]:
        for n in range(count):
            yield ("2026-10-01", f"user-{n}", n, n * 1_000_001, n % 2 == 0)

    return Table(columns, found())


class Nowhere:
    """A file that keeps nothing but its length."""

    closed = False

    def __init__(self) -> None:
        self.size = 0

    def write(self, data: Any) -> int:
        self.size += len(data)
        return len(data)

    def tell(self) -> int:
        return self.size

    def flush(self) -> None: ...

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False


@pytest.mark.parametrize("format_", FORMATS)
def test_memory_does_not_grow_with_the_rows(format_: str) -> None:
    def peak(count: int) -> int:
        file = Nowhere()
        tracemalloc.start()
        formats.WRITERS[format_](made_up(count), file)  # type: ignore[arg-type]
        _, used = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert file.size > count * 5
        return used

    few = peak(formats._GROUP_ROWS)
    assert peak(rounds(3, 50) * formats._GROUP_ROWS) < few + 2_000_000
