"""How each rate of a model changed, and which one is in force."""

from __future__ import annotations

import csv
import io
import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlite_utils import Database

from etl.cli import main
from etl.errors import DataError
from etl.show.prices import rate_text
from etl.warehouse.price_file import PriceRow
from etl.warehouse.read.prices import price_history

MODEL = "acme.model-v1:0"
TODAY = date(2026, 11, 29)
RATE = PriceRow(
    MODEL, "*", "regional", "standard", "input", 0, 1, "2026-01-01", None, "test", "2026-11-01"
)


def add(db: Database, origin: str, corrected_on: str | None = None, **fields: Any) -> int:
    """Add a rate, and return its price_id."""
    row = RATE._asdict() | {"origin": origin, "corrected_on": corrected_on} | fields
    names, marks = ", ".join(row), ", ".join("?" * len(row))
    return db.execute(f"insert into prices ({names}) values ({marks})", [*row.values()]).lastrowid


def history(db: Database, **options: Any) -> list[tuple[Any, ...]]:
    shown = ("price_id", "usd_per_mtok", "state", "replaced_price_id")
    found = price_history(db, MODEL, today=TODAY, **options)
    return [tuple(row[name] for name in shown) for row in found]


def test_a_rate_s_changes_in_order(db: Database) -> None:
    first = add(db, "seed", usd_per_mtok=9, effective_to="2026-06-01")
    second = add(db, "seed", usd_per_mtok=8, effective_from="2026-06-01")
    wrong = add(
        db, "price_list", usd_per_mtok=70, effective_from="2026-08-01", corrected_on="2026-08-03"
    )
    right = add(db, "price_list", usd_per_mtok=7, effective_from="2026-08-01")
    own = add(db, "import", usd_per_mtok=5, effective_from="2026-08-01", effective_to="2026-11-29")
    later = add(db, "import", usd_per_mtok=4, effective_from="2026-12-01")
    assert history(db) == [
        (first, 9, "ended", None),
        (second, 8, "superseded", first),
        (wrong, 70, "corrected", None),
        (right, 7, "in force", wrong),
        (own, 5, "ended", right),
        (later, 4, "to come", own),
    ]


def test_each_use_and_class_has_its_own_history(db: Database) -> None:
    listed = add(db, "import")
    own = add(db, "import", rate_class="negotiated")
    there = add(db, "seed", region="eu-west-1")
    other = add(db, "seed", region="us-gov-west-1", token_kind="output")
    assert {row[0]: row[2:] for row in history(db)} == dict.fromkeys(
        (listed, own, there, other), ("in force", None)
    )
    # What is for any region applies in each but GovCloud's.
    assert {row[0] for row in history(db, regions=["eu-west-1"])} == {listed, own, there}
    assert {row[0] for row in history(db, regions=["us-gov-west-1"])} == {other}
    with pytest.raises(DataError, match=r"no rate .* applies in us-gov-east-1; leave out --region"):
        history(db, regions=["us-gov-east-1"])


def test_the_command_takes_any_id_and_says_what_is_near(tmp_path: Path) -> None:
    def run(*words: str) -> Any:
        return CliRunner().invoke(
            main, ["prices", "history", *words, "--db", str(tmp_path / "w.db")]
        )

    sent = "arn:aws:bedrock:us-east-1::inference-profile/us.anthropic.claude-3-haiku-20240307-v1:0"
    ids = {row["price_id"] for row in json.loads(run(sent, "--format", "json").stdout)["rows"]}
    plain = list(
        csv.DictReader(io.StringIO(run(sent.rpartition("/")[2], "--format", "csv").stdout))
    )
    assert {int(row["price_id"]) for row in plain} == ids
    table = run(sent).stdout
    assert "in force" in table and "checked 20" in table and " 0.25 " in table

    slip = run("anthropic.claude-3-hiaku-20240307-v1:0")
    assert slip.exit_code == 1
    assert "did you mean anthropic.claude-3-haiku-20240307-v1:0" in slip.stderr
    assert "prices list" in run("acme.nothing").stderr


@pytest.mark.parametrize(
    ("micro", "text"), [(0, "0.00"), (3_300_000, "3.30"), (26_004, "0.026004"), (None, "–")]
)
def test_a_rate_is_shown_exactly(micro: int | None, text: str) -> None:
    assert rate_text(micro) == text
