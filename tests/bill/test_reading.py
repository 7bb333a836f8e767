"""Exports are read by their manifests alone, and a month is replaced as a whole or not at all."""

from __future__ import annotations

import gzip
import itertools
import json
import shutil
import zipfile
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database

from etl.load.run import LoadResult
from etl.sources import bill_files
from etl.sources.stores import LocalStore, StoredFile
from etl.warehouse.write import bills
from tests.bill.exports import (
    ACCOUNT,
    FORMATS,
    HAIKU,
    MODELS,
    NOVA,
    OTHER_ACCOUNT,
    PAYER,
    SONNET,
    STYLES,
    Line,
    set_time,
    usage,
    write_export,
)
from tests.rounds import crossed
from tests.support import load, rows

CHAT = f"arn:aws:sts::{ACCOUNT}:assumed-role/chat-BedrockRole/i-0123456789abcdef0"
DAY = "2026-10-03"

EC2 = Line(
    DAY, "USE1-BoxUsage", Decimal(1), Decimal(5), "Hrs", code="AmazonEC2", family="Compute",
    description="An instance named bedrock", product=(("product_name", "EC2"), ("servicename", "")),
)  # fmt: skip


def history() -> list[Line]:
    """Return one line for each model and kind of token, some by the hour, among others."""
    used = [
        usage(model, kind, 1_000_000 * number, DAY, principal=CHAT, hour=None if number % 2 else 7)
        for model in MODELS
        for number, kind in enumerate(model.names, 1)
    ]
    return [*itertools.chain.from_iterable((line, EC2) for line in used)]


def of_models() -> dict[tuple[str, str], int]:
    return {
        (model.model_id, kind): 1_000_000 * number
        for model in MODELS
        for number, kind in enumerate(model.names, 1)
    }


def billed(db: Database) -> dict[tuple[str, str], int]:
    found = rows(db, "select model_id, token_kind, billed_tokens from billed_usage")
    return {(model, kind): tokens for model, kind, tokens in found}


def content(db: Database) -> tuple[Any, ...]:
    """Return the bill without its keys."""
    return (
        Counter(rows(db, "select * from billed_usage")),
        rows(db, "select month, version, run from bill_months order by 1"),
    )


def load_export(db: Database, folder: Path) -> LoadResult:
    return load(db, folder, reread=False)


STYLES_AND_FORMATS = crossed(STYLES, [*FORMATS, FORMATS[0]])


@pytest.mark.parametrize(("style", "form"), STYLES_AND_FORMATS)
def test_every_style_and_format_says_the_same(
    db: Database, tmp_path: Path, style: str, form: str
) -> None:
    write_export(tmp_path, history(), style=style, form=form, parts=2, row_group=3)
    result = load_export(db, tmp_path)
    assert result.is_complete
    assert billed(db) == of_models()
    cost = sum(line.cost for line in history() if line is not EC2)
    assert rows(db, "select sum(billed_cost_usd) from billed_costs_by_model") == [(float(cost),)]
    callers = {("chat-BedrockRole", "chat")} if style == "cur2" else {("(unknown)", "Unknown")}
    assert set(rows(db, "select user_name, application from billed_usage")) == callers
    form_name = {"cur2": "CUR 2.0", "legacy": "legacy CUR"}.get(style, style.replace("f", "F", 1))
    assert rows(db, "select lower(form) from bill_status") == [
        (form_name.lower().replace("focus1", "focus 1"),)
    ]


def test_the_same_export_twice_changes_nothing(db: Database, tmp_path: Path) -> None:
    write_export(tmp_path, history())
    load_export(db, tmp_path)
    before = content(db)
    assert load_export(db, tmp_path).written.bills.months == 0
    again = load(db, tmp_path, reread=True)
    assert (again.written.bills.months, again.written.bills.months_unchanged) == (0, 1)
    assert content(db) == before


def test_a_re_export_replaces_its_month_and_no_other(db: Database, tmp_path: Path) -> None:
    september = [usage(NOVA, "input", 5_000, "2026-09-30")]
    first = [usage(NOVA, "input", 1_000 * day, f"2026-10-{day:02d}") for day in range(1, 6)]
    write_export(tmp_path, september, month="2026-09")
    write_export(tmp_path, first, parts=2)
    load_export(db, tmp_path)
    second = [
        usage(NOVA, "input", 9_000 * day, f"2026-10-{day:02d}") if day in (2, 4) else line
        for day, line in enumerate(first, 1)
    ]
    write_export(tmp_path, second, run="run-2")
    written = load_export(db, tmp_path).written.bills
    assert (written.months, written.lines) == (1, 5)
    found = rows(db, "select day, billed_tokens from billed_usage order by day")
    assert found == [
        ("2026-09-30", 5_000), ("2026-10-01", 1_000), ("2026-10-02", 18_000),
        ("2026-10-03", 3_000), ("2026-10-04", 36_000), ("2026-10-05", 5_000),
    ]  # fmt: skip
    assert rows(db, "select month, version, run from bill_status order by 1") == [
        ("2026-09", 1, "run-1"), ("2026-10", 2, "run-2"),
    ]  # fmt: skip


def test_only_the_files_that_the_manifest_names_are_read(db: Database, tmp_path: Path) -> None:
    manifest = write_export(tmp_path, history(), form="csv.gz", parts=2)
    data = tmp_path / "exports/bedrock/data/BILLING_PERIOD=2026-10"
    shutil.copy(data / "bedrock-00001.csv.gz", data / "bedrock-00003.csv.gz")
    (data / "bedrock-00004.csv.gz").write_bytes(b"of a run that is not finished")
    assert load_export(db, tmp_path).is_complete
    assert billed(db) == of_models()
    assert load(db, manifest).written.bills.months_unchanged == 1


def test_a_legacy_report_may_be_zipped(db: Database, tmp_path: Path) -> None:
    manifest = write_export(tmp_path, history(), style="legacy", form="csv.gz")
    (file,) = tmp_path.rglob("*.csv.gz")
    with zipfile.ZipFile(file.with_suffix(".zip"), "w") as archive:
        archive.writestr("bedrock-1.csv", gzip.decompress(file.read_bytes()))
    manifest.write_text(manifest.read_text().replace(".csv.gz", ".csv.zip"))
    assert load_export(db, tmp_path).is_complete
    assert billed(db) == of_models()


def test_a_folder_may_hold_several_exports_of_one_bill(db: Database, tmp_path: Path) -> None:
    for style in STYLES:
        write_export(tmp_path, history(), style=style, name=f"all-{style}")
    other = [usage(NOVA, "input", 7_000, DAY, account=OTHER_ACCOUNT)]
    write_export(tmp_path, other, name="member")
    assert load_export(db, tmp_path).written.bills.months == 5
    assert billed(db) | {(NOVA.model_id, "input"): 1_000_000} == of_models()
    found = rows(
        db, "select account_id, sum(billed_tokens), max(user_name) from billed_usage group by 1"
    )
    assert found == [
        (ACCOUNT, sum(of_models().values()), "chat-BedrockRole"),
        (OTHER_ACCOUNT, 7_000, "(unknown)"),
    ]
    used = rows(db, "select form from bill_status where is_used order by 1")
    assert used == [("CUR 2.0",), ("CUR 2.0",)]


RUNS = {
    # Each has the run's name, whether that is a folder, and when AWS wrote it.
    "a folder each": [
        ("2026-10-04T01:01:00.000Z-a", True, None), ("2026-10-05T01:01:00.000Z-b", True, None),
    ],
    "first one file, then folders": [
        ("a", False, "2026-10-04T02:00:00Z"), ("20261005T0101Z-b", True, None),
    ],
    "first folders, then one file": [
        ("20261004T0101Z-a", True, None), ("b", False, "2026-10-05T02:00:00Z"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("runs", RUNS.values(), ids=RUNS.keys())
def test_the_newest_of_several_runs_counts(db: Database, tmp_path: Path, runs: Any) -> None:
    for number, (run, has_folder, written_at) in enumerate(runs, 1):
        line = usage(NOVA, "input", 1_000 * number, DAY)
        write_export(
            *(tmp_path, [line]), form="csv.gz", run=run, has_run_folder=has_folder,
            written_at=written_at,
        )  # fmt: skip
    for _ in range(2):
        load_export(db, tmp_path)
        assert billed(db) == {(NOVA.model_id, "input"): 2_000}


def test_an_older_copy_is_left_out_unless_it_is_wanted(db: Database, tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    times = ("2026-10-04T02:00:00Z", "2026-10-05T02:00:00Z")
    for number, (folder, time) in enumerate(zip((old, new), times, strict=True), 1):
        line = usage(NOVA, "input", 1_000 * number, DAY)
        write_export(folder, [line], form="csv.gz", written_at=time)
    load_export(db, new)
    left_out = load_export(db, old).written.bills
    assert [one[1:] for one in left_out.older] == [("2026-10", *times)]
    assert billed(db) == {(NOVA.model_id, "input"): 2_000}
    load(db, old, reread=True)
    assert billed(db) == {(NOVA.model_id, "input"): 1_000}
    # What takes its place must be newer than that, not than what it replaced.
    load(db, new, reread=True)
    assert billed(db) == {(NOVA.model_id, "input"): 2_000}


def missing(data: Path, manifest: Path) -> None:
    min(data.iterdir()).unlink()


def cut(data: Path, manifest: Path) -> None:
    file = max(data.iterdir())
    file.write_bytes(file.read_bytes()[:-20])


def cut_manifest(data: Path, manifest: Path) -> None:
    manifest.write_bytes(manifest.read_bytes()[:-20])


def without_a_needed_column(data: Path, manifest: Path) -> None:
    text = json.loads(manifest.read_text())
    text["columns"] = [one for one in text["columns"] if "usage_type" not in one["name"]]
    manifest.write_text(json.dumps(text))


def of_other_columns(data: Path, manifest: Path) -> None:
    """Leave a file of the run before, which had a column less."""
    write_export(
        data.parents[4] / "other", history()[:1], form="csv.gz", columns=["line_item_usage_type"]
    )
    before = data.parents[4] / "other/exports/bedrock/data/BILLING_PERIOD=2026-10"
    for file in data.iterdir():
        file.unlink()
        file.write_bytes((before / "bedrock-00001.csv.gz").read_bytes())


def no_number(data: Path, manifest: Path) -> None:
    for file in data.glob("*.csv.gz"):
        text = gzip.decompress(file.read_bytes()).decode().replace(",USD,", ",USD,many")
        file.write_bytes(gzip.compress(text.encode()))


DEFECTS = [
    (missing, "which is not there"),
    (cut, "damaged or"),
    (cut_manifest, "it may be cut short"),
    (without_a_needed_column, "lacks the columns line_item_usage_type"),
    (of_other_columns, "which the manifest names"),
    (no_number, "no number"),
]


# Those that are written as text are of a CSV.
@pytest.mark.parametrize(
    ("case", "form"), crossed(DEFECTS[:4], FORMATS) + [(case, "csv.gz") for case in DEFECTS[4:]]
)
def test_a_defect_is_reported_and_the_month_stays(
    db: Database, tmp_path: Path, case: Any, form: str
) -> None:
    defect, says = case
    folder = tmp_path / "bucket"
    write_export(folder, history(), form=form, parts=2)
    load_export(db, folder)
    before = content(db)
    doubled = [line._replace(cost=line.cost * 2) for line in history()]
    manifest = write_export(folder, doubled, form=form, parts=2, run="run-2")
    defect(folder / "exports/bedrock/data/BILLING_PERIOD=2026-10", manifest)
    result = load_export(db, folder)
    assert not result.is_complete
    assert content(db) == before
    ((file, reason),) = rows(db, "select file, reason from rejects")
    assert says in reason
    assert file == str(manifest.resolve())
    # Until it is whole, every load says so; then nothing is left of it.
    assert not load_export(db, folder).is_complete
    write_export(folder, doubled, form=form, parts=2, run="run-2")
    assert load_export(db, folder).is_complete
    assert not rows(db, "select * from rejects")
    assert content(db)[1] == [("2026-10", 2, "run-2")]


def test_data_long_after_its_manifest_is_of_an_unfinished_run(db: Database, tmp_path: Path) -> None:
    month = {"form": "csv.gz", "written_at": "2026-10-04T02:00:00Z"}
    manifest = write_export(tmp_path, history(), **month)
    (file,) = tmp_path.rglob("*.csv.gz")
    # A copy may have been made in any order.
    set_time(file, "2026-10-04T02:59:00Z")
    assert load_export(db, tmp_path).is_complete
    before = content(db)
    doubled = [line._replace(cost=line.cost * 2) for line in history()]
    write_export(tmp_path, doubled, form="csv.gz", run="run-2")
    manifest.write_text(manifest.read_text().replace("run-2", "run-1 "))
    set_time(manifest, "2026-10-04T02:00:01Z")
    set_time(file, "2026-10-04T10:00:00Z")
    assert not load_export(db, tmp_path).is_complete
    ((reason,),) = rows(db, "select reason from rejects")
    assert "AWS is replacing the export" in reason
    assert content(db) == before
    set_time(manifest, "2026-10-04T10:01:00Z")
    assert load_export(db, tmp_path).is_complete
    assert content(db) != before


def test_data_without_a_manifest_is_an_unfinished_export(db: Database, tmp_path: Path) -> None:
    write_export(tmp_path, history(), form="csv.gz").unlink()
    assert not load_export(db, tmp_path).is_complete
    ((reason,),) = rows(db, "select reason from rejects")
    assert "without its manifest" in reason
    assert not rows(db, "select * from bill_months")
    write_export(tmp_path, history(), form="csv.gz")
    assert load_export(db, tmp_path).is_complete
    assert not rows(db, "select * from rejects")


def test_a_column_that_an_export_loses_is_reported(db: Database, tmp_path: Path) -> None:
    write_export(tmp_path, history())
    load_export(db, tmp_path)
    names = json.loads(write_export(tmp_path / "x", history()).read_text())["columns"]
    kept = [one["name"] for one in names if one["name"] != "line_item_iam_principal"]
    write_export(tmp_path, history(), run="run-2", columns=kept)
    shutil.rmtree(tmp_path / "x")
    written = load_export(db, tmp_path).written.bills
    assert [change[2:] for change in written.columns] == [(["line_item_iam_principal"], [])]
    assert rows(db, "select columns_lost, columns_new from bill_status") == [
        ('["line_item_iam_principal"]', "[]")
    ]


def test_a_failure_while_a_month_is_replaced_leaves_the_old_one(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_export(tmp_path, history())
    load_export(db, tmp_path)
    before = content(db)
    write_export(tmp_path, [usage(SONNET, "input", 1, DAY)], run="run-2")

    def fails(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(bills, "_insert_lines", fails)
        with pytest.raises(MemoryError):
            load_export(db, tmp_path)
    assert content(db) == before
    load_export(db, tmp_path)
    assert billed(db) == {(SONNET.model_id, "input"): 1}


@pytest.mark.parametrize("block", [1 << 20, 64])
def test_a_field_with_a_line_break_and_quotes_is_read(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(bill_files, "_BLOCK_BYTES", block)
    odd = 'a "quoted"\nBedrock line\nof three'
    lines = [
        usage(NOVA, "input", 1_000, DAY),
        EC2._replace(description=odd),
        usage(HAIKU, "input", 3_000, DAY, description=odd),
        usage(NOVA, "output", 2_000, DAY),
    ]
    write_export(tmp_path, lines, form="csv.gz")
    assert load_export(db, tmp_path).is_complete
    assert billed(db) == {
        (NOVA.model_id, "input"): 1_000,
        (HAIKU.model_id, "input"): 3_000,
        (NOVA.model_id, "output"): 2_000,
    }


def test_payers_and_currencies_stand_apart(db: Database, tmp_path: Path) -> None:
    second = "222211110000"
    write_export(
        tmp_path,
        [
            usage(NOVA, "input", 1_000_000, DAY),
            usage(NOVA, "input", 2_000_000, DAY, payer=second),
            usage(NOVA, "input", 4_000_000, DAY, currency="EUR"),
        ],
    )
    load_export(db, tmp_path)
    found = rows(
        db,
        "select payer_account_id, currency, billed_tokens, billed_cost_usd, billed_cost"
        " from billed_usage order by 3",
    )
    assert found == [
        (PAYER, "USD", 1_000_000, 0.8, 0.8),
        (second, "USD", 2_000_000, 1.6, 1.6),
        (PAYER, "EUR", 4_000_000, None, 3.2),
    ]
    assert rows(db, "select currency, billed_cost_usd from billed_costs_by_model order by 1") == [
        ("EUR", None), ("USD", 2.4),
    ]  # fmt: skip


class _Replacing(LocalStore):
    """A folder in which AWS replaces files once the first data file is read."""

    def __init__(self, files: str) -> None:
        self._files = files

    def find(self, path: str) -> StoredFile | str:
        found = super().find(path)
        if "/data/" in path:
            for file in Path(path.partition("/data/")[0]).rglob(self._files):
                set_time(file, "2026-10-31T00:00:00Z")
        return found


@pytest.mark.parametrize("files", ["*Manifest.json", "*.csv.gz"])
def test_an_export_that_is_replaced_while_it_is_read_is_not_used(
    db: Database, tmp_path: Path, files: str
) -> None:
    write_export(tmp_path, history(), form="csv.gz")
    load(db, tmp_path, reread=False, store_of=lambda path: _Replacing(files))
    ((reason,),) = rows(db, "select reason from rejects")
    assert "replaced the export while it was read" in reason
    assert not rows(db, "select * from bill_months")


def test_an_export_that_took_the_place_of_one_that_ended_is_used(
    db: Database, tmp_path: Path
) -> None:
    days = ("2026-10-03", "2026-10-04", "2026-10-05")
    for name, having in (("first", days[:2]), ("second", days)):
        lines = [usage(NOVA, "input", 1_000, day) for day in having]
        write_export(tmp_path, lines, form="csv.gz", name=name)
        load_export(db, tmp_path)
    assert rows(db, "select day, billed_tokens from billed_usage") == [(day, 1_000) for day in days]
