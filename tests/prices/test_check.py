"""``prices check``: each kind of finding is found, and only what was reviewed is left out."""

from __future__ import annotations

import csv
import gzip
import json
import re
import zipfile
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database

from etl import resources
from etl.errors import DataError
from etl.normalise import price_packages
from etl.normalise.listed_prices import Item
from etl.normalise.price_packages import GENAI_COLUMNS, LITELLM_COLUMNS, read_litellm
from etl.price_check import finding as findings
from etl.price_check import other_lists
from etl.price_check import run as checks
from etl.price_check.book import Use
from etl.price_check.finding import DIFFERS, GAP, MISSING, OLD, RULE, STALE, Finding, read_known
from etl.price_check.other_lists import Listed, OtherList, read_lists
from etl.warehouse.price_file import PriceRow
from etl.warehouse.prices import rates_by_origin
from tests.cases import cases
from tests.cli.running import ROOT, run
from tests.support import rows

TODAY = date(2026, 11, 29)
MODEL = "anthropic.claude-sonnet-9"


def rate(usd: int = 3_300_000, **fields: Any) -> PriceRow:
    row = {
        "model_id": MODEL, "region": "*", "scope": "regional", "service_tier": "standard",
        "token_kind": "input", "min_input_tokens": 0, "usd_per_mtok": usd,
        "effective_from": "2023-01-01", "effective_to": None, "source": "test", "checked_on": "2026-11-29",
    }  # fmt: skip
    return PriceRow(**row | fields)


def listed(usd: int, *, by: str = "litellm a", region: str = "us-east-1", **item: Any) -> OtherList:
    sold = {"service_tier": "standard", "token_kind": "input", "min_input_tokens": 0} | item
    use = Use(MODEL, region, "regional", Item(**sold))
    return OtherList(by.split()[0], ("litellm 9",), [Listed(by, use, usd)])


def found(book: list[PriceRow], *lists: OtherList, today: date = TODAY) -> list[Finding]:
    return checks.check_prices([book], lists, today).findings


@pytest.fixture(autouse=True)
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A reviewed list for the test, empty at first."""
    path = tmp_path / "known.csv"
    path.write_text(",".join(findings.COLUMNS) + "\n")
    monkeypatch.setattr(checks, "read_known", lambda: read_known(path))
    return path


BASE = rate()
USE = (MODEL, "*", "regional", "standard", "input", 0)
# Rates beside the base, and what they break.
BROKEN = [
    (rate(1_660_001, service_tier="batch"), "batch_is_half", 1_650_000),
    (rate(1_639_999, service_tier="batch"), "batch_is_half", 1_650_000),
    (rate(1_700_000, service_tier="flex"), "flex_is_half", 1_650_000),
    (rate(3_300_000, service_tier="priority"), "priority_is_three_quarters_more", 5_775_000),
    (rate(165_000, token_kind="cache_read"), "cache_read_is_a_tenth", 330_000),
    (rate(3_300_000, token_kind="cache_write_5m"), "cache_write_5m_is_a_quarter_more", 4_125_000),
    (rate(4_125_000, token_kind="cache_write_1h"), "cache_write_1h_is_double", 6_600_000),
]


@cases(("row", "rule", "expected"), BROKEN)
def test_a_rate_that_breaks_a_rule(row: PriceRow, rule: str, expected: int) -> None:
    assert found([BASE, row]) == [Finding(RULE, rule, *row[:6], expected, row.usd_per_mtok)]
    assert found([BASE, row._replace(usd_per_mtok=expected)]) == []
    # Of another use, or of another time, there is nothing to compare it with.
    assert found([BASE._replace(region="us-gov-west-1"), row]) == []
    assert found([BASE._replace(effective_to="2026-01-01"), row._replace(effective_from="2026-01-01")]) == []  # fmt: skip


def test_the_regional_rate_is_a_tenth_above_the_global_one_where_that_is_so() -> None:
    worldwide = rate(3_000_000, scope="global")
    assert found([worldwide, rate(3_300_000), rate(3_600_000, region="us-gov-west-1")]) == []
    (one,) = found([worldwide, rate(3_000_000)])
    assert one[:2] == (RULE, "regional_is_a_tenth_more")


def test_an_exception_comes_before_its_rule() -> None:
    model = {"model_id": "anthropic.claude-opus-5-5"}
    book = [rate(4_000_000, **model), rate(200_000, token_kind="cache_read", **model)]
    assert found(book) == []


def test_days_without_a_rate_between_two() -> None:
    first, second = rate(effective_to="2026-01-01"), rate(effective_from="2026-01-02")
    assert found([second, first]) == [Finding(GAP, "2026-01-01 to 2026-01-02", *USE)]
    assert found([first, second._replace(effective_from="2026-01-01")]) == []


def test_rates_that_nobody_checked_for_90_days() -> None:
    old = [rate(checked_on="2026-08-31"), rate(token_kind="output", checked_on="2026-08-31")]
    assert found(old) == []
    (one,) = found(old, today=date(2026, 11, 30))
    assert one[:3] == (OLD, "checked on 2026-08-31", MODEL)
    # Nobody has to look again at what is history.
    assert found([rate(checked_on="2024-01-01", effective_to="2025-01-01")]) == []


def test_another_list_has_more_than_a_thousandth_more_or_less() -> None:
    for usd in (1_000_000 - 999, 1_000_000 + 1_000):
        assert found([rate(usd)], listed(1_000_000)) == []
    for usd in (1_000_000 - 1_001, 1_000_000 + 1_001):
        (one,) = found([rate(usd)], listed(1_000_000))
        assert one == Finding(DIFFERS, "litellm a", MODEL, "us-east-1", *USE[2:], 1_000_000, usd)
    assert found([rate(1)], listed(0)) != [] == found([rate(0)], listed(0))


def test_another_list_has_what_the_book_lacks() -> None:
    book = [rate(1), rate(2, region="us-east-1"), rate(3, min_input_tokens=200_000)]
    lists = [
        listed(2), listed(1, region="eu-west-1"), listed(3, region="eu-west-1", min_input_tokens=272_000)
    ]  # fmt: skip
    assert found(book, *lists) == []
    for lacking in (listed(1, region="us-gov-west-1"), listed(1, service_tier="batch"),
                    listed(1, token_kind="output")):  # fmt: skip
        (one,) = found(book, lacking)
        assert (one.finding, one.expected, one.found) == (MISSING, 1, None)
    # A cache write that lives for 30 minutes is a cache write in their lists.
    book = [rate(7, token_kind="cache_write_30m")]
    assert found(book, listed(7, token_kind="cache_write_5m")) == []


def test_the_reviewed_list_silences_exactly_its_entry(known: Path) -> None:
    lists = [listed(1), listed(1, by="litellm b"), listed(5, token_kind="output")]
    book = [rate(2)]
    first, *others = found(book, *lists)
    cells = ["" if cell is None else str(cell) for cell in first]
    reviewed = f"{known.read_text()}{','.join(cells)},It is so,2026-11-29\n"
    known.write_text(reviewed)
    outcome = checks.check_prices([book], lists, TODAY)
    assert (outcome.findings, outcome.known) == (others, 1)
    # One figure more on either side, and it is another disagreement; the reviewed one is stale.
    for changed_book, changed in (([rate(3)], lists), (book, [listed(3), *lists[1:]])):
        after = found(changed_book, *changed)
        assert after[0]._replace(expected=1, found=2) == first
        assert after[-1] == first._replace(finding=STALE, by="differs litellm a")
    # Nothing is stale whose list was not looked at, and nothing in a user's own rates.
    assert found(book, listed(2, by="genai-prices a")) == []
    assert checks.check_prices([[rate(1)]], lists[:2], TODAY, is_seed=False).findings == []
    known.write_text(reviewed.replace("It is so", ""))
    with pytest.raises(DataError, match="line 2: say the reason"):
        found(book)


def test_this_release_has_only_disagreements_that_were_reviewed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checks, "read_known", read_known)
    day = re.search(r"^PRICES_REVIEWED := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert day is not None
    status, out, _ = run("prices", "check", "--as-of", day[1])
    assert status == 0, out
    assert re.fullmatch(r"[\d,]+ rates compared with litellm .*, genai-prices .*\n0 findings, and \d+ known.*\n", out)  # fmt: skip


LITELLM: dict[str, Any] = {
    "us.anthropic.claude-x": {"input_cost_per_token": 3.3e-06},
    "global.anthropic.claude-x": {"input_cost_per_token": 3e-06},
    # The trap: this is the global price.
    "anthropic.claude-x": {"input_cost_per_token": 3e-06, "output_cost_per_token": 1.5e-05},
    "eu.amazon.nova-x": {"input_cost_per_token_above_200k_tokens": 1e-06},
    "bedrock/us-gov-west-1/amazon.nova-x": {"input_cost_per_token_batches": 2e-06},
    "bedrock/eu-west-2/1-month-commitment/amazon.nova-x": {"input_cost_per_second": 1.0},
    "amazon.reel-x": {"output_cost_per_video_per_second": 0.08},
    "amazon.fine-x": {"input_cost_per_token": 1.23456789e-7},
    "gpt-x": {"input_cost_per_token": 1.0, "litellm_provider": "openai"},
}
FROM_LITELLM = {
    ("litellm us.anthropic.claude-x", "us-east-1", "regional", "standard", "input", 0, 3_300_000),
    ("litellm global.anthropic.claude-x", "*", "global", "standard", "input", 0, 3_000_000),
    ("litellm anthropic.claude-x", "*", "global", "standard", "input", 0, 3_000_000),
    ("litellm anthropic.claude-x", "*", "global", "standard", "output", 0, 15_000_000),
    ("litellm eu.amazon.nova-x", "eu-central-1", "regional", "standard", "input", 200_000, 1_000_000),
    ("litellm bedrock/us-gov-west-1/amazon.nova-x", "us-gov-west-1", "regional", "batch", "input", 0, 2_000_000),
    # A unit that is new to us, and a rate of less than a micro-dollar, are no reason to stop.
    ("litellm amazon.fine-x", "us-east-1", "regional", "standard", "input", 0, 123_457),
    ("litellm amazon.reel-x", "us-east-1", "regional", "standard", "output_cost_per_video_per_second", 0, 80_000_000_000),
}  # fmt: skip
GENAI: list[dict[str, Any]] = [
    {"id": "openai", "models": []},
    {"id": "aws", "models": [
        {"id": "global.acme.one", "prices": {"input_mtok": {"base": 5, "tiers": [{"start": 200000, "price": 10}]}}},
        {"id": "regional.acme.one", "prices": [
            {"prices": {"output_mtok": 2}},
            {"constraint": {"start_date": "2026-08-21"}, "prices": {"output_mtok": 1.5}},
            {"constraint": {"start_date": "2026-12-24"}, "prices": {"output_mtok": 1}},
        ]},
    ]},
]  # fmt: skip
MODULE = """
from .types import *
providers = [
    Provider(id='openai', models=[]),
    Provider(id='aws', models=[
        ModelInfo(id='global.acme.one', prices=ModelPrice(input_mtok=TieredPrices(
            base=Decimal('5'), tiers=[Tier(start=200000, price=Decimal('10'))]))),
        ModelInfo(id='regional.acme.one', prices=[
            ConditionalPrice(prices=ModelPrice(output_mtok=Decimal('2'))),
            ConditionalPrice(constraint=StartDateConstraint(start_date=datetime.date(2026, 8, 21)),
                             prices=ModelPrice(output_mtok=Decimal('1.5'))),
            ConditionalPrice(constraint=StartDateConstraint(start_date=datetime.date(2026, 12, 24)),
                             prices=ModelPrice(output_mtok=Decimal('1'))),
        ]),
    ]),
]
"""
FROM_GENAI = {
    ("genai-prices global.acme.one", "*", "global", "standard", "input", 0, 5_000_000),
    ("genai-prices global.acme.one", "*", "global", "standard", "input", 200_000, 10_000_000),
    ("genai-prices regional.acme.one", "us-east-1", "regional", "standard", "output", 0, 1_500_000),
}


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Not a checkout: there are no extracts."""
    monkeypatch.setattr(resources, "EXTRACTS", tmp_path / "nowhere")
    return tmp_path


def read(litellm: Path | None = None, genai: Path | None = None) -> set[tuple[Any, ...]]:
    lists = read_lists(litellm, genai, TODAY.isoformat())
    return {(r.by, *r.use[1:3], *r.use.item, r.usd_per_mtok) for one in lists for r in one.rates}


def test_a_list_may_be_a_file_a_wheel_a_folder_or_an_extract(elsewhere: Path) -> None:
    entries = {key: {"litellm_provider": "bedrock", "mode": "chat"} | one for key, one in LITELLM.items()}  # fmt: skip
    text = json.dumps(entries)
    name = "model_prices_and_context_window_backup.json"
    plain, folder, wheel = elsewhere / "any.json", elsewhere / "unpacked", elsewhere / "litellm.whl"
    plain.write_text(text)
    (folder / "litellm").mkdir(parents=True)
    (folder / "litellm" / name).write_text(text)
    with zipfile.ZipFile(wheel, "w") as files:
        files.writestr(f"litellm/{name}", text)
        files.writestr("litellm/other.json", "[]")
    extract = elsewhere / "extract.csv.gz"
    with gzip.open(extract, "wt", newline="") as file:
        csv.writer(file).writerows([LITELLM_COLUMNS, *read_litellm(text, "litellm 9")])
    for path in (plain, folder, wheel, extract):
        assert read(litellm=path) == FROM_LITELLM, path
    module = elsewhere / "genai_prices" / "data.py"
    module.parent.mkdir()
    module.write_text(MODULE)
    data = elsewhere / "data.json"
    data.write_text(json.dumps(GENAI))
    for path in (module, module.parent, elsewhere, data):
        assert read(genai=path) == FROM_GENAI, path
    assert read() == set()


def test_what_is_no_list_is_refused(elsewhere: Path) -> None:
    (elsewhere / "empty").mkdir()
    files = [elsewhere / "empty"]
    contents = ["", "{", "[1]", '{"a": {}}', "import os\nos.remove('x')", "PK\x03\x04"]
    odd = json.loads(json.dumps(GENAI))
    odd[1]["models"][1]["prices"][0]["prices"]["output_mtok"] = "abc"
    for number, content in enumerate([*contents, json.dumps(odd)]):
        file = elsewhere / f"x{number}"
        file.write_text(content)
        table = file.with_suffix(".csv")
        table.write_text(f"key,{content}\n1,2\n")
        files += [file, table]
    for number, columns in enumerate((GENAI_COLUMNS, LITELLM_COLUMNS)):
        table = elsewhere / f"extract{number}.csv"
        table.write_text(f"{','.join(columns)}\n{','.join('oops' for _ in columns)}\n")
        files.append(table)
    for option in ("--litellm", "--genai"):
        for path in files:
            status, out, err = run("prices", "check", option, path, "--as-of", "2026-11-29")
            assert (status, out) == (1, ""), (option, path)
            assert "has no Bedrock prices" in err


def test_every_prefix_has_a_region_to_compare_in() -> None:
    assert price_packages._GEO.pattern.count("|") > 5
    for prefix in re.findall(r"[a-z-]+(?=[|)])", price_packages._GEO.pattern.split(r"\.")[0]):
        assert other_lists._geo_regions().keys() >= {prefix} - {"global"}, prefix


def test_a_wheel_has_no_extracts_and_says_so(elsewhere: Path) -> None:
    _, out, _ = run("prices", "check", "--as-of", "2026-11-29")
    assert "no other list (name one with --litellm or --genai)" in out


def test_a_rate_that_another_origin_supersedes_breaks_no_rule() -> None:
    batch, own = rate(1_000_000, service_tier="batch"), rate(2_000_000)
    assert checks.check_prices([[own], [BASE, batch]], [], TODAY).findings == []
    (one,) = checks.check_prices([[], [BASE, batch]], [], TODAY).findings
    assert one[:2] == (RULE, "batch_is_half")


def test_the_rates_in_force_of_a_warehouse(db: Database, elsewhere: Path) -> None:
    columns = "region, scope, service_tier, token_kind, min_input_tokens, effective_from, source, checked_on"
    db.execute(
        f"insert into prices (model_id, usd_per_mtok, origin, rate_class, corrected_on, {columns})"
        f" select '{MODEL}', column1, column2, column3, column4, '*', 'regional', column5, 'input', 0,"
        " '2026-01-01', 'test', '2026-11-29' from (values (2000000, 'price_list', 'list', null, 'standard'),"
        " (1000000, 'import', 'list', null, 'batch'), (9, 'import', 'negotiated', null, 'flex'),"
        " (9, 'price_list', 'list', '2026-11-02', 'priority'))"
    )
    assert [len(one) for one in rates_by_origin(db)][:2] == [1, 1]
    (path,) = (row[2] for row in rows(db, "pragma database_list"))
    words = ("prices", "check", "--db", path, "--as-of", "2026-11-29")
    status, out, _ = run(*words, "--format", "csv")
    lines = [line for line in out.splitlines() if MODEL in line]
    assert (status, lines) == (1, [])
    db.execute(f"update prices set usd_per_mtok = 2000000 where model_id = '{MODEL}' and service_tier = 'batch'")  # fmt: skip
    status, out, _ = run(*words, "--format", "json")
    answer = json.loads(out)
    (one,) = (row for row in answer["findings"] if row["model_id"] == MODEL)
    assert (status, answer["is_ok"], one["by"], one["expected"], one["found"]) == (1, False, "batch_is_half", 1_000_000, 2_000_000)  # fmt: skip
    _, out, _ = run(*words)
    assert f"{MODEL}, *, regional, batch, input: $2.00, not $1.00, +100.0%; batch_is_half" in out
