"""A user's own rates: every imported rate has an effect, and one that could have none is refused."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sqlite_utils import Database

from etl.cli import main
from etl.errors import DataError
from etl.normalise.discounts import TIERS
from etl.normalise.token_kinds import PRICE_KINDS
from etl.sources.accounts import known_regions
from etl.warehouse.price_file import MAX_PROBLEMS, OWN_COLUMNS
from etl.warehouse.prices import import_prices, list_prices
from tests.rounds import rounds
from tests.support import HAIKU, call, load, rows, write_log

TODAY = date(2026, 11, 29)
REGIONS = known_regions()
GOOD = {
    "model_id": HAIKU,
    "region": "*",
    "scope": "regional",
    "service_tier": "standard",
    "token_kind": "input",
    "min_input_tokens": "0",
    "usd_per_mtok": "700000",
    "effective_from": "2026-01-01",
    "effective_to": "",
    "source": "our contract",
    "checked_on": "2026-11-01",
}


def text_of(*records: dict[str, str]) -> str:
    has_class = any("rate_class" in record for record in records)
    columns = OWN_COLUMNS if has_class else OWN_COLUMNS[:-1]
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return out.getvalue()


def import_text(db: Database, folder: Path, text: str | bytes, **options: Any) -> int:
    file = folder / "rates.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return import_prices(db, file, **{"today": TODAY, "regions": REGIONS, **options})


def refused(db: Database, folder: Path, text: str | bytes) -> str:
    with pytest.raises(DataError) as raised:
        import_text(db, folder, text)
    assert rows(db, "select count(*) from prices where origin = 'import'") == [(0,)]
    return "\n".join((str(raised.value), *raised.value.details))


# Each is a mistake that a person makes, as a change of a good row, and a word of the answer.
SLIPS = [
    ({"model_id": "anthropic.claude-3-hiaku-20240307-v1:0"}, f"did you mean '{HAIKU}'?"),
    ({"model_id": "us." + HAIKU}, f"write it as '{HAIKU}'"),
    ({"model_id": "global." + HAIKU}, "scope global"),
    ({"model_id": f"arn:aws:bedrock:us-east-1::foundation-model/{HAIKU}"}, "write it as"),
    ({"model_id": HAIKU.upper()}, "--force-new"),
    ({"region": "us-east1"}, "mean 'us-east-1'?"),
    ({"region": "US-EAST-1"}, "region"),
    ({"region": "Virginia"}, "region"),
    ({"region": "us-east-9"}, "region"),
    ({"scope": "Regional"}, "scope"),
    ({"scope": "cross-region"}, "scope"),
    ({"service_tier": "on-demand"}, "service_tier"),
    ({"service_tier": "Standard"}, "service_tier"),
    ({"token_kind": "inputs"}, "token_kind"),
    ({"token_kind": "cache_write"}, "token_kind"),
    ({"token_kind": "text_request"}, "token_kind"),
    ({"min_input_tokens": "200k"}, "min_input_tokens"),
    ({"min_input_tokens": "200"}, "min_input_tokens"),
    ({"min_input_tokens": "-1"}, "min_input_tokens"),
    ({"min_input_tokens": "9" * 5000}, "min_input_tokens"),
    ({"usd_per_mtok": "-1"}, "usd_per_mtok"),
    ({"usd_per_mtok": "0.25"}, "usd_per_mtok"),
    ({"usd_per_mtok": "3,30"}, "usd_per_mtok"),
    ({"usd_per_mtok": "3e6"}, "usd_per_mtok"),
    ({"usd_per_mtok": "$250000"}, "usd_per_mtok"),
    ({"usd_per_mtok": "250_000"}, "usd_per_mtok"),
    ({"usd_per_mtok": "٢٥٠٠٠٠"}, "usd_per_mtok"),
    ({"usd_per_mtok": "250"}, "$0.00025"),
    ({"usd_per_mtok": "1000"}, "far from the list price"),
    ({"usd_per_mtok": "250000000"}, "far from the list price"),
    ({"usd_per_mtok": "1" * 14}, "usd_per_mtok"),
    ({"effective_from": "20260101"}, "effective_from"),
    ({"effective_from": "2026-02-30"}, "effective_from"),
    ({"effective_from": "2026-W01-1"}, "effective_from"),
    ({"effective_from": "01/01/2026"}, "effective_from"),
    ({"effective_from": "2062-01-01"}, "years ahead"),
    ({"effective_from": "0001-01-01"}, "before Bedrock"),
    ({"effective_from": ""}, "no effective_from"),
    ({"effective_to": "2025-12-31"}, "after effective_from"),
    ({"effective_to": "2026-01-01"}, "after effective_from"),
    ({"effective_to": "never"}, "effective_to"),
    ({"checked_on": "2027-11-01"}, "checked_on"),
    ({"source": ""}, "no source"),
    ({"source": "a\x1b[31mb"}, "control"),
    ({"source": "x" * 200_000}, "line 2"),
]


def test_a_slip_is_refused_with_its_line(db: Database, tmp_path: Path) -> None:
    for slip, word in SLIPS:
        said = refused(db, tmp_path, text_of(GOOD | slip))
        assert "line 2" in said, slip
        assert word in said, slip
        assert len(said) < 600, slip


def test_a_looser_name_that_calls_are_priced_by_is_no_slip(db: Database, tmp_path: Path) -> None:
    assert import_text(db, tmp_path, text_of(GOOD | {"model_id": HAIKU.removesuffix(":0")})) == 1


def test_everything_that_is_wrong_is_said_at_once(db: Database, tmp_path: Path) -> None:
    wrong = [GOOD | {"scope": "all", "service_tier": "x", "token_kind": "y"}] * 30
    said = refused(db, tmp_path, text_of(GOOD, *wrong)).splitlines()
    assert said[0] == "rates.csv: 90 problems. Nothing was imported"
    assert [line.split(":")[0] for line in said[1:4]] == ["line 3"] * 3
    assert said[-1] == "and 70 more"
    assert len(said) == MAX_PROBLEMS + 2


OPEN, LATER = GOOD | {"usd_per_mtok": "800000"}, GOOD | {"effective_from": "2026-06-01"}


def test_rates_that_hold_on_one_day_are_refused(db: Database, tmp_path: Path) -> None:
    assert "line 3: overlaps line 2 " in refused(db, tmp_path, text_of(GOOD, OPEN))
    assert "line 2: overlaps line 3 " in refused(db, tmp_path, text_of(LATER, GOOD))
    import_text(db, tmp_path, text_of(GOOD))
    with pytest.raises(DataError, match=r"line 2: .*earlier \(effective from 2026-01-01\)"):
        import_text(db, tmp_path, text_of(LATER))
    # The same file may end the earlier rate, and change it.
    import_text(db, tmp_path, text_of(LATER, GOOD | {"effective_to": "2026-06-01"}))
    assert rows(db, "select count(*) from prices where origin = 'import'") == [(2,)]


FORMS = {
    "with a byte order mark": lambda text: b"\xef\xbb\xbf" + text.encode(),
    "of Windows": lambda text: text.replace("\n", "\r\n").encode(),
    "of old Macs": lambda text: text.replace("\n", "\r").encode(),
    "with blank lines": lambda text: text.replace("\n", "\n\n").encode(),
    "with other columns first": lambda text: "\n".join(
        ",".join(reversed(line.split(","))) for line in text.splitlines()
    ).encode(),
}
NO_FORMS = {
    "Latin-1": (
        lambda text: text.replace("our contract", "für").encode("latin-1"),
        "not UTF-8 (line 2)",
    ),
    "UTF-16": (lambda text: text.encode("utf-16"), "UTF-16"),
    "empty": (lambda text: b"", "no column model_id"),
    "only a heading": (lambda text: text.splitlines()[0].encode(), "no rate"),
    "semicolons": (lambda text: text.replace(",", ";").encode(), "no column model_id"),
    "zeros": (lambda text: b"\0" * 1000, "no column"),
    "a column less": (lambda text: text.replace(",source", "").encode(), "no column source"),
    "a column more": (lambda text: text.replace("source", "source,x").encode(), "column 'x'"),
    "a column twice": (lambda text: text.replace("source", "source,source").encode(), "twice"),
    "a cell less": (lambda text: text.replace(",our contract", "").encode(), "line 2: 10 cells"),
    "a cell more": (
        lambda text: text.replace("our contract", "our,contract").encode(),
        "line 2: 12 cells",
    ),
    "an open quote": (
        lambda text: text.replace("our contract", '"our contract').encode(),
        "line 2",
    ),
}


def test_a_file_in_a_form_that_programs_write(db: Database, tmp_path: Path) -> None:
    for name, form in FORMS.items():
        assert import_text(db, tmp_path, form(text_of(GOOD))) == 1, name


def test_a_file_that_is_none(db: Database, tmp_path: Path) -> None:
    for name, (form, word) in NO_FORMS.items():
        assert word in refused(db, tmp_path, form(text_of(GOOD))), name


def test_a_new_model_is_imported_when_it_is_said_to_be_new(db: Database, tmp_path: Path) -> None:
    new = text_of(GOOD | {"model_id": "acme.model-v1:0"})
    assert "--force-new" in refused(db, tmp_path, new)
    assert import_text(db, tmp_path, new, force_new=True) == 1
    # No flag makes the name of a profile a model.
    with pytest.raises(DataError):
        import_text(
            db, tmp_path, text_of(GOOD | {"model_id": "eu.acme.model-v1:0"}), force_new=True
        )


def test_a_model_and_a_region_of_a_call_are_known(db: Database, tmp_path: Path) -> None:
    own = call(tokens=(1_000_000, 0), awsRegion="zz-test-1", requestParameters={"modelId": "a.b"})
    load(db, write_log(tmp_path / "log.json", [own]))
    assert import_text(db, tmp_path, text_of(GOOD | {"model_id": "a.b", "region": "zz-test-1"}))
    assert rows(db, "select cost_usd from calls") == [(0.7,)]


def test_what_is_listed_can_be_imported(db: Database, tmp_path: Path) -> None:
    """Also if rates were imported before: they are listed in place of the list prices."""
    for _ in range(2):
        listed = list(list_prices(db, "claude-3-haiku"))
        own = [dict(zip(OWN_COLUMNS, map(_cell, row), strict=True)) for row in listed]
        assert import_text(db, tmp_path, text_of(*own)) == len(listed)


def _cell(value: object) -> str:
    return "" if value is None else str(value)


def test_the_command_says_what_is_wrong_line_by_line(tmp_path: Path, empty_warehouse: Path) -> None:
    file = tmp_path / "a\nb.csv"
    file.write_text(text_of(GOOD | {"scope": "x", "service_tier": "\x1b"}, GOOD | {"region": "r"}))
    database = tmp_path / "w.db"
    database.write_bytes(empty_warehouse.read_bytes())
    result = CliRunner().invoke(main, ["prices", "import", str(file), "--db", str(database)])
    assert result.exit_code == 1
    said = result.stderr.splitlines()
    assert said[0] == "Error: a\\nb.csv: 2 problems. Nothing was imported"
    assert len(said) == 3


# One call of each kind, so that any accepted mutation of a rate shows in a cost.
CALLS = [
    call(1, tokens=(1_000_000, 1_000_000)),
    call(2, tokens=(1_000_000, 1_000_000), awsRegion="eu-west-1"),
]
MUTATIONS: dict[str, st.SearchStrategy[str]] = {
    "model_id": st.sampled_from([HAIKU, "anthropic.claude-v2:1", "x", "us." + HAIKU]) | st.text(),
    "region": st.sampled_from(["*", "us-east-1", "eu-west-1", "us-east-01"]) | st.text(),
    "scope": st.sampled_from(["regional", "global", "any"]) | st.text(),
    "service_tier": st.sampled_from([*TIERS, "STANDARD"]) | st.text(),
    "token_kind": st.sampled_from([*PRICE_KINDS, "out"]) | st.text(),
    "min_input_tokens": st.integers(-5, 10**10).map(str) | st.text(),
    "usd_per_mtok": st.integers(-5, 10**13).map(str) | st.text() | st.floats().map(str),
    "effective_from": st.dates().map(str) | st.dates().map(lambda day: f"{day:%Y%m%d}"),
    "effective_to": st.dates().map(str) | st.text(),
}


@pytest.fixture(scope="module")
def loaded(
    new_warehouse: Callable[[], AbstractContextManager[Database]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Database, Path]]:
    folder = tmp_path_factory.mktemp("rates")
    with new_warehouse() as db:
        load(db, write_log(folder / "log.json", CALLS))
        yield db, folder


@settings(max_examples=rounds(20, 2000))
@given(
    st.sampled_from(["input", "output"]),
    st.sampled_from(["us-east-1", "*"]),
    st.sampled_from(sorted(MUTATIONS)).flatmap(
        lambda column: st.tuples(st.just(column), MUTATIONS[column])
    ),
)
def test_a_mutation_is_refused_or_changes_a_cost(
    loaded: tuple[Database, Path],
    kind: str,
    region: str,
    mutation: tuple[str, str],
) -> None:
    column, value = mutation
    good = GOOD | {"token_kind": kind, "region": region}
    assume(value.strip() != good[column])
    db, folder = loaded
    before = _costs(db)
    with _undone(db):
        assert import_text(db, folder, text_of(good)) == 1
        with_rate = _costs(db)
        assert with_rate != before
    with _undone(db):
        try:
            import_text(db, folder, text_of(good | {column: value}))
        except DataError as error:
            assert "line " in str(error) or error.details
            assert _costs(db) == before
        else:
            assert _costs(db) != with_rate or _is_as_good(column, value)


@contextmanager
def _undone(db: Database) -> Iterator[None]:
    db.execute("savepoint rates")
    try:
        yield
    finally:
        db.execute("rollback to rates")
        db.execute("release rates")


def _costs(db: Database) -> list[tuple[Any, ...]]:
    return rows(db, "select event_id, cost_usd from calls order by event_id")


def _is_as_good(column: str, value: str) -> bool:
    """Whether another value means the same for calls of November 2026 with a million tokens."""
    return (
        (column == "effective_from" and value < "2026-11-02")
        or (column == "effective_to" and value > "2026-11-02")
        or (column == "min_input_tokens" and int(value) < 10**6)
    )


DEFAULTS = {key: value for key, value in GOOD.items() if key not in ("token_kind", "usd_per_mtok")}
AS_YAML = (
    "# ours\ndefaults:\n"
    + "".join(f"  {key}: '{value}'\n" for key, value in DEFAULTS.items())
    + "rates:\n- token_kind: input\n  usd_per_million: 0.70\n- {token_kind: output, usd_per_mtok: 800000}\n"
)
AS_TOML = (
    "[defaults]\n"
    + "".join(f'{key} = "{value}"\n' for key, value in DEFAULTS.items())
    + '[[rates]]\ntoken_kind = "input"\nusd_per_million = 0.70\n'
    + '[[ rates ]]\ntoken_kind = "output"\nusd_per_mtok = 800_000\neffective_from = 2026-01-01\n'
)


def import_file(db: Database, folder: Path, name: str, text: str) -> int:
    (folder / name).write_text(text)
    return import_prices(db, folder / name, today=TODAY, regions=REGIONS)


def test_yaml_and_toml_say_the_same_as_csv(db: Database, tmp_path: Path) -> None:
    sql = "select token_kind, usd_per_mtok, rate_class from prices where origin = 'import'"
    for name, text in (
        *(("a.yaml", AS_YAML), ("a.YML", AS_YAML), ("a.toml", AS_TOML)),
        *(("rates", AS_YAML), ("rates", AS_TOML), ("rates", text_of(GOOD))),
    ):
        assert import_file(db, tmp_path, name, text) == (1 if "," in text[:20] else 2), name
        assert set(rows(db, sql)) == {
            ("input", 700000, "negotiated"),
            ("output", 800000, "negotiated"),
        }


WRONG_FILES = {
    "a.yaml": [
        ("rates: [", "line"),
        ("rates:\n- token_kind: input\n  token_kind: output\n", "line 3: the key 'token_kind'"),
        ("rates: &a\n- *a\n", "line 2: an alias"),
        ("rates:\n- a: 1\n", "line 2: unknown key 'a'"),
        ("rates:\n- token_kind: [input]\n", "line 2: token_kind is not one value"),
        ("rates: [[[[[[[[[]]]]]]]]]", "line 1: nested"),
        ("rates: 5\n", "line 1: no list"),
        ("rates:\n- 5\n", "line 2: a rate has no keys"),
        ("rates: []\n---\nrates: []\n", "another document"),
        ("prices: []\n", "unknown key 'prices'"),
        ("rates: []\n", "no rate"),
        ("", "the document has no keys"),
        ("rates: !!python/object:os.system []\n", "no rate"),
        ("rates:\n- \x07\n", "not valid YAML"),
        (AS_YAML.replace("output", "outputs"), "line 15: token_kind 'outputs'"),
        (AS_YAML.replace("0.70", "0.7000001"), "line 13: usd_per_million '0.7000001'"),
        (AS_YAML.replace("0.70", "$0.70"), "line 13: usd_per_million"),
        (AS_YAML.replace("0.70", "null"), "line 13: no usd_per_mtok or usd_per_million"),
        (AS_YAML.replace("0.70", "0.7\n  usd_per_mtok: 1"), "line 13: usd_per_mtok and"),
    ],
    "a.toml": [
        ("[[rates]\n", "line 1: not valid TOML"),
        ("a = 1\na = 2\n", "line 2: not valid TOML"),
        ("[[rates]]\na = 1\n", "line 1: unknown key 'a'"),
        ("rates = [{}]\n", "begin each rate"),
        ("rates = 5\n", "begin each rate"),
        ("[defaults]\nsource = ''\n", "begin each rate"),
        ("[[rates]]\ntoken_kind = true\n", "line 1: token_kind is neither"),
        ("[[rates]]\neffective_from = 2026-01-01T00:00:00Z\n", "line 1: effective_from is neither"),
        ("a" + ".a" * 5000 + " = 1\n", "nested"),
        ("a = " + "[" * 5000 + "\n", "nested"),
        (AS_TOML.replace("output", "outputs"), "line 14: token_kind 'outputs'"),
    ],
    "a.csv": [
        (text_of(GOOD | {"rate_class": "contract"}), "line 2: rate_class 'contract'"),
        (text_of(GOOD).replace("usd_per_mtok", "usd_per_million"), "line 2: usd_per_mtok 7"),
    ],
}  # fmt: skip


def test_a_mistake_in_any_form_is_refused_with_its_line(db: Database, tmp_path: Path) -> None:
    for name, files in WRONG_FILES.items():
        for text, said in files:
            with pytest.raises(DataError) as raised:
                import_file(db, tmp_path, name, text)
            assert said in "\n".join((str(raised.value), *raised.value.details)), text
    assert rows(db, "select count(*) from prices where origin = 'import'") == [(0,)]


def test_a_list_row_moves_both_costs_and_a_negotiated_one_its_own(
    db: Database, tmp_path: Path
) -> None:
    load(db, write_log(tmp_path / "log.json", [call(tokens=(1_000_000, 1_000_000))]))
    costs = "select cost_usd, list_cost_usd, list_unpriced_tokens from user_costs"
    assert rows(db, costs) == [(1.5, 1.5, 0)]
    import_text(db, tmp_path, text_of(GOOD | {"rate_class": "list"}))
    assert rows(db, costs) == [(1.95, 1.95, 0)]
    import_text(db, tmp_path, text_of(GOOD | {"usd_per_mtok": "100000"}))
    assert rows(db, costs) == [(1.35, 1.95, 0)]


def test_what_only_a_contract_prices_is_not_in_the_list_cost(db: Database, tmp_path: Path) -> None:
    own = call(tokens=(1_000_000, 1_000_000), requestParameters={"modelId": "a.b"})
    load(db, write_log(tmp_path / "log.json", [own]))
    import_text(db, tmp_path, text_of(GOOD | {"model_id": "a.b"}))
    costs = "cost_usd, unpriced_tokens, list_cost_usd, list_unpriced_tokens"
    expected = [(0.7, 1_000_000, None, 2_000_000)]
    for view in ("calls", "user_costs", "usage_cost", "daily_costs_by_model"):
        assert rows(db, f"select {costs} from {view}") == expected, view
