"""What calls cost, from an empty warehouse: by region, by the ids a model is sent under, by kind.

The prices are those of a model's region on the day; the costs are written out by hand.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from sqlite_utils import Database

from etl.show.report import build_report, print_table
from etl.warehouse.prices import ensure_list_prices
from etl.warehouse.read.reports import Filters, run_report
from tests.support import call, load, rows, write_log

Cost = Callable[..., Any]


@pytest.fixture
def usd(db: Database, tmp_path: Path) -> Cost:
    """Return a function from a call to what it costs, in whole micro-dollars."""
    numbers = iter(range(1, 1_000))

    def cost(model: str, region: str, tokens: dict[str, int], **fields: Any) -> float | None:
        number = next(numbers)
        record = call(number, awsRegion=region, requestParameters={"modelId": model, **fields})
        record["additionalEventData"] = tokens
        load(db, write_log(tmp_path / f"{number}.json", [record]))
        ((amount,),) = rows(
            db, f"select cost_picodollars from calls where event_id = '{record['eventID']}'"
        )
        return None if amount is None else amount / 10**6

    return cost


MILLION = {"inputTokens": 1_000_000, "outputTokens": 1_000_000}


COSTS = [
    # Portkey and truefoundry: in and out
    ("mistral.mistral-large-3-675b-instruct", "sa-east-1", 0.61 + 1.82),
    ("zai.glm-4.7", "ap-southeast-2", 0.618 + 2.266),
    ("minimax.minimax-m2", "eu-west-2", 0.47 + 1.86),
    ("amazon.nova-lite-v1:0", "eu-west-1", 0.069 + 0.276),
    # A profile bills the region that was called; the United States stay as they were.
    ("eu.amazon.nova-pro-v1:0", "eu-west-3", 1.18 + 4.72),
    ("qwen.qwen3-32b-v1:0", "us-east-2", 0.15 + 0.6),
    # The same models on the mantle endpoint, under other ids
    ("openai.gpt-oss-120b", "eu-west-2", 0.23 + 0.93),
    ("openai.gpt-oss-120b", "us-east-1", 0.15 + 0.6),
    ("deepseek.v3.1", "ap-south-1", 0.6824 + 1.9767),
    ("qwen.qwen3-vl-235b-a22b-instruct", "eu-south-1", 0.62 + 3.13),
    # Ids with another date format, without a date, with a prefix of both Americas
    ("openai.gpt-5.4-2026-03-05", "us-east-1", 5.5 + 24.75),  # above 272K
    ("anthropic.claude-opus-4-6", "eu-west-1", 5.5 + 27.5),
    ("anthropic.claude-opus-4-5", "us-east-1", 5.5 + 27.5),
    ("us.anthropic.claude-sonnet-4-5", "us-east-1", 3.3 + 16.5),
    ("amer.anthropic.claude-sonnet-4-20250514-v1:0", "ca-central-1", 3 + 15),
]


def test_a_call_costs_what_its_region_charges(usd: Cost) -> None:
    found = {(model, region): usd(model, region, MILLION) for model, region, _ in COSTS}
    assert found == {(model, region): round(dollars * 10**6) for model, region, dollars in COSTS}


def test_a_region_without_a_price_gets_no_other_regions(usd: Cost) -> None:
    for model, region in (
        ("openai.gpt-oss-20b-1:0", "af-south-1"),
        ("zai.glm-5", "eu-west-3"),
        ("amazon.titan-embed-text-v1", "us-west-1"),
        ("qwen.qwen3-32b", "ap-southeast-5"),
    ):
        assert usd(model, region, {"inputTokens": 1_000_000}) is None
    # Never that of a similar version, and no other tier's.
    assert usd("anthropic.claude-opus-4-9", "us-east-1", MILLION) is None
    assert usd("anthropic.claude-sonnet-4-5-20270101-v1:0", "us-east-1", MILLION) is None
    assert usd("qwen.qwen3-32b-v1:0", "us-east-1", MILLION, serviceTier="flex") is not None
    assert usd("qwen.qwen3-32b-v1:0", "eu-west-2", MILLION, serviceTier="flex") is None


def test_what_lacks_a_price_is_named_with_its_region_and_the_way_to_add_it(
    db: Database, usd: Cost, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    usd("zai.glm-5", "eu-west-3", MILLION)
    text = io.StringIO()
    print_table(build_report(db, "users", Filters()), Console(file=text, width=200))
    assert "No price for zai.glm-5 in eu-west-3." in text.getvalue()
    assert "`bedrock-usage prices import`" in text.getvalue()
    (row,) = run_report(db, "status_unpriced", {})
    assert (row["model_id"], row["region"]) == ("zai.glm-5", "eu-west-3")


def test_a_cache_write_of_30_minutes_is_priced_as_the_ordinary_one(db: Database, usd: Cost) -> None:
    # genai-prices regional.openai.gpt-5.6-terra: 2.75 a million written to the cache
    writes = {"inputTokens": 0, "outputTokens": 0, "cacheWriteInputTokens": 100_000}
    assert usd("openai.gpt-5.6-terra", "eu-central-1", writes) == 275_000
    ((kind,),) = rows(
        db,
        "select token_kind from prices join calls on price_id = cache_write_5m_price_id",
    )
    assert kind == "cache_write_30m"
    # A model's own 5-minute rate comes first, whatever its origin.
    db.execute(
        "insert into prices (model_id, region, scope, service_tier, token_kind, min_input_tokens,"
        " usd_per_mtok, effective_from, source, checked_on, origin) values ('openai.gpt-5.6-terra',"
        " '*', 'regional', 'standard', 'cache_write_5m', 0, 5, '2023-01-01', 't', '2026-11-01',"
        " 'seed')"
    )
    assert rows(db, "select distinct cache_write_5m_rate from int_rates") == [(5,)]


def test_plain_tokens_of_a_speech_model_stay_unpriced(usd: Cost) -> None:
    for model in ("amazon.nova-sonic-v1:0", "amazon.nova-2-sonic-v1:0", "amazon.nova-2-5-sonic"):
        assert usd(model, "us-east-1", MILLION) is None


def test_the_names_of_stored_models_are_read_again_with_new_prices(db: Database, usd: Cost) -> None:
    model = "amer.anthropic.claude-sonnet-4-20250514-v1:0"
    assert usd(model, "ca-central-1", MILLION) == 18_000_000
    db.execute("update models set canonical_model_id = model_id")
    db.execute("update model_price_ids set price_model_id = 'amer.' || price_model_id")
    db.execute("delete from seeds")
    ensure_list_prices(db)
    assert rows(db, "select model_id, cost_picodollars from calls") == [
        (model.removeprefix("amer."), 18 * 10**12)
    ]
