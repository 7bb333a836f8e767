"""AWS's Price List: each price is of exactly one model and kind, or is listed with the reason."""

from __future__ import annotations

import csv
import functools
import io
import re
from collections.abc import Iterator, Mapping
from datetime import date
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlite_utils import Database

from etl import resources
from etl.errors import DataError
from etl.normalise.offer_files import SERVICE_CODES, OfferPrice, parse_offer, parse_products
from etl.normalise.price_list import (
    Book,
    Excluded,
    Key,
    Listed,
    Unclear,
    classify,
    snapshots,
)
from etl.normalise.price_list_tables import parse_tables
from etl.warehouse.price_file import PriceRow, parse_prices
from etl.warehouse.price_sync import known_book, price_list_tables, sync_prices
from tests.cases import cases
from tests.prices.offer_files import (
    BEDROCK,
    FOUNDATION,
    PREFIXES,
    SERVICE,
    Product,
    items,
    offer,
    offer_bytes,
    per,
    sold_as,
)
from tests.rounds import rounds, some
from tests.support import rows

TABLES = price_list_tables()
SEEDS = resources.SQL / "seeds"
NOVA_PRO, KIMI = "amazon.nova-pro-v1:0", "moonshotai.kimi-k3"
SONNET, OPUS = "anthropic.claude-sonnet-4-5-20250929-v1:0", "anthropic.claude-opus-4-7"
ASTRA = "openai.gpt-6-astra"


@functools.cache
def seed() -> tuple[PriceRow, ...]:
    return tuple(parse_prices((SEEDS / "list_prices.csv").read_text()))


BOOK = Book(
    {row.model_id for row in seed()},
    # Those of the past among them.
    {row.model_id: {row.min_input_tokens} for row in seed() if row.min_input_tokens},
    {row.model_id for row in seed() if row.token_kind == "text_input"},
)


def table(name: str) -> list[dict[str, str]]:
    text = (SEEDS / f"price_list_{name}.csv").read_text()
    return list(csv.DictReader(io.StringIO(text)))


def price(product: Product) -> OfferPrice:
    return parse_offer(offer_bytes(BEDROCK, [product])).prices[0]


def meaning(product: Product, book: Book = BOOK) -> Listed | Excluded | Unclear:
    return classify(price(product), TABLES, book)


def key(
    model: str, kind: str, tier: str = "standard", scope: str = "regional", above: int = 0
) -> Key:
    return Key(model, scope, tier, kind, above)


def named(model: str, **more: str) -> dict[str, str]:
    return {"model": model, **more}


class Example(NamedTuple):
    """A usage type as AWS writes it, and what it means: a key and a rate, or why it has none."""

    product: Product
    means: tuple[Key, int] | str


CUSTOM = "a customised model has prices of its own"
RESERVED = "reserved capacity is paid by the hour, not by use"
ONE_M = "1M tokens"
NOVA = named("Nova Pro", provider="Amazon", feature="On-demand Inference")
K3 = named("Kimi K3", provider="Moonshot AI")
S45, O47 = sold_as("Claude Sonnet 4.5"), sold_as("Claude Opus 4.7")
A6 = sold_as("OpenAI GPT-6 Astra")

EXAMPLES = [
    Example(Product(usage_type, usd, unit, attributes), means)
    for usage_type, usd, unit, attributes, means in [
        ("USE1-NovaPro-input-tokens", "0.0008000000", "1K tokens", NOVA | {"inferenceType": "Input tokens"},
         (key(NOVA_PRO, "input"), 800_000)),
        ("USE1-NovaPro-output-tokens", "0.0032000000", "1K tokens", NOVA,
         (key(NOVA_PRO, "output"), 3_200_000)),
        ("USE1-NovaPro-cache-read-input-token-count", "0.0002000000", "1K tokens", {},
         (key(NOVA_PRO, "cache_read"), 200_000)),
        ("USE1-NovaPro-cache-write-input-token-count", "0.0000000000", "1K tokens", {},
         (key(NOVA_PRO, "cache_write_5m"), 0)),
        ("USE1-NovaPro-input-tokens-batch", "0.0004", "1K tokens", {"feature": "Batch Inference"},
         (key(NOVA_PRO, "input", "batch"), 400_000)),
        ("USE1-NovaPro-input-tokens-priority", "0.0014", "1K tokens", NOVA | {"inferenceType": "Input tokens priority"},
         (key(NOVA_PRO, "input", "priority"), 1_400_000)),
        ("USE1-NovaPro-output-tokens-flex", "0.0016", "1K tokens", {},
         (key(NOVA_PRO, "output", "flex"), 1_600_000)),
        ("USE1-NovaPro-input-tokens-custom-model", "0.0008", "1K tokens", {"feature": "Model Customization"}, CUSTOM),
        ("USW2-Nova2.0Lite-input-tokens-priority-cross-region-global", "0.000525", "1K tokens", named("Nova 2.0 Lite"),
         (key("amazon.nova-2-lite-v1:0", "input", "priority", "global"), 525_000)),
        ("USE1-Nova2.0Lite-cache-read-input-token-count-cross-region-global", "0.000075", "1K tokens", {"inferenceType": ""},
         (key("amazon.nova-2-lite-v1:0", "cache_read", scope="global"), 75_000)),
        ("USW2-moonshotai.kimi-k3-mantle-input-tokens-standard", "0.0033", "1K tokens", K3 | {"service_tier": "standard"},
         (key(KIMI, "input"), 3_300_000)),
        ("USW2-moonshotai.kimi-k3-mantle-input-tokens-global-flex", "0.0015", "1K tokens", K3 | {"service_tier": "global-flex"},
         (key(KIMI, "input", "flex", "global"), 1_500_000)),
        ("USW2-moonshotai.kimi-k3-mantle-cache-write-tokens-30m-standard", "0.004125", "1K tokens", K3,
         (key(KIMI, "cache_write_30m"), 4_125_000)),
        ("USE1-xai.grok-4.7-mantle-input-tokens-priority", "4.4", ONE_M, named("xai.grok-4.7"),
         (key("xai.grok-4.7", "input", "priority"), 4_400_000)),
        ("USW2-Claude4.5Haiku-input-tokens-cross-region-global", "0.001", "1K tokens", {},
         (key("anthropic.claude-haiku-4-5-20251001-v1:0", "input", scope="global"), 1_000_000)),
        ("USE1-Claude4.5Haiku-output-token-count", "0.0055", "1K tokens", {},
         (key("anthropic.claude-haiku-4-5-20251001-v1:0", "output"), 5_500_000)),
        ("USE1-Claude4.6Opus-cache-write-1h-input-token-count", "0.011", "1K tokens", {},
         (key("anthropic.claude-opus-4-6-v1", "cache_write_1h"), 11_000_000)),
        ("USE1-Claude4Sonnet-cache-write-input-token-count-1-hour", "0.006", "1K tokens", {},
         (key("anthropic.claude-sonnet-4-20250514-v1:0", "cache_write_1h"), 6_000_000)),
        ("USE1-NovaReel-T2V-Medfps-HDRes", "0.08", "Second", {}, "two models have this name"),
        ("USE1-TitanEmbeddingV2-Text-input-tokens", "0.00002", "1K tokens", {},
         (key("amazon.titan-embed-text-v2:0", "input"), 20_000)),
        ("USE1-NovaCanvas-T2I-1024-Standard", "0.04", "image", {},
         (key("amazon.nova-canvas-v1:0", "image_1024x1024_standard"), 40_000_000_000)),
        ("USE1-Nova2.0Omni-input-audio-token-count", "0.001", "1K tokens", {"inferenceType": "Input Audio Token Count"},
         (key("amazon.nova-2-omni-v1:0", "audio_input"), 1_000_000)),
        ("USE1-Nova2.0Lite-ProvisionedThroughput-NoCommit-ModelUnits", "60.50", "hour",
         {"feature": "Provisioned Throughput Inference - no commit"},
         "provisioned throughput is paid by the hour, not by use"),
        ("EUW2-Guardrail-SensitiveInformationPolicyPaidUnitsConsumed", "0.0001", "1 unit", {},
         (key("amazon.bedrock-guardrails", "guardrail_sensitive_information"), 100_000_000)),
        ("USE1-Guardrail-ContextualGroundingPolicyUnitsConsumed", "0.0001", "1 unit", {},
         (key("amazon.bedrock-guardrails", "guardrail_contextual_grounding"), 100_000_000)),
        ("USE1-Guardrail-ContentPolicyImageUnitsConsumed", "0.00075", "Images Processed", {},
         (key("amazon.bedrock-guardrails", "guardrail_content_image"), 750_000_000)),
        ("USE1-Guardrail-WordPolicyUnitsConsumed", "0", "1 unit", {}, "free of charge"),
        ("USE1-GuardrailChecks-PromptAttackCheckUnitsConsumed", "0.00008", "1 unit", {},
         "no policy whose units a call reports"),
        ("USE1-MP:USE1_InputTokenCount-Units", "3.3", ONE_M, S45, (key(SONNET, "input"), 3_300_000)),
        ("USE1-MP:USE1_InputTokenCount_Global-Units", "3.0", ONE_M, S45, (key(SONNET, "input", scope="global"), 3_000_000)),
        ("USE1-MP:USE1_InputTokenCount_Batch-Units", "1.65", ONE_M, S45, (key(SONNET, "input", "batch"), 1_650_000)),
        ("USE1-MP:USE1_InputTokenCount_Global_Batch-Units", "1.5", ONE_M, S45,
         (key(SONNET, "input", "batch", "global"), 1_500_000)),
        ("USE1-MP:USE1_CacheReadInputTokenCount-Units", "0.33", ONE_M, S45, (key(SONNET, "cache_read"), 330_000)),
        ("USE1-MP:USE1_CacheWriteInputTokenCount-Units", "4.125", ONE_M, S45, (key(SONNET, "cache_write_5m"), 4_125_000)),
        ("USE1-MP:USE1_CacheWrite1hInputTokenCount_Global-Units", "6.0", ONE_M, S45,
         (key(SONNET, "cache_write_1h", scope="global"), 6_000_000)),
        ("USW2-MP:USW2_OutputTokenCount_LatencyOptimized-Units", "5", ONE_M, sold_as("Claude 3.5 Haiku"),
         (key("anthropic.claude-3-5-haiku-20241022-v1:0", "output", "latency"), 5_000_000)),
        ("USE1_InputTokenCount_LCtx", "22", ONE_M, A6, (key(ASTRA, "input", above=272_000), 22_000_000)),
        ("USE1_InputTokenCount_LCtx_Global", "20", ONE_M, A6,
         (key(ASTRA, "input", scope="global", above=272_000), 20_000_000)),
        ("USE1-MP:USE1_input_tokens_standard-Units", "5.5", ONE_M, O47, (key(OPUS, "input"), 5_500_000)),
        ("USE1-MP:USE1_input_tokens_global_standard-Units", "5.0", ONE_M, O47, (key(OPUS, "input", scope="global"), 5_000_000)),
        ("USE1-MP:USE1_output_tokens_batch-Units", "13.75", ONE_M, O47, (key(OPUS, "output", "batch"), 13_750_000)),
        ("USE1-MP:USE1_cache_write_tokens_1h_global_standard-Units", "10", ONE_M, O47,
         (key(OPUS, "cache_write_1h", scope="global"), 10_000_000)),
        ("USW2-MP:USW2_input_tokens_long_ctx_standard-Units", "22", ONE_M, A6, (key(ASTRA, "input", above=272_000), 22_000_000)),
        ("USW2-MP:USW2_cache_write_tokens_30m_long_ctx_global_standard-Units", "25", ONE_M, A6,
         (key(ASTRA, "cache_write_30m", scope="global", above=272_000), 25_000_000)),
        ("USW2-MP:USW2_Reserved_1Month_InputTPM_Geo-Units", "0.066", "1M TPM Hour", S45, RESERVED),
        ("USE1-MP:USE1_search_units-Units", "0.002", "1 unit", sold_as("Cohere Rerank v3.5"),
         (key("cohere.rerank-v3-5:0", "search_unit"), 2_000_000_000)),
        ("USE1-MP:USE1_created_image-Units", "0.08", "image", sold_as("Stable Diffusion 3 Large v1.0"),
         (key("stability.sd3-large-v1:0", "image"), 80_000_000_000)),
        ("USE1-MP:USE1_CreatedImage-Units", "0.08", "image", sold_as("Stable Diffusion 3 Large v1.0"),
         (key("stability.sd3-large-v1:0", "image"), 80_000_000_000)),
        ("USE1-reserved-1-month-input-tokens-per-minute-cross-region-geo", "0.1", "1M TPM hour", {}, RESERVED),
    ]
]  # fmt: skip


@cases("example", EXAMPLES)
def test_each_usage_type_that_was_seen_has_its_price_or_its_reason(example: Example) -> None:
    found = meaning(example.product)
    if isinstance(example.means, str):
        assert found == Excluded(example.means)
    else:
        assert found == Listed(*example.means)


def test_each_rule_has_an_example_that_no_rule_before_it_takes() -> None:
    for row in table("usage_types"):
        taken = next(
            rule
            for rule in TABLES.rules
            if rule.attribute == row["attribute"] and rule.pattern.fullmatch(row["example"])
        )
        assert taken.pattern.pattern == row["pattern"], row["example"]
        assert bool(row["excluded"]) != bool(row["token_kind"]), row


def test_each_name_is_of_one_model_that_the_book_has() -> None:
    for row in table("models"):
        assert bool(row["model_id"]) != bool(row["excluded"]), row
        assert row["model_id"] in ("", *BOOK.models), row
    everything = [
        row for name in ("usage_types", "words", "models", "units") for row in table(name)
    ]
    assert all(row["source"] and row["checked_on"] for row in everything)


def test_a_name_of_two_models_is_refused() -> None:
    texts = [
        (SEEDS / f"price_list_{name}.csv").read_text()
        for name in ("usage_types", "words", "models", "units")
    ]
    twice = (
        f"name,nova  PRO,amazon.nova-lite-v1:0,,test,2026-11-29\n{texts[2].partition(chr(10))[2]}"
    )
    texts[2] = f"{texts[2].partition(chr(10))[0]}\n{twice}"
    with pytest.raises(DataError, match="nova pro"):
        parse_tables(*texts)


TIERS = {"standard", "batch", "flex", "priority"}
KINDS = {"input", "output", "cache_read", "cache_write_5m", "cache_write_30m", "cache_write_1h"}
LASTING = ("30m", "1h")
STYLES = ("id", "token", "camel", "snake")


@functools.cache
def names(attribute: str) -> Mapping[str, str]:
    """Return a name of this kind for each model that has one."""
    return {
        row["model_id"]: row["name"] for row in table("models") if row["attribute"] == attribute
    }


def words(row: PriceRow, *, long: str, world: str, tier: str) -> list[str]:
    return [
        *([long] if row.min_input_tokens else []),
        *([world] if row.scope == "global" else []),
        *([tier] if tier else []),
    ]


def in_style(row: PriceRow, style: str, prefix: str) -> Product | None:
    """Return the product that AWS would sell at this rate; None if it has no such form."""
    kind, _, ttl = row.token_kind.partition("_write_")
    base = "cache_write" if ttl else kind
    if style == "id":
        form = {
            "input": "input-tokens",
            "output": "output-tokens",
            "cache_read": "cache-read-tokens",
        }
        parts = words(row, long="long-ctx", world="global", tier=row.service_tier)
        ending = [form.get(base, "cache-write-tokens"), *([ttl] if ttl in LASTING else []), *parts]
        unit = "1K tokens"
        return Product(
            f"{prefix}-{row.model_id}-mantle-{'-'.join(ending)}", per(unit, row.usd_per_mtok)
        )
    if style == "token":
        form = {
            "input": "input-tokens",
            "output": "output-tokens",
            "cache_read": "cache-read-input-token-count",
        }
        tier = "" if row.service_tier == "standard" else row.service_tier
        parts = words(row, long="long-context", world="", tier=tier)
        ending = [form.get(base, "cache-write-input-token-count"), *filter(None, parts)]
        ending += ["cross-region-global"] if row.scope == "global" else []
        token = names("usagetype").get(row.model_id)
        usd = per("1K tokens", row.usd_per_mtok)
        return (
            Product(f"{prefix}-{token}-{'-'.join(ending)}", usd)
            if token and ttl not in LASTING
            else None
        )
    name = names("name").get(row.model_id)
    if name is None:
        return None
    if style == "camel":
        if row.service_tier not in ("standard", "batch"):
            return None
        form = {
            "input": "InputTokenCount",
            "output": "OutputTokenCount",
            "cache_read": "CacheReadInputTokenCount",
        }
        write = f"CacheWrite{ttl if ttl in LASTING else ''}InputTokenCount"
        tier = "" if row.service_tier == "standard" else "Batch"
        ending = [form.get(base, write), *words(row, long="LCtx", world="Global", tier=tier)]
        said = "Million Tokens"
    else:
        form = {
            "input": "input_tokens",
            "output": "output_tokens",
            "cache_read": "cache_read_tokens",
        }
        write = f"cache_write_tokens{f'_{ttl}' if ttl in LASTING else ''}"
        ending = [
            form.get(base, write),
            *words(row, long="long_ctx", world="global", tier=row.service_tier),
        ]
        said = ""
    unit = "Units" if said else ONE_M
    description = f"AWS Marketplace software usage|{prefix}|{said}"
    return Product(
        f"{prefix}-MP:{prefix}_{'_'.join(ending)}-Units", per(ONE_M, row.usd_per_mtok), unit, sold_as(name), description=description
    )  # fmt: skip


def sellable() -> Iterator[PriceRow]:
    """Yield the rates of the book that the styles can express."""
    for row in seed():
        is_free = row.usd_per_mtok == 0 and not (
            row.model_id.startswith("amazon.nova") and "write" in row.token_kind
        )
        has_form = row.token_kind in KINDS and row.service_tier in TIERS
        is_current = row.effective_to is None and row.region in ("*", "us-east-1", "eu-west-2")
        if has_form and is_current and not is_free:
            yield row


@pytest.mark.parametrize("style", STYLES)
def test_the_book_s_own_rates_come_back_from_every_style(style: str, db: Database) -> None:
    wanted: dict[tuple[str, Key], int] = {}
    products: list[Product] = []
    models = some(sorted({row.model_id for row in sellable()}), 40)
    for row in sellable():
        region = "us-west-2" if row.region == "*" else row.region
        product = in_style(row, style, PREFIXES[region])
        if product is not None and row.model_id in models:
            products.append(product._replace(region=region))
            wanted[region, Key(row.model_id, *row[2:6])] = row.usd_per_mtok
    file = parse_offer(offer_bytes(FOUNDATION, products))
    found = snapshots(file, TABLES, known_book(db, file.published_at))
    assert [problem for snapshot in found for problem in snapshot.problems] == []
    result = sync_prices(db, found, today=date(2026, 11, 29))
    assert (result.changes, result.held, result.stopped) == ([], [], [])
    assert result.confirmed == len(wanted) > 50
    synced = rows(
        db,
        f"select region, {', '.join(Key._fields)}, usd_per_mtok from prices"
        " where origin = 'price_list'",
    )
    assert {(region, Key(*one)): usd for region, *one, usd in synced} == wanted


INPUT = Product("USE1-NovaPro-input-tokens", "0.0008")
S45_INPUT = Product("USE1-MP:USE1_InputTokenCount-Units", "3.3", ONE_M, S45)


@cases(
    ("product", "reason"),
    [
        # Units.
        (INPUT._replace(unit="2K tokens"), "the unit '2K tokens' is unknown"),
        (INPUT._replace(unit="hour"), "the unit 'hour' is unknown"),
        (INPUT._replace(unit="image"), "priced in images, not in tokens"),
        (Product("USE1-NovaCanvas-T2I-1024-Standard", "0.04"), "priced in tokens, not in images"),
        (S45_INPUT._replace(unit="Units"), "the description has none"),
        (S45_INPUT._replace(unit="Units", description="a|Model Units"), "the description has none"),
        # Prices.
        (INPUT._replace(usd="0"), "a price of zero"),
        (INPUT._replace(usd="0.00000000012"), "not a whole number"),
        (INPUT._replace(usd="-1"), "'-1' is not a price"),
        (INPUT._replace(usd="1e-3"), "'1e-3' is not a price"),
        (INPUT._replace(usd="NaN"), "'NaN' is not a price"),
        (INPUT._replace(usd="10000000"), "higher than any price"),
        (INPUT._replace(currency="CNY"), "no price in dollars"),
        (INPUT._replace(begin="1000"), "the price depends on the volume"),
        # Places.
        (INPUT._replace(region=""), "is not a region"),
        (INPUT._replace(region="us-east-1-lax-1a"), "is not a region"),
        # Names.
        (INPUT._replace(attributes=named("Nova Lite")), "its names mean different models"),
        (Product("USE1-Nova9-input-tokens", "1"), "no model is known by this name"),
        (S45_INPUT._replace(attributes=sold_as("Claude Sonnet 4.55")), "no model is known"),
        (S45_INPUT._replace(attributes=sold_as("Claude Sonnet")), "no model is known"),
        (
            Product("USE1-moonshotai.kimi-k3-mantle-input-tokens", "1", ONE_M, named("Kimi K2.5")),
            "its names mean different models",
        ),
        # Words.
        (INPUT._replace(usage_type="USE1-NovaPro-input-tokens-turbo"), "has no one meaning"),
        (INPUT._replace(usage_type="USE1-NovaPro-input-tokens-flex-batch"), "has no one meaning"),
        (INPUT._replace(usage_type="USE1-NovaPro-input-tokens-1h"), "no cache write"),
        (INPUT._replace(attributes={"service_tier": "flex"}), "service_tier contradicts"),
        (INPUT._replace(attributes={"feature": "Batch Inference"}), "feature contradicts"),
        (INPUT._replace(usage_type="USE1-NovaPro-Tokens"), "no rule for this usage type"),
        (INPUT._replace(usage_type=""), "no rule for this usage type"),
        # Long context.
        (INPUT._replace(usage_type="USE1-NovaPro-input-tokens-long-context"), "no threshold for"),
    ],
)
def test_what_is_not_certain_is_listed_with_its_reason(product: Product, reason: str) -> None:
    found = meaning(product)
    assert isinstance(found, Unclear)
    assert reason in found.reason


def test_two_thresholds_are_one_too_many() -> None:
    book = Book(BOOK.models, {NOVA_PRO: {100_000, 200_000}})
    long = INPUT._replace(usage_type="USE1-NovaPro-input-tokens-long-context")
    found = meaning(long, book)
    assert isinstance(found, Unclear)
    assert "several thresholds" in found.reason


def test_prices_are_exact() -> None:
    for usd, unit, rate in [
        ("0.0000000260", "1K tokens", 26),
        ("0.026004", ONE_M, 26_004),
        ("0.000026004", "1K tokens", 26_004),
        ("0.6824", ONE_M, 682_400),
        ("0.0008", "1000 Tokens", 800_000),
    ]:
        assert meaning(INPUT._replace(usd=usd, unit=unit)) == Listed(key(NOVA_PRO, "input"), rate)
    million = S45_INPUT._replace(unit="Units", description="AWS|x|Million Input Tokens Regional")
    assert meaning(million) == Listed(key(SONNET, "input"), 3_300_000)


def test_a_new_model_is_priced_by_its_own_id_and_an_old_spelling_by_the_right_one() -> None:
    new = Product("EUW2-acme.big-9-mantle-output-tokens-standard", "1", ONE_M, region="eu-west-2")
    assert meaning(new) == Listed(key("acme.big-9", "output"), 1_000_000)
    old = Product("USE1-zai.glm5-mantle-input-tokens-standard", "1", ONE_M, named("GLM 5"))
    assert meaning(old) == Listed(key("zai.glm-5", "input"), 1_000_000)


def test_another_id_of_a_model_has_the_model_s_price() -> None:
    mantle = Product(
        "USE1-qwen.qwen3-32b-mantle-input-tokens-standard", "0.00015", attributes=named("Qwen3 32B")
    )
    assert meaning(mantle) == Listed(key("qwen.qwen3-32b-v1:0", "input"), 150_000)


def test_text_and_speech_of_one_model_are_never_confused() -> None:
    sonic = "amazon.nova-2-sonic-v1:0"
    for word, kind in (("speech", "audio_input"), ("text", "text_input")):
        product = Product(f"USE1-NovaSonic2.0-{word}-input-tokens", "0.003")
        assert meaning(product) == Listed(key(sonic, kind), 3_000_000)
    found = meaning(Product("USE1-NovaSonic2.0-input-tokens", "0.003"))
    assert isinstance(found, Unclear)
    assert "text or speech" in found.reason
    pro = Product("USE1-Nova2.0Pro-text-input-tokens-priority-cross-region-global", "0.003")
    found = meaning(pro)
    assert isinstance(found, Listed)
    assert found.key.token_kind == "input"


def test_ireland_has_a_prefix_of_its_own_and_the_region_counts() -> None:
    ireland = INPUT._replace(usage_type="EU-NovaPro-input-tokens", region="eu-west-1")
    assert meaning(ireland) == Listed(key(NOVA_PRO, "input"), 800_000)
    assert price(ireland).region == "eu-west-1"


BASES = [one.product for one in EXAMPLES if not isinstance(one.means, str)]
SUFFIXES = (
    *("custom-model", "latency-optimized", "LatencyOptimized", "batch", "flex", "priority"),
    *("long-context", "LCtx", "global", "Reserved_1Month", "ProvisionedThroughput", "1h", "30m"),
)
ADDED = st.one_of(
    st.sampled_from(SUFFIXES),
    st.from_regex(r"[A-Za-z][A-Za-z0-9]{0,9}(?:[-_][A-Za-z0-9]{1,9})?", fullmatch=True),
)


@settings(max_examples=rounds(60, 5000))
@given(base=st.sampled_from(BASES), added=ADDED, where=st.sampled_from(("model", "words", "end")))
def test_no_other_row_is_ever_taken_for_the_base_row(base: Product, added: str, where: str) -> None:
    """The usual mistake: a customised model's row, or a latency-optimised one."""
    usage = base.usage_type.removesuffix("-Units")
    ending = base.usage_type[len(usage) :]
    mark = "_" if "_" in usage else "-"
    model = re.match(r"[A-Z0-9]+-[A-Z][A-Za-z0-9.]*(?=-)", usage)
    if where == "model" and model:
        other = f"{model[0]}{added}{usage[model.end() :]}{ending}"
    elif where == "end" and ending:
        other = f"{usage}{ending}-{added}"
    else:
        other = f"{usage}{mark}{added}{ending}"
    means = meaning(base)
    found = meaning(base._replace(usage_type=other))
    assert isinstance(means, Listed)
    if isinstance(found, Listed) and added.lower() not in ("standard", "regional", "geo", "5m"):
        assert found.key != means.key


def test_a_name_that_says_latency_is_not_the_base_row() -> None:
    row = INPUT._replace(attributes={"model": "Nova Pro Latency Optimized"})
    assert isinstance(meaning(row), Unclear)
    fast = row._replace(usage_type=f"{INPUT.usage_type}-latency-optimized")
    assert isinstance(found := meaning(fast), Listed)
    assert found.key.service_tier == "latency"


@pytest.mark.parametrize("code", SERVICE_CODES)
def test_the_file_of_each_service_is_read(code: str) -> None:
    products = {
        BEDROCK: [INPUT, INPUT._replace(usage_type="EU-NovaPro-input-tokens", region="eu-west-1")],
        FOUNDATION: [S45_INPUT],
        SERVICE: [
            Product("USE1-Claude4Sonnet-output-tokens-long-context-cross-region-global", "0.0225"),
            Product("USE1-reserved-1-month-input-tokens-per-minute", "1", "1M TPM hour"),
        ],
    }[code]
    book = Book(BOOK.models, {"anthropic.claude-sonnet-4-20250514-v1:0": {200_000}})
    file = parse_offer(offer_bytes(code, products, "2026-11-20T23"))
    assert (file.service_code, file.version) == (code, "20261120230000")
    assert file.published_at == "2026-11-20T23:00:00Z"
    found = snapshots(file, TABLES, book)
    assert [one.region for one in found] == sorted({product.region for product in products})
    assert all(one.prices for one in found)
    # The products of the API are the same.
    assert parse_products(items(code, products, "2026-11-20T23")) == file
    assert snapshots(file, TABLES, book, {"us-east-1"}) == [found[-1]]


def test_a_long_price_has_the_threshold_of_the_book() -> None:
    sonnet = "anthropic.claude-sonnet-4-20250514-v1:0"
    long = Product(
        "USE1-Claude4Sonnet-input-tokens-long-context-cross-region-global",
        "0.006",
        attributes=named("Claude Sonnet 4"),
    )
    book = Book(BOOK.models, {sonnet: {200_000}})
    assert meaning(long, book) == Listed(
        key(sonnet, "input", scope="global", above=200_000), 6_000_000
    )


@cases(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"not JSON",
        b'{"offerCode": "AmazonBedrock"}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_something_else_is_no_offer_file(content: bytes) -> None:
    with pytest.raises(DataError):
        parse_offer(content)


def test_other_services_and_odd_dates_are_refused() -> None:
    with pytest.raises(DataError, match="not of Bedrock"):
        parse_offer(offer_bytes("AmazonEC2", [INPUT]))
    odd = offer(BEDROCK, [INPUT]) | {"publicationDate": "yesterday"}
    with pytest.raises(DataError, match="is not a time"):
        parse_offer(str(odd).replace("'", '"'))
    with pytest.raises(DataError, match="GetProducts"):
        parse_products(["{}"])
    assert parse_products([]) is None


def test_reserved_terms_are_no_prices() -> None:
    file = offer(BEDROCK, [INPUT])
    file["terms"] = {"Reserved": file["terms"]["OnDemand"]}
    assert parse_offer(str(file).replace("'", '"')).prices == []


def test_two_prices_for_one_key_stop_it_and_it_alone() -> None:
    again = INPUT._replace(usage_type="USE1-NovaPro-input-tokens-standard", usd="0.0009")
    other = Product("USE1-NovaPro-output-tokens", "0.0032")
    (found,) = snapshots(parse_offer(offer_bytes(BEDROCK, [INPUT, again, other])), TABLES, BOOK)
    assert found.prices[key(NOVA_PRO, "input")].usd_per_mtok is None
    assert found.prices[key(NOVA_PRO, "output")].usd_per_mtok == 3_200_000
    assert [(one.usage_type, one.price) for one in found.problems] == [
        (INPUT.usage_type, "0.8 per million"),
        (again.usage_type, "0.9 per million"),
    ]
    same = again._replace(usd=INPUT.usd)
    (found,) = snapshots(parse_offer(offer_bytes(BEDROCK, [INPUT, same])), TABLES, BOOK)
    assert found.prices[key(NOVA_PRO, "input")].usd_per_mtok == 800_000
