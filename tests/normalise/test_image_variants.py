"""The size and quality of images: what a log with bodies shows, and what they cost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database

from etl.normalise.invocation_logs import parse_logged_call
from etl.normalise.rows import Event
from etl.warehouse.price_file import COLUMNS
from etl.warehouse.prices import import_prices
from etl.warehouse.read.inspect import read_call_prices
from tests.cases import cases
from tests.checks import failed_checks
from tests.support import call, load, logged, rows, write_invocation_log, write_log

TITAN, STABLE = "amazon.titan-image-generator-v2:0", "stability.stable-image-core-v1:1"


def image(number: int, config: object, *, model: str = TITAN, count: int = 2) -> dict[str, Any]:
    request = {"taskType": "CaNaRy", "imageGenerationConfig": config}
    return logged(
        number,
        tokens=None,
        modelId=model,
        input={"inputBodyJson": request},
        output={"outputBodyJson": {"images": ["x"] * count}},
    )


def size(width: object, height: object, **quality: Any) -> dict[str, Any]:
    return {"width": width, "height": height, "numberOfImages": 2, **quality}


@cases(
    ("config", "variant"),
    [
        (size(512, 512), "512x512_standard"),
        (size(320, 320, quality="premium"), "512x512_premium"),
        (size(513, 512), "1024x1024_standard"),
        (size(1024, 1024, quality="standard"), "1024x1024_standard"),
        (size(2048, 2048, quality="premium"), "2048x2048_premium"),
        # Its area is that of a smaller square than its side.
        (size(1280, 720), None),
        (size(4096, 4096), None), (size(512, None), None), (size("512", 512), None),
        (size(-1, 512), None), (size(512, 512, quality="CaNaRy"), None), ({}, None), (None, None),
    ],
)  # fmt: skip
def test_an_image_is_billed_up_to_a_size(config: object, variant: str | None) -> None:
    row = parse_logged_call(json.dumps(image(1, config)).encode()).row
    assert isinstance(row, Event)
    assert row.tokens
    assert (row.tokens.images, row.tokens.variant) == (2, variant)
    assert "CaNaRy" not in repr(row)


@pytest.mark.parametrize("event_first", [True, False])
def test_each_size_and_quality_has_its_own_price(
    db: Database, tmp_path: Path, event_first: bool
) -> None:
    premium = size(512, 512, quality="premium")
    log = [
        image(1, size(512, 512)), image(2, premium), image(3, size(1280, 720)),
        image(4, premium, model=STABLE), image(5, None, model=STABLE),
    ]  # fmt: skip
    trail = [call(1, requestParameters={"modelId": TITAN})]
    files = [
        write_log(tmp_path / "trail.json", trail),
        write_invocation_log(tmp_path / "log.jsonl", log),
    ]
    for file in files if event_first else reversed(files):
        load(db, file)
    # litellm 1.110.2: 512-x-512 standard, $0.008; Stable Image Core, $0.04 whatever its size.
    costs = rows(db, "select model_id, cost_usd, unpriced_tokens from calls order by 1, 2")
    assert costs == [
        (TITAN, None, 2), (TITAN, None, 2), (TITAN, 0.016, 0), (STABLE, 0.08, 0), (STABLE, 0.08, 0),
    ]  # fmt: skip
    assert rows(db, "select sum(cost_usd), sum(unpriced_tokens) from user_costs") == [(0.176, 4)]
    gaps = "select token_kind, missing, near_price, import_row from price_gaps order by 1"
    found = rows(db, gaps)
    assert [(kind, missing) for kind, missing, _, _ in found] == [
        ("image", "size"),
        ("image_512x512_premium", "size"),
    ]
    assert all("image_512x512_standard" in near for _, _, near, _ in found)
    row = found[1][3].replace("USD_PER_MTOK", "10000000000").replace("SOURCE", "test")
    (tmp_path / "own.csv").write_text(",".join(COLUMNS) + f"\n{row}\n")
    import_prices(db, tmp_path / "own.csv")
    assert [row[0] for row in rows(db, gaps)] == ["image"]
    # One's own price for any size comes before list prices, and after one's own by size.
    row = found[0][3].replace("USD_PER_MTOK", "30000000000").replace("SOURCE", "test")
    (tmp_path / "own.csv").write_text(",".join(COLUMNS) + f"\n{row}\n")
    import_prices(db, tmp_path / "own.csv")
    costs = rows(db, "select cost_usd from calls where model_id = ? order by 1", [TITAN])
    assert costs == [(0.02,), (0.06,), (0.06,)]
    assert rows(db, "select sum(cost_usd) from user_costs") == [(0.3,)]
    # Each call's price is the one that its cost has, although its model has calls of other sizes.
    for time, name, cost in rows(db, "select event_time, event_id, cost_usd from calls"):
        assert [one["cost_usd"] for one in read_call_prices(db, time, name)] == [cost]
    assert failed_checks(db) == {}
