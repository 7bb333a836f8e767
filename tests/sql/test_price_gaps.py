"""Usage without a price, and the price that it nearly matches."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from sqlite_utils import Database

from etl.cli import main
from etl.show.prices import NO_GAPS
from etl.warehouse.price_file import COLUMNS
from etl.warehouse.prices import import_prices
from etl.warehouse.write.costs import renew_costs
from tests.rounds import rounds
from tests.support import call, load, logged, rows, write_invocation_log, write_log

MODEL = "acme.model-20260101-v1:0"
TODAY = date(2026, 11, 29)
RATE: dict[str, Any] = {
    "model_id": MODEL, "region": "us-east-1", "scope": "regional", "service_tier": "standard",
    "token_kind": "input", "min_input_tokens": 0, "usd_per_mtok": 1_000_000,
    "effective_from": "2026-01-01", "effective_to": None, "source": "test",
    "checked_on": "2026-11-01", "origin": "seed",
}  # fmt: skip
GAP = (
    "token_kind, first_day, last_day, calls, tokens, missing, near_price_id, region,"
    " inference_scope, service_tier"
)


def add(db: Database, **fields: Any) -> int:
    """Add a rate, and return its price_id."""
    row = RATE | fields
    names, marks = ", ".join(row), ", ".join("?" * len(row))
    return db.execute(f"insert into prices ({names}) values ({marks})", [*row.values()]).lastrowid


def loaded(db: Database, folder: Path, *calls: dict[str, Any]) -> None:
    load(db, write_log(folder / "log.json", calls))


def used(number: int = 1, *, day: str = "2026-11-02", **fields: Any) -> dict[str, Any]:
    parameters = {"modelId": MODEL} | fields.pop("parameters", {})
    return call(
        number,
        tokens=(100, 0),
        eventTime=f"{day}T10:00:00Z",
        requestParameters=parameters,
        **fields,
    )


def gaps(db: Database, columns: str = "missing, near_price_id") -> list[tuple[Any, ...]]:
    return rows(db, f"select {columns} from price_gaps order by token_kind, first_day")


NEAR = [
    # What the price has that the call has not, and what is missing therefore.
    ({"effective_from": "2026-11-03"}, "date"),
    ({"effective_to": "2026-11-02"}, "date"),
    ({"min_input_tokens": 1_000}, "size"),
    ({"region": "us-west-2"}, "region"),
    ({"scope": "global"}, "scope"),
    ({"service_tier": "flex"}, "tier"),
    ({"token_kind": "output"}, "kind"),
    ({"model_id": "acme.model-20250101-v1:0"}, "model"),
    ({"region": "eu-west-1", "service_tier": "batch"}, "region, tier"),
]


def test_what_is_missing(db: Database, tmp_path: Path) -> None:
    near = {}
    for number, (other, missing) in enumerate(NEAR):
        model = MODEL.replace("acme", f"acme{number}")
        sample = {"model_id": model} | other
        sample["model_id"] = sample["model_id"].replace("acme.", f"acme{number}.")
        near[model] = (missing, add(db, **sample))
    loaded(db, tmp_path, *(used(n, parameters={"modelId": m}) for n, m in enumerate(near)))
    day = "2026-11-02"
    place = ("us-east-1", "regional", "standard")
    found = {model: gap for model, *gap in gaps(db, f"model_id, {GAP}")}
    assert found == {
        model: ["input", day, day, 1, 100, *wanted, *place] for model, wanted in near.items()
    }
    shown = dict(gaps(db, "missing, near_price"))
    assert shown["tier"] == (
        "acme5.model-20260101-v1:0, us-east-1, regional, flex, input, from 2026-01-01"
    )
    ends = [row.split(",")[8] for (row,) in gaps(db, "import_row")]
    # Up to where the later price begins.
    assert sorted(ends) == ["", "", "", "", "", "", "", "", "2026-11-03"]
    assert shown["size"].endswith("input above 1000, from 2026-01-01")
    assert rows(db, "select distinct cost_usd from calls") == [(None,)]


def test_a_price_that_fits_leaves_no_gap(db: Database, tmp_path: Path) -> None:
    add(db)
    loaded(db, tmp_path, used())
    assert gaps(db) == []


# The better match, then the worse.
ORDER: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"token_kind": "output"}, {"region": "eu-west-1", "scope": "global"}),
    ({"effective_to": "2026-11-02"}, {"min_input_tokens": 1_000}),
    ({"min_input_tokens": 1_000}, {"region": "eu-west-1"}),
    ({"region": "eu-west-1"}, {"scope": "global"}),
    ({"scope": "global"}, {"service_tier": "flex"}),
    ({"service_tier": "flex"}, {"token_kind": "output"}),
    ({"region": "eu-west-1", "origin": "import"}, {"region": "us-west-2"}),
    ({"region": "us-west-2"}, {"region": "ap-south-1"}),
    ({"region": "us-east-2"}, {"region": "us-west-2"}),
    ({"min_input_tokens": 1_000}, {"min_input_tokens": 2_000}),
    (
        {"effective_to": "2026-11-01"},
        {"effective_from": "2025-01-01", "effective_to": "2026-01-01"},
    ),
    ({"effective_to": "2026-10-01"}, {"effective_from": "2026-11-03"}),
    ({"effective_from": "2026-11-03"}, {"effective_from": "2026-12-01"}),
    ({"token_kind": "output"}, {"token_kind": "cache_read"}),
    ({"region": "us-west-2"}, {"region": "us-west-2", "model_id": "acme.model"}),
]


def test_the_nearest_is_defined(db: Database, tmp_path: Path) -> None:
    nearest = {}
    for number, (near, far) in enumerate([*ORDER, *ORDER]):
        model = MODEL.replace("model", f"model{number}")
        prices = (near, far) if number < len(ORDER) else (far, near)
        for price in prices:
            named = price.get("model_id", MODEL).replace("model", f"model{number}")
            price_id = add(db, **(price | {"model_id": named}))
            if price is near:
                nearest[model] = price_id
    loaded(db, tmp_path, *(used(n, parameters={"modelId": m}) for n, m in enumerate(nearest)))
    assert dict(gaps(db, "model_id, near_price_id")) == nearest


def test_a_corrected_price_is_near_nothing(db: Database, tmp_path: Path) -> None:
    add(db, region="us-west-2", corrected_on="2026-11-01")
    loaded(db, tmp_path, used())
    assert gaps(db) == [("model", None)]


def test_no_commercial_price_fits_govcloud(db: Database, tmp_path: Path) -> None:
    near = add(db, region="*")
    loaded(db, tmp_path, used(awsRegion="us-gov-west-1"))
    assert gaps(db) == [("region", near)]


def test_a_gap_lasts_while_its_nearest_price_is_the_same(db: Database, tmp_path: Path) -> None:
    early = add(db, region="us-west-2", effective_to="2026-11-04")
    late = add(db, region="us-west-2", effective_from="2026-11-04")
    days = ("2026-11-01", "2026-11-03", "2026-11-04", "2026-11-20")
    # Two ids as sent stand for the same model.
    sent = (MODEL, f"us.{MODEL}", MODEL, f"us.{MODEL}")
    calls = [
        used(number, day=day, parameters={"modelId": model})
        for number, (day, model) in enumerate(zip(days, sent, strict=True))
    ]
    loaded(db, tmp_path, *calls)
    assert gaps(db, "first_day, last_day, calls, near_price_id") == [
        ("2026-11-01", "2026-11-03", 2, early),
        ("2026-11-04", "2026-11-20", 2, late),
    ]
    # Rates for both can be imported together.
    days_of = [tuple(row.split(",")[7:9]) for (row,) in gaps(db, "import_row")]
    assert days_of == [("2026-11-01", "2026-11-04"), ("2026-11-04", "")]


def test_calls_without_any_count_are_a_gap(db: Database, tmp_path: Path) -> None:
    near = add(db, region="us-west-2")
    add(db, region="us-east-1", model_id="acme.priced")
    loaded(
        db,
        tmp_path,
        call(1, requestParameters={"modelId": MODEL}),
        call(2, requestParameters={"modelId": "acme.priced"}),
        call(3, requestParameters=None),
        call(4, requestParameters={"modelId": "arn:aws:bedrock:us-east-1:111122223333:"
                                              "application-inference-profile/abcdefghij12"}),
    )  # fmt: skip
    found = rows(
        db, "select model_id, calls, tokens, missing, near_price_id, command from price_gaps"
    )
    assert sorted(found) == [
        ("(not stated)", 1, None, "model", None, None),
        ("abcdefghij12", 1, None, "model", None, "bedrock-usage sync --source catalogue"),
        (MODEL, 1, None, "region", near, "bedrock-usage prices import FILE"),
    ]


UNPRICED = st.fixed_dictionaries(
    {
        "day": st.sampled_from(["2026-11-01", "2026-11-02", "2026-11-03"]),
        "region": st.sampled_from(["us-east-1", "eu-west-1"]),
        "model": st.sampled_from([MODEL, f"global.{MODEL}", "acme.model-x"]),
        "tokens": st.one_of(st.none(), st.tuples(st.integers(0, 3000), st.integers(0, 9))),
        "cache": st.one_of(st.none(), st.tuples(st.integers(0, 9), st.integers(0, 9))),
        "tier": st.sampled_from([None, "flex"]),
    }
)
PRICE = st.fixed_dictionaries(
    {
        "region": st.sampled_from(["us-east-1", "eu-west-1", "*"]),
        "scope": st.sampled_from(["regional", "global"]),
        "service_tier": st.sampled_from(["standard", "flex"]),
        "token_kind": st.sampled_from(["input", "output", "cache_read", "cache_write_5m"]),
        "min_input_tokens": st.sampled_from([0, 1_000]),
        "effective_from": st.sampled_from(["2026-10-01", "2026-11-02", "2026-11-03"]),
    }
)


# Each round opens a warehouse: a failure is not made smaller.
@settings(max_examples=rounds(6, 300), phases=[Phase.generate])
@given(
    used=st.lists(UNPRICED, min_size=3, max_size=9),
    listed=st.lists(PRICE, max_size=5, unique_by=lambda price: tuple(price.values())),
)
def test_the_gaps_are_all_that_is_unpriced_and_their_rows_price_it(
    new_warehouse: Callable[[], AbstractContextManager[Database]],
    tmp_path_factory: pytest.TempPathFactory,
    used: list[dict[str, Any]],
    listed: list[dict[str, Any]],
) -> None:
    folder = tmp_path_factory.mktemp("gaps")
    with new_warehouse() as db:
        for price in listed:
            add(db, **price)
        records = [
            logged(
                number,
                timestamp=f"{one['day']}T10:00:00Z",
                region=one["region"],
                modelId=one["model"],
                tokens=one["tokens"],
                cache=one["cache"],
                serviceTier={"type": one["tier"]} if one["tier"] else None,
            )
            for number, one in enumerate(used)
        ]
        load(db, write_invocation_log(folder / "log.jsonl", records))
        total = rows(db, "select coalesce(sum(unpriced_tokens), 0) from unpriced_usage")
        assert rows(db, "select coalesce(sum(tokens), 0) from price_gaps") == total
        unpriced = rows(db, "select coalesce(sum(unpriced_calls), 0) from unpriced_usage")[0][0]
        written = rows(db, "select import_row from price_gaps")
        assert bool(written) == bool(total[0][0] or unpriced)
        if not written:
            return
        file = folder / "rates.csv"
        text = "\n".join(row for (row,) in written if row)
        text = text.replace("USD_PER_MTOK", "2000000").replace("SOURCE", "test")
        file.write_text(",".join(COLUMNS) + "\n" + text + "\n")
        import_prices(db, file, regions=["us-east-1", "eu-west-1"], force_new=True)
        assert rows(db, "select * from price_gaps where tokens > 0") == []


def test_reports_name_the_gaps(db: Database, tmp_path: Path) -> None:
    path = tmp_path / "warehouse.db"

    def run(*words: str) -> Any:
        return CliRunner().invoke(main, [*words, "--db", str(path)])

    assert run("report", "gaps").stderr.strip() == NO_GAPS
    add(db, region="us-west-2")
    loaded(db, tmp_path, used())
    renew_costs(db)
    table = run("report", "gaps").stdout
    assert (
        "region" in table and f"{MODEL},us-east-1,regional,standard,input,0,USD_PER_MTOK" in table
    )
    (row,) = json.loads(run("report", "gaps", "--format", "json").stdout)["rows"]
    assert (row["missing"], row["tokens"]) == ("region", 100)
    assert run("report", "gaps", "--since", "2026-11-03", "--format", "csv").stdout.strip() == ""
    assert run("report", "gaps", "--user", "alice").exit_code == 2
    explained = json.loads(run("inspect", str(tmp_path / "log.json"), "--format", "json").stdout)
    lines = {line["field"]: line for line in explained["events"][0]["understood"]}
    assert lines["price of input"]["value"] is None
    assert lines["nearest price"]["value"] == 1
    assert f"not used: another region: {MODEL}, us-west-2" in lines["nearest price"]["how"]
    for shown in (run("status"), run("report", "users")):
        assert "report gaps" in shown.stdout
