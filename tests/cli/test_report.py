"""``bedrock-usage report``: the output for a person, a program and a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from datetime import date
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from sqlite_utils import Database

from etl.normalise.discounts import Discount
from etl.normalise.model_names import short_name
from etl.show.report import KINDS, build_report, print_table
from etl.warehouse.database import open_warehouse
from etl.warehouse.price_file import PriceRow
from etl.warehouse.prices import store_overrides
from etl.warehouse.read.reports import Filters
from etl.warehouse.write.discounts import apply_discounts
from tests.cli.running import run
from tests.rounds import crossed, some
from tests.support import HAIKU, SONNET, call, load, role_identity, rows, write_log, write_metrics


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse that is only read: copy it to change it."""
    folder = tmp_path_factory.mktemp("report")
    path = folder / "w.db"
    chatbot = role_identity("ChatbotApp-BedrockRole")
    calls = [
        call(1, user="alice", tokens=(1_000_000, 0)),
        call(2, user="alice", tokens=(12_345, 678), awsRegion="us-west-2"),
        call(
            3,
            user="bob",
            tokens=(1_000_000, 0),
            requestParameters={"modelId": SONNET},
            eventTime="2026-11-03T09:00:00Z",
        ),
        call(4, userIdentity=chatbot),
        call(5, userIdentity=chatbot, errorCode="ThrottlingException"),
        call(6, user="carol", requestParameters={"modelId": "acme.unknown"}, tokens=(5, 5)),
    ]
    with open_warehouse(path, create=True) as db:
        load(db, write_log(folder / "log.json", calls),
             write_metrics(folder / "m.csv", [(HAIKU, "InputTokenCount", 3_000_000)]))  # fmt: skip
    return path


def report(warehouse: Path, *words: str) -> dict[str, Any]:
    status, out, _ = run("report", *words, "--format", "json", "--db", warehouse)
    assert status == 0
    return json.loads(out)


def test_the_default_table_is_what_a_person_wants(warehouse: Path) -> None:
    status, out, err = run("report", "users", "--db", warehouse)
    lines = [line.rstrip() for line in out.splitlines() if line.strip()]
    assert (status, err) == (0, "")
    assert lines[0] == "Cost by user, 2026-11-02 to 2026-11-03 UTC, everything loaded"
    assert lines[1].split() == [
        *["User", "Calls", "Failed", "Input", "Output", "Cost", "Share", "Token", "data"]
    ]
    assert [line.split()[0] for line in lines[3:7]] == [
        "bob",
        "ChatbotApp-BedrockRole",
        "alice",
        "carol",
    ]
    assert lines[3].split() == [
        "bob",
        "1",
        "0",
        "1.00M",
        "0",
        "$3.30",
        "81.4",
        "%",
        "measured",
    ]
    assert "unpriced" in lines[6]
    assert lines[7].split() == ["Total", "5", "1", "4.01M", "683", "≥", "$4.05", "100.0", "%"]
    assert lines[8] == "Events with token data: 4 / 5 (80.0 %)"
    assert lines[9].startswith("$0.50 of the cost is estimated")
    assert lines[10] == "Tokens: 50.2 % measured, 49.8 % by calls; 10 without a price."
    assert "1 call and 10 tokens without a price" in lines[11]
    ends = {
        line.index(cell) + len(cell)
        for line, cell in zip(lines[3:6], ("$3.30", "$0.50", "$0.25"), strict=True)
    }
    assert len(ends) == 1, "numbers are right-aligned"


@pytest.mark.parametrize(("width", "kind"), crossed([60, 80, 100, 120, 200], KINDS))
def test_no_number_is_ever_cut_off(warehouse: Path, kind: str, width: int) -> None:
    with open_warehouse(warehouse) as db:
        full = build_report(db, kind, Filters())
    out = io.StringIO()
    print_table(full, Console(file=out, width=width))
    assert "…" not in out.getvalue()
    if kind != "coverage":
        assert "≥ $4.05" in out.getvalue()


def test_a_narrow_terminal_says_what_it_leaves_out(warehouse: Path) -> None:
    with open_warehouse(warehouse) as db:
        full = build_report(db, "users", Filters())
    out = io.StringIO()
    print_table(full, Console(file=out, width=70))
    assert "Left out to fit 70 columns: Failed, Share." in out.getvalue()


def test_breakdown_shows_regions_and_models_under_each_name(warehouse: Path) -> None:
    status, out, _ = run("report", "users", "--breakdown", "--db", warehouse)
    lines = out.splitlines()
    at = next(n for n, line in enumerate(lines) if line.strip().startswith("alice"))
    assert status == 0
    assert lines[at + 1].split()[:2] == ["us-east-1", HAIKU]
    assert lines[at + 2].split()[:2] == ["us-west-2", HAIKU]
    by_name = {
        row["user_name"]: row["breakdown"]
        for row in report(warehouse, "users", "--breakdown")["rows"]
    }
    assert [(d["region"], d["calls"]) for d in by_name["alice"]] == [
        ("us-east-1", 1),
        ("us-west-2", 1),
    ]


@pytest.mark.parametrize(("kind", "format_"), crossed(KINDS, ["table", "json", "csv"]))
def test_every_kind_in_every_format(warehouse: Path, kind: str, format_: str) -> None:
    status, out, err = run("report", kind, "--format", format_, "--db", warehouse)
    assert (status, err) == (0, "")
    assert out


@pytest.mark.parametrize(
    ("kind", "view", "names"),
    [
        ("users", "user_costs", ("user_name",)),
        ("applications", "application_costs", ("application",)),
        ("models", "model_costs", ("model_id",)),
        ("regions", "region_costs", ("region",)),
        ("days", "daily_costs", ("day",)),
    ],
)
def test_reports_say_what_the_views_say(
    warehouse: Path, kind: str, view: str, names: tuple[str, ...]
) -> None:
    columns = [*names, "calls", "failed_calls", "input_tokens", "output_tokens", "cost_usd", "actual_cost_usd",
               "estimated_cost_usd", "unpriced_calls", "data_source"]  # fmt: skip
    found = {tuple(row[column] for column in columns) for row in report(warehouse, kind)["rows"]}
    with open_warehouse(warehouse) as db:
        assert found == set(rows(db, f"select {', '.join(columns)} from {view}"))


def test_csv_is_exact_and_has_a_header(warehouse: Path) -> None:
    _, out, _ = run("report", "applications", "--format", "csv", "--db", warehouse)
    parsed = list(csv.DictReader(io.StringIO(out)))
    chatbot = next(row for row in parsed if row["application"] == "ChatbotApp")
    assert chatbot["cost_usd"] == "0.496913" or float(chatbot["cost_usd"]) == pytest.approx(0.5)
    assert set(parsed[0]) >= {"application", "calls", "cost_usd", "data_source"}


def test_applications_have_unit_costs_for_programs(warehouse: Path) -> None:
    found = report(warehouse, "applications")
    rows = {row["application"]: row for row in found["rows"]}
    assert {name: row["users"] for name, row in rows.items()} == {"ChatbotApp": 1, "Unknown": 3}
    assert found["total"]["users"] == 4
    for row in (*rows.values(), found["total"]):
        assert row["usd_per_user"] == pytest.approx(row["cost_usd"] / row["users"])
        assert row["usd_per_call"] == pytest.approx(row["cost_usd"] / row["calls"])
    assert "users" not in report(warehouse, "users")["rows"][0]
    status, out, _ = run("report", "applications", "--format", "csv", "--db", warehouse)
    assert status == 0
    assert out.splitlines()[0].endswith("usd_per_call,usd_per_ktok,users,usd_per_user")


def test_coverage(warehouse: Path) -> None:
    data = report(warehouse, "coverage", "--model", HAIKU)
    assert [
        (row["day"], row["region"], row["calls"], row["calls_with_tokens"], row["coverage_pct"])
        for row in data["rows"]
    ] == [
        ("2026-11-02", "us-east-1", 2, 1, 50.0),
        ("2026-11-02", "us-west-2", 1, 1, 100.0),
    ]
    _, out, _ = run("report", "coverage", "--db", warehouse)
    assert "Events with token data: 4 / 5 (80.0 %)" in out
    assert out.splitlines()[3].split() == ["Day", "(UTC)", "Region", "Model", "Calls", "With", "token", "data",
                                           "Coverage", "Measured", "By", "calls", "No", "price"]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "users"),
    some(
        [
            (["--since", "2026-11-03"], {"bob"}),
            (["--until", "2026-11-02"], {"alice", "carol", "ChatbotApp-BedrockRole"}),
            (
                ["--since", "2026-11-02", "--until", "2026-11-02", "--region", "us-west-2"],
                {"alice"},
            ),
            (["--model", SONNET], {"bob"}),
            (["--model", SONNET[3:], "--model", "acme.unknown"], {"bob", "carol"}),
            (["--user", "bob", "--user", "carol"], {"bob", "carol"}),
            (["--application", "ChatbotApp"], {"ChatbotApp-BedrockRole"}),
            (["--user", "nobody"], set()),
        ],
        4,
    ),
)
def test_filters(warehouse: Path, words: list[str], users: set[str]) -> None:
    assert {row["user_name"] for row in report(warehouse, "users", *words)["rows"]} == users


@pytest.mark.parametrize(
    ("calls", "words"), [(1, "1 call without token data is"), (2, "2 calls without token data are")]
)
def test_what_is_not_in_a_cost_is_said(tmp_path: Path, calls: int, words: str) -> None:
    records = [
        call(0, tokens=(10, 5)),
        *(call(number, user="bob") for number in range(1, calls + 1)),
    ]
    run("load", write_log(tmp_path / "log.json", records), "--db", tmp_path / "w.db")
    _, out, _ = run("report", "users", "--db", tmp_path / "w.db")
    assert f"≥ marks a lower bound: {words} not included." in out


def test_the_range_is_said(warehouse: Path) -> None:
    assert report(warehouse, "users")["range"] == "2026-11-02 to 2026-11-03 UTC, everything loaded"
    assert (
        report(warehouse, "users", "--since", "2026-11-03")["range"]
        == "2026-11-03 to 2026-11-03 UTC"
    )
    # Of one user, it is not everything.
    of_one = report(warehouse, "users", "--user", "bob")
    assert (of_one["range"], of_one["filters"]) == (
        "2026-11-02 to 2026-11-03 UTC",
        {"user": ["bob"]},
    )
    _, out, _ = run("report", "users", "--user", "bob", "--user", "alice", "--db", warehouse)
    assert "2026-11-03 UTC, only users bob, alice" in out


def test_nothing_found_explains_itself(warehouse: Path) -> None:
    status, _, err = run("report", "users", "--user", "nobody", "--db", warehouse)
    assert status == 0
    assert "No calls match" in err
    assert report(warehouse, "users", "--user", "nobody")["total"] is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["report"], "Missing argument"),
        (["report", "everything"], "is not one of"),
        (["report", "users", "--since", "soon"], "'soon' is not a date like 2026-09-01"),
        (
            ["report", "users", "--since", "2026-11-03", "--until", "2026-11-02"],
            "--since is after --until",
        ),
        (
            ["report", "days", "--breakdown"],
            "--breakdown works only with users, applications and teams",
        ),
    ],
)
def test_wrong_usage_is_status_2(words: list[str], message: str) -> None:
    status, _, err = run(*words)
    assert status == 2
    assert message in err


def test_without_a_warehouse_it_says_how_to_make_one(tmp_path: Path) -> None:
    status, _, err = run("report", "users", "--db", tmp_path / "none.db")
    assert status == 1
    assert "bedrock-usage load PATH" in err


HOSTILE = "\x1b[31mred\x1b[0m [bold]x[/bold] <script>alert(1)</script>"


def test_names_from_logs_are_only_ever_text(db: Database, tmp_path: Path) -> None:
    load(
        db,
        write_log(
            tmp_path / "log.json",
            [call(1, user=HOSTILE, tokens=(1, 1)), call(2, user="=1+1", tokens=(1, 1))],
        ),
    )
    path = tmp_path / "warehouse.db"
    _, out, _ = run("report", "users", "--db", path)
    assert "\x1b" not in out
    assert "[bold]x[/bold] <script>" in out
    _, out, _ = run("report", "users", "--format", "csv", "--db", path)
    assert "'=1+1" in out


def test_list_shows_what_is_saved(warehouse: Path, tmp_path: Path) -> None:
    warehouse = Path(shutil.copy(warehouse, tmp_path))
    with open_warehouse(warehouse) as db:
        apply_discounts(db, [Discount(percent=50, model="*haiku*")])
    status, out, _ = run("report", "models", "--list", "--db", warehouse)
    assert status == 0
    lines = {words[0]: words[1:] for line in out.splitlines() if (words := line.split())}
    assert {"List", "Saved"} <= set(out.split())
    haiku = next(row for row in report(warehouse, "models")["rows"] if row["model_id"] == HAIKU)
    assert haiku["list_cost_usd"] == pytest.approx(2 * haiku["cost_usd"])
    assert haiku["list_unpriced_tokens"] == 0
    assert f"${haiku['list_cost_usd'] - haiku['cost_usd']:.2f}" in lines[HAIKU]
    assert run("report", "coverage", "--list", "--db", warehouse)[0] == 2


def test_a_list_cost_that_lacks_something_has_no_saving(db: Database, tmp_path: Path) -> None:
    own = call(tokens=(1_000_000, 1_000_000), requestParameters={"modelId": "a.b"})
    load(db, write_log(tmp_path / "log.json", [own]))
    rates = [
        PriceRow("a.b", "*", "regional", "standard", kind, 0, 10**6, "2023-01-01", None, "x", "2026-11-01", class_)
        for kind, class_ in (("input", "list"), ("output", "negotiated"))
    ]  # fmt: skip
    store_overrides(db, rates)
    console = Console(record=True, width=200)
    print_table(build_report(db, "models", Filters(), with_list=True), console)
    text = console.export_text()
    assert "≥ $1.00" in text
    assert "$2.00" in text
    assert "–" in next(line for line in text.splitlines() if line.startswith(" a.b"))
    assert "1.00M tokens with a negotiated rate have no list price" in text


@pytest.mark.parametrize(
    ("words", "first", "last"),
    [
        (["--since", "7d"], "2026-11-12", None),
        (["--since", "1d", "--until", "today"], "2026-11-18", "2026-11-18"),
        (["--since", "yesterday", "--until", "yesterday"], "2026-11-17", "2026-11-17"),
        (["--since", "last-week", "--until", "last-week"], "2026-11-09", "2026-11-15"),
        (["--since", "last-month", "--until", "last-month"], "2026-10-01", "2026-10-31"),
    ],
)
def test_days_may_be_said_in_words(
    warehouse: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    first: str,
    last: str | None,
) -> None:
    monkeypatch.setattr("etl.cli.shared.option_types.today", lambda: date(2026, 11, 18))
    asked: list[Filters] = []
    monkeypatch.setattr(
        "etl.cli.report.build_report", lambda _, __, filters, **___: asked.append(filters)
    )
    monkeypatch.setattr("etl.cli.report.print_report", lambda *_: None)
    assert run("report", "users", *words, "--db", warehouse)[0] == 0
    assert [(filters.since, filters.until) for filters in asked] == [(first, last)]


def test_no_name_is_broken_at_any_width(tmp_path: Path) -> None:
    """Neither a name nor the short name of a model, and no line is longer than the terminal."""
    docs = role_identity("DocumentProcessorApp-BedrockRole")
    models = (SONNET, "cohere.embed-multilingual-v3", HAIKU)
    calls = [
        call(n, userIdentity=docs, tokens=(10**9 + n, 10**8), requestParameters={"modelId": model})
        for n, model in enumerate(models)
    ]
    with open_warehouse(tmp_path / "w.db", create=True) as db:
        load(db, write_log(tmp_path / "log.json", calls))
        for width, kind in product((80, 100, 140, 200), KINDS):
            built = build_report(db, kind, Filters(), breakdown=kind == "applications")
            file = io.StringIO()
            print_table(built, Console(width=width, file=file, force_terminal=True, no_color=True))
            text = re.sub(r"\x1b\[[0-9;]*m", "", file.getvalue())
            assert max(map(len, text.splitlines())) <= width, (width, kind)
            for row in (*built.rows, *built.details):
                for name in ("user_name", "application", "region"):
                    assert row.get(name, "") in text, (width, kind)
                model = row.get("model_id", "")
                is_narrow = width == 80 and kind in ("breakdown", "applications")
                assert short_name(model) in text or (model in text and not is_narrow), kind


def test_a_model_is_chosen_by_its_short_name(warehouse: Path) -> None:
    by_id = report(warehouse, "users", "--model", HAIKU)
    assert by_id["rows"]
    assert report(warehouse, "users", "--model", "claude 3 HAIKU")["rows"] == by_id["rows"]
