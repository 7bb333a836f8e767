"""The list-price seed: known figures, the guarantees of the table, and how it is built.

The figures are written here by hand, in USD per million tokens, and looked up by a helper that
shares no code with the build script or the SQL.
"""

import gzip
import importlib.util
import re
from decimal import Decimal
from functools import partial
from itertools import combinations, groupby

import pytest

from etl.normalise import guardrails
from etl.normalise.discounts import TIERS
from tests.prices.seed import COLUMNS, KINDS, ROOT, ROWS, SEED, TODAY, US_REGIONS, look_up

SCRIPT = ROOT / "scripts" / "build_list_prices.py"

# (models, region, scope, "input output [cache_read [cache_write_5m [cache_write_1h]]]")
FIGURES = [
    # litellm 1.98.0 anthropic.claude-3-haiku-20240307-v1:0; genai-prices 0.2.3 regional. the same
    (["anthropic.claude-3-haiku-20240307-v1:0"], "us-east-1", "regional", ".25 1.25"),
    # litellm 1.110.2 us.anthropic.claude-3-5-haiku-20241022-v1:0; genai-prices 0.2.3 regional.
    (["anthropic.claude-3-5-haiku-20241022-v1:0"], "us-east-1", "regional", ".80 4 .08 1"),
    # litellm 1.110.2 us.anthropic.*; genai-prices 0.2.3 regional.anthropic.*
    (
        [
            "anthropic.claude-3-5-sonnet-20241022-v2:0",
            "anthropic.claude-3-7-sonnet-20250219-v1:0",
            "anthropic.claude-sonnet-4-20250514-v1:0",
        ],
        "us-east-1",
        "regional",
        "3 15 .30 3.75",
    ),
    # litellm 1.110.2 and genai-prices 0.2.3, both global.anthropic.claude-sonnet-4-20250514-v1:0
    (["anthropic.claude-sonnet-4-20250514-v1:0"], "us-east-1", "global", "3 15 .30 3.75"),
    # AWS Price List, Claude Sonnet 4.5 (Amazon Bedrock Edition): InputTokenCount 3.3,
    # CacheReadInputTokenCount 0.33, CacheWriteInputTokenCount 4.125; litellm 1.110.2 us.anthropic.*
    (
        ["anthropic.claude-sonnet-4-5-20250929-v1:0", "anthropic.claude-sonnet-4-6"],
        "us-east-1",
        "regional",
        "3.30 16.50 .33 4.125 6.60",
    ),
    # AWS Price List, Claude Sonnet 4.5: InputTokenCount_Global 3.0,
    # CacheWrite1hInputTokenCount_Global 6.0; litellm 1.110.2 global.anthropic.*
    (
        ["anthropic.claude-sonnet-4-5-20250929-v1:0", "anthropic.claude-sonnet-4-6"],
        "us-east-1",
        "global",
        "3 15 .30 3.75 6",
    ),
    # litellm 1.110.2 us. and global.anthropic.claude-haiku-4-5-20251001-v1:0; genai-prices 0.2.3
    (
        ["anthropic.claude-haiku-4-5-20251001-v1:0"],
        "us-east-1",
        "regional",
        "1.10 5.50 .11 1.375 2.20",
    ),
    (["anthropic.claude-haiku-4-5-20251001-v1:0"], "us-east-1", "global", "1 5 .10 1.25 2"),
    # litellm 1.110.2 us.anthropic.claude-opus-4-*; genai-prices 0.2.3 regional.
    (
        ["anthropic.claude-opus-4-20250514-v1:0", "anthropic.claude-opus-4-1-20250805-v1:0"],
        "us-east-1",
        "regional",
        "15 75 1.50 18.75",
    ),
    # AWS Price List, Claude Opus 4.7: input_tokens_standard 5.5, input_tokens_global_standard 5.0;
    # litellm 1.110.2 us. and global.anthropic.*; genai-prices 0.2.3 regional. and global.
    *(
        (
            [
                "anthropic.claude-opus-4-5-20251101-v1:0",
                "anthropic.claude-opus-4-6-v1",
                "anthropic.claude-opus-4-7",
                "anthropic.claude-opus-4-8",
                "anthropic.claude-opus-5",
            ],
            "us-east-1",
            scope,
            figures,
        )
        for scope, figures in (
            ("regional", "5.50 27.50 .55 6.875 11"),
            ("global", "5 25 .50 6.25 10"),
        )
    ),
    # litellm 1.110.2 us.amazon.nova-*; the Price List has NovaPro at .80, 3.20, read .20, write 0
    (["amazon.nova-micro-v1:0"], "us-east-1", "regional", ".035 .14 .00875 0"),
    (["amazon.nova-lite-v1:0"], "us-east-1", "regional", ".06 .24 .015 0"),
    (["amazon.nova-pro-v1:0"], "us-east-1", "regional", ".80 3.20 .20 0"),
    # litellm 1.98.0 us.amazon.nova-premier-v1:0, litellm 1.110.2 and genai-prices 0.2.3 without us.
    (["amazon.nova-premier-v1:0"], "us-east-1", "regional", "2.50 12.50 .625 0"),
    # litellm 1.110.2 eu.amazon.nova-*: Frankfurt's prices
    (["amazon.nova-micro-v1:0"], "eu-central-1", "regional", ".046 .184 .0115 0"),
    (["amazon.nova-lite-v1:0"], "eu-central-1", "regional", ".078 .312 .0195 0"),
    (["amazon.nova-pro-v1:0"], "eu-central-1", "regional", "1.05 4.20 .2625 0"),
    # AWS Price List, TitanEmbeddingV2-Text-input-tokens 0.00002 per 1K; litellm 1.110.2
    (["amazon.titan-embed-text-v2:0"], "us-east-1", "regional", ".02 0"),
    # litellm 1.110.2 and genai-prices 0.2.3 amazon.titan-embed-text-v1
    (["amazon.titan-embed-text-v1"], "us-east-1", "regional", ".10 0"),
    # litellm 1.110.2 us.meta.*; genai-prices 0.2.3
    (["meta.llama3-1-8b-instruct-v1:0"], "us-east-1", "regional", ".22 .22"),
    (
        ["meta.llama3-1-70b-instruct-v1:0", "meta.llama3-3-70b-instruct-v1:0"],
        "us-east-1",
        "regional",
        ".72 .72",
    ),
    # litellm 1.110.2 and genai-prices 0.2.3 mistral.mistral-large-3-675b-instruct
    (["mistral.mistral-large-3-675b-instruct"], "us-east-1", "regional", ".50 1.50"),
    # litellm 1.98.0 (retired since)
    (["cohere.command-r-v1:0"], "us-east-1", "regional", ".50 1.50"),
    (["cohere.command-r-plus-v1:0"], "us-east-1", "regional", "3 15"),
    # litellm 1.110.2 and genai-prices 0.2.3; with and without the runtime endpoint's version
    (["openai.gpt-oss-120b-1:0", "openai.gpt-oss-120b"], "us-east-1", "regional", ".15 .60"),
    (["openai.gpt-oss-20b-1:0", "openai.gpt-oss-20b"], "us-east-1", "regional", ".07 .30"),
]
KNOWN = [
    (model, region, scope, kind, usd)
    for models, region, scope, figures in FIGURES
    for model in models
    for kind, usd in zip(KINDS, figures.split(), strict=False)
]


def test_known_figures():
    wrong = [
        (model, region, scope, kind, usd, found)
        for model, region, scope, kind, usd in KNOWN
        if (found := look_up(model, region, kind, scope=scope)) != Decimal(usd)
    ]
    assert wrong == []
    assert len(KNOWN) > 150


def modern_claude(model):
    """Return whether this is Claude 4.5 or later, by its name."""
    version = re.fullmatch(r"anthropic\.claude-[a-z]+-(\d+)(?:-(\d{1,2}))?(?:-.*)?", model)
    return bool(version) and (int(version[1]), int(version[2] or 0)) >= (4, 5)


def key_of(row):
    return tuple(row[name] for name in COLUMNS[:6])


# The table


def test_columns_are_exactly_these():
    assert SEED.read_text(encoding="utf-8").splitlines()[0].split(",") == COLUMNS


def test_rates_and_thresholds_are_plain_integers():
    for row in ROWS:
        assert re.fullmatch(r"0|[1-9]\d*", row["usd_per_mtok"]), row
        assert re.fullmatch(r"0|[1-9]\d*", row["min_input_tokens"]), row


def test_a_key_comes_once():
    keys = [(*key_of(row), row["effective_from"]) for row in ROWS]
    assert len(keys) == len(set(keys))


def test_periods_of_one_key_do_not_overlap():
    day = re.compile(r"\d{4}-\d\d-\d\d")
    for _, group in groupby(sorted(ROWS, key=key_of), key=key_of):
        periods = [(row["effective_from"], row["effective_to"] or "9999") for row in group]
        assert all(day.fullmatch(start) and start < end for start, end in periods)
        for (start, end), (other_start, other_end) in combinations(periods, 2):
            assert end <= other_start or other_end <= start


def test_values_are_known_words():
    kinds = {*KINDS, "cache_write_30m", "text_input", "text_output", "audio_input", "audio_output"}
    kinds |= {"image", "image_input", "image_token_input", "image_token_output", "text_request"}
    kinds |= {"audio_second_input", "video_second_input", "video_second_540p", "video_second_720p"}
    kinds |= {"search_unit", "grounding_request"} | guardrails.PRICE_UNITS.keys()
    sized = re.compile(r"image_(max|\d+x\d+)_(standard|premium|max_steps|\d+_steps)")
    for row in ROWS:
        assert row["scope"] in ("regional", "global"), row
        assert row["service_tier"] in TIERS, row
        assert row["token_kind"] in kinds or sized.fullmatch(row["token_kind"]), row
        assert re.fullmatch(r"\*|[a-z]{2}(-gov)?-[a-z]+-\d", row["region"]), row
        assert row["min_input_tokens"] in ("0", "100000", "200000", "272000"), row


def test_every_row_says_where_it_is_from_and_when_that_was_checked():
    for row in ROWS:
        one = row["source"].removeprefix("one source: ")
        known = ("litellm ", "genai-prices ", "AWS Price List ", "AWS page copy ", "Portkey ")
        assert one.startswith((*known, "truefoundry ")), row
        assert row["checked_on"] in ("2026-11-28", TODAY), row


def test_model_ids_are_canonical():
    geo = re.compile(r"(us-gov|us|eu|apac|jp|au|ca|in|global)\.")
    for model in {row["model_id"] for row in ROWS}:
        assert "." in model and not geo.match(model), model
        assert not re.search(r"[@/]|-commitment|:\d+k$|:mm$", model), model


def test_phantom_model_is_absent():
    assert not [row for row in ROWS if "claude-3-7-sonnet-20240620" in row["model_id"]]


def test_retired_models_are_present():
    for model in (
        "anthropic.claude-3-haiku-20240307-v1:0",
        "anthropic.claude-3-sonnet-20240229-v1:0",
        "cohere.command-r-v1:0",
        "cohere.command-r-plus-v1:0",
    ):
        assert look_up(model, "eu-west-1", "input") is not None, model


# Scopes and regions


def test_regional_claude_since_4_5_is_a_tenth_above_global():
    worldwide = {key_of(r): int(r["usd_per_mtok"]) for r in ROWS if r["scope"] == "global"}
    compared = set()
    for row in ROWS:
        model, region, scope, *item = key_of(row)
        twin = worldwide.get((model, "*", "global", *item))
        if scope == "regional" and region == "*" and modern_claude(model) and twin is not None:
            assert int(row["usd_per_mtok"]) * 10 == twin * 11, row
            assert int(row["usd_per_mtok"]) != twin, row
            compared.add(model)
    both = {m for m, _, scope, *_ in worldwide if scope == "global" and modern_claude(m)}
    assert compared == both
    assert len(both) >= 15


def test_global_rows_hold_everywhere():
    assert {row["region"] for row in ROWS if row["scope"] == "global"} == {"*"}


def test_nova_where_its_price_is_not_known_is_unpriced():
    for region in ("af-south-1", "eu-central-2", "ap-southeast-5"):
        assert look_up("amazon.nova-lite-v1:0", region, "input") is None
    # litellm 1.110.2 apac.amazon.nova-lite-v1:0 and jp.amazon.nova-2-lite-v1:0
    assert look_up("amazon.nova-lite-v1:0", "ap-southeast-2", "input") == Decimal(".063")
    assert look_up("amazon.nova-2-lite-v1:0", "ap-northeast-1", "input") == Decimal(".396")
    assert look_up("amazon.nova-2-lite-v1:0", "ap-southeast-2", "input") is None


def test_a_region_with_its_own_price_never_gets_another_regions_tier():
    # ap-southeast-3 has no batch price for this model; the US has one.
    assert look_up("deepseek.v3.2", "us-east-1", "input", tier="batch") == Decimal(".31")
    assert look_up("deepseek.v3.2", "ap-southeast-3", "input") == Decimal(".74")
    assert look_up("deepseek.v3.2", "ap-southeast-3", "input", tier="batch") is None


def test_govcloud_has_its_own_prices():
    # litellm 1.110.2 bedrock/us-gov-west-1/anthropic.claude-sonnet-4-5-20250929-v1:0
    model = "anthropic.claude-sonnet-4-5-20250929-v1:0"
    assert look_up(model, "us-gov-west-1", "input") == Decimal("3.6")
    # litellm 1.110.2 us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0, until 2026-04-30
    long = look_up(model, "us-gov-east-1", "input", day="2026-01-01", total_input=200_001)
    assert long == Decimal("7.2")


def test_free_nova_cache_writes_are_zero_and_other_unknown_writes_are_absent():
    assert look_up("amazon.nova-2-lite-v1:0", "eu-west-1", "cache_write_5m", scope="global") == 0
    assert look_up("amazon.nova-pro-v1:0", "us-east-1", "cache_write_1h") is None
    assert look_up("meta.llama3-1-8b-instruct-v1:0", "us-east-1", "cache_write_5m") is None
    assert look_up("anthropic.claude-sonnet-4-20250514-v1:0", "*", "cache_write_1h") is None


def test_rerankers_are_priced_by_search_only():
    # AWS Price List, Cohere Rerank v3.5: search_units 0.002
    assert look_up("cohere.rerank-v3-5:0", "us-east-1", "search_unit") == 2000
    assert {r["token_kind"] for r in ROWS if "rerank" in r["model_id"]} == {"search_unit"}


def test_guardrails_are_priced_where_their_price_is_known() -> None:
    def price(policy: str, region: str = "us-east-2", day: str = "2026-11-28") -> Decimal | None:
        return look_up(guardrails.PRICE_MODEL, region, f"guardrail_{policy}", day=day)

    # litellm 1.110.2 bedrock/guardrails, in dollars per million units
    assert [price(one.name) for one in guardrails.POLICIES] == [150, 750, 150, 0, 100, 0, 100, 170]
    # AWS Price List, EUW2-Guardrail-ContextualGroundingPolicyUnitsConsumed
    assert price("contextual_grounding", "eu-west-2") == 100
    assert price("content", "eu-west-2") is None
    # Before the cut.
    assert price("content", day="2024-11-30") is None


def test_images_have_a_plain_price_only_if_it_is_the_only_one():
    plain = {row["model_id"] for row in ROWS if row["token_kind"] == "image"}
    sized = {row["model_id"] for row in ROWS if row["token_kind"].startswith("image_1024")}
    assert "stability.sd3-5-large-v1:0" in plain
    assert "amazon.nova-canvas-v1:0" in sized
    assert not plain & sized
    assert not [model for model in plain if model.startswith("amazon.")]


# Tiers

# Half, rounded to a cent by AWS: litellm 1.110.2, *_cost_per_token_batches
ROUNDED_HALVES = {
    ("google.gemma-3-12b-it", "us", "input"),
    ("google.gemma-3-12b-it", "us", "output"),
    ("google.gemma-3-27b-it", "us", "input"),
    ("mistral.ministral-3-8b-instruct", "us", "input"),
    ("mistral.ministral-3-8b-instruct", "us", "output"),
    ("mistral.voxtral-mini-3b-2507", "ap-northeast-1", "input"),
    ("mistral.voxtral-mini-3b-2507", "ap-northeast-1", "output"),
    ("mistral.voxtral-small-24b-2507", "eu-west-2", "output"),
    ("nvidia.nemotron-nano-9b-v2", "us", "output"),
    # 1.2 times the rounded one.
    ("nvidia.nemotron-nano-9b-v2", "us-gov", "output"),
    ("openai.gpt-oss-safeguard-120b", "us", "input"),
    ("openai.gpt-oss-safeguard-20b", "us", "input"),
    ("qwen.qwen3-next-80b-a3b", "ap-south-1", "output"),
    ("qwen.qwen3-vl-235b-a22b", "us", "input"),
}


def test_batch_is_half_of_standard():
    rates = {key_of(r): int(r["usd_per_mtok"]) for r in ROWS if not r["effective_to"]}
    exceptions = set()
    for (model, region, scope, tier, kind, threshold), rate in rates.items():
        standard = rates.get((model, region, scope, "standard", kind, threshold))
        if tier == "batch" and standard is not None and rate * 2 != standard:
            gov = "us-gov" if region.startswith("us-gov-") else region
            exceptions.add((model, "us" if region in US_REGIONS else gov, kind))
            assert abs(rate * 2 - standard) <= 12_000
    assert exceptions == ROUNDED_HALVES


def test_tiers_are_kept_apart():
    # AWS Price List: USE1-NovaPro-input-tokens-priority 0.0014, -output-tokens-flex 0.0016 per 1K
    model = "amazon.nova-pro-v1:0"
    assert look_up(model, "us-east-1", "input", tier="priority") == Decimal("1.4")
    assert look_up(model, "us-east-1", "output", tier="flex") == Decimal("1.6")
    assert look_up(model, "us-east-1", "input", tier="latency") == 1
    assert look_up(model, "eu-central-1", "input", tier="latency") is None


# Long context and dates


@pytest.mark.parametrize("scope", ["regional", "global"])
@pytest.mark.parametrize(
    "model",
    ["anthropic.claude-sonnet-4-20250514-v1:0", "anthropic.claude-sonnet-4-5-20250929-v1:0"],
)
def test_long_sonnet_requests_cost_more_until_the_beta_ended(model, scope):
    def price(kind, *, day="2026-04-30", total_input=200_001):
        found = look_up(model, "us-east-1", kind, scope=scope, day=day, total_input=total_input)
        assert found is not None
        return found

    for kind, factor in (("input", "2"), ("output", "1.5"), ("cache_read", "2")):
        base = price(kind, total_input=200_000)
        assert price(kind) == base * Decimal(factor)
        assert price(kind, day="2026-05-01") == base


def test_long_context_at_200k_is_history():
    ended = {(r["model_id"], r["effective_to"]) for r in ROWS if r["min_input_tokens"] == "200000"}
    assert ended == {
        ("anthropic.claude-sonnet-4-20250514-v1:0", "2026-05-01"),
        ("anthropic.claude-sonnet-4-5-20250929-v1:0", "2026-05-01"),
        ("anthropic.claude-opus-4-6-v1", "2026-03-13"),
        ("anthropic.claude-sonnet-4-6", "2026-03-13"),
    }


# AWS Price List of 2026-02-19, global; litellm 1.82.6 us.anthropic.*, the ordinary regional price
@pytest.mark.parametrize(
    ("model", "scope", "figures"),
    [
        ("anthropic.claude-opus-4-6-v1", "global", "10 37.50 1 12.50 20"),
        ("anthropic.claude-opus-4-6-v1", "regional", "11 41.25 1.10 13.75 22"),
        ("anthropic.claude-sonnet-4-6", "global", "6 22.50 .60 7.50 12"),
        ("anthropic.claude-sonnet-4-6", "regional", "6.60 24.75 .66 8.25 13.20"),
    ],
)
def test_early_long_requests_of_claude_4_6_cost_more(model, scope, figures):
    for kind, usd in zip(KINDS, figures.split(), strict=True):
        price = partial(look_up, model, "us-east-1", kind, scope=scope)
        assert price(day="2026-02-19", total_input=200_001) == Decimal(usd)
        base = price(day="2026-02-19", total_input=200_000)
        assert price(day="2026-03-18", total_input=200_001) == base < Decimal(usd)


# AWS page copy of 2026-07-24: Public Extended Access, effective 1 Dec 2025
@pytest.mark.parametrize(
    ("model", "regions", "elsewhere"),
    [
        (
            "anthropic.claude-3-5-sonnet-20240620-v1:0",
            (*US_REGIONS, "eu-central-1", "eu-central-2", "eu-west-1", "eu-west-3"),
            "ap-northeast-1",
        ),
        ("anthropic.claude-3-5-sonnet-20241022-v2:0", US_REGIONS, "eu-central-1"),
    ],
)
def test_extended_access_of_claude_3_5_sonnet_costs_twice_as_much(model, regions, elsewhere):
    def price(region, day, tier):
        found = (look_up(model, region, kind, day=day, tier=tier) for kind in ("input", "output"))
        return tuple(found)

    for region in (*regions, elsewhere):
        assert price(region, "2025-11-30", "standard") == (3, 15)
        assert price(region, "2025-11-30", "batch") == (Decimal("1.5"), Decimal("7.5"))
    for region in regions:
        assert price(region, "2025-12-01", "standard") == (6, 30)
        assert price(region, "2026-02-28", "batch") == (3, 15)
    assert price(elsewhere, "2025-12-01", "standard") == (None, None)
    assert price(elsewhere, "2025-12-01", "batch") == (None, None)


def test_long_haiku_5_5_requests_cost_five_times_as_much():
    # litellm 1.110.2 us.anthropic.claude-haiku-5-5, above_100k_tokens
    for kind in KINDS:
        short = look_up("anthropic.claude-haiku-5-5", "us-east-1", kind, total_input=100_000)
        long = look_up("anthropic.claude-haiku-5-5", "us-east-1", kind, total_input=100_001)
        assert long == 5 * short


@pytest.mark.parametrize(
    ("model", "scope", "before", "day", "after"),
    [
        # genai-prices 0.2.3 regional. and global.openai.gpt-5.6-*; litellm 1.110.2 has the last
        ("openai.gpt-5.6-luna", "regional", "1.1", "2026-07-30", ".22"),
        ("openai.gpt-5.6-terra", "regional", "2.75", "2026-07-30", "2.2"),
    ],
)
def test_dated_price_cut(model, scope, before, day, after):
    eve = f"{day[:-2]}{int(day[-2:]) - 1:02}"
    assert look_up(model, "us-east-1", "input", scope=scope, day=eve) == Decimal(before)
    assert look_up(model, "us-east-1", "input", scope=scope, day=day) == Decimal(after)


@pytest.mark.parametrize(
    ("scope", "before", "after"), [("regional", "5.5 33", "4.4 22"), ("global", "5 30", "4 20")]
)
def test_a_cut_that_was_billed_later_than_announced_is_unpriced_in_between(scope, before, after):
    # Announced for 2026-08-21. litellm pulls 38615 (bills of 24 to 26 August) and 41586 (a bill by
    # 17 September)
    days = {"2026-08-26": before, "2026-08-27": None, "2026-09-16": None, "2026-09-17": after}
    for day, figures in days.items():
        for kind, usd in zip(("input", "output"), (figures or "").split() or "  ", strict=True):
            price = look_up("openai.gpt-5.6-sol", "us-east-1", kind, scope=scope, day=day)
            assert price == (Decimal(usd) if figures else None)


# The script


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("build_list_prices", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def build(script, tmp_path):
    """Return a function from short entries to ``{(region, scope, kind): micro-dollars}``."""
    header = "key,endpoint,region,scope,model,commitment,mode,kind,tier,ctx_min,usd_per_mtok"

    def write(name, text):
        (tmp_path / f"{name}.csv.gz").write_bytes(gzip.compress(text.encode(), 1))

    def write_and_build(*entries, corrections=(), rules=("same_everywhere,xai.one,yes",)):
        lines = [f"{header},raw_key,source"]
        for name, region, geo, kind, usd in entries:
            cells = [
                name,
                "runtime",
                region,
                geo,
                "xai.one",
                "",
                "chat",
                kind,
                "standard",
                "0",
                usd,
            ]
            lines.append(",".join([*cells, "", "test"]))
        text = "\n".join(lines)
        write("litellm_bedrock", text)
        write("litellm_1.98.0_bedrock", lines[0])
        genai = "model_id,price_key,tier_start,usd,effective_from,source\n"
        write("genai_prices_bedrock", genai)
        head = "model_id,region,input_usd_per_mtok,output_usd_per_mtok,cache_read_usd_per_mtok"
        (tmp_path / script.REGIONAL).write_text(f"{head},source,checked_on\n")
        (tmp_path / "rules.csv").write_text("\n".join(("rule,model_id_prefix,value", *rules)))
        rows = script.build_rows(tmp_path, corrections)
        return {(row.region, row.scope, row.token_kind): row.usd_per_mtok for row in rows}

    return write_and_build


def test_a_price_that_is_not_a_whole_number_stops_the_build(script):
    assert script.parse_amount("0.00875", scale=6) == 8750
    with pytest.raises(ValueError, match="not a whole number"):
        script.parse_amount("0.0000001", scale=6)


def test_an_unprefixed_entry_with_the_global_price_is_not_regional(build):
    rows = build(
        ("one", "", "in_region", "input", "3"),
        ("us.one", "", "us", "input", "3.3"),
        ("global.one", "", "global", "input", "3"),
    )
    assert rows == {("*", "regional", "input"): 3_300_000, ("*", "global", "input"): 3_000_000}


def test_an_unprefixed_entry_that_agrees_fills_gaps(build):
    rows = build(
        ("one", "", "in_region", "input", "3"),
        ("one", "", "in_region", "cache_read", ".3"),
        ("us.one", "", "us", "input", "3"),
    )
    assert rows[("*", "regional", "cache_read")] == 300_000


def test_sources_that_contradict_each_other_stop_the_build(build):
    with pytest.raises(ValueError, match="contradicts"):
        build(("one", "", "in_region", "input", "3"), ("us.one", "", "us", "input", "4"))


def test_a_lone_entry_next_to_a_global_one_stops_the_build(build):
    with pytest.raises(ValueError, match="may be the global price"):
        build(("one", "", "in_region", "input", "3"), ("global.one", "", "global", "input", "3"))


def test_only_a_vendor_known_for_one_price_has_it_everywhere(build):
    entry = ("one", "", "in_region", "input", "1")
    us = {(region, "regional", "input"): 1_000_000 for region in US_REGIONS}
    assert build(entry, rules=()) == us
    assert build(entry, rules=("same_everywhere,xai.,yes", "same_everywhere,xai.o,no")) == us
    assert build(entry) == {("*", "regional", "input"): 1_000_000}
    assert build(("global.one", "", "global", "input", "1"), rules=()) == {
        ("*", "global", "input"): 1_000_000
    }


def test_a_profile_prices_the_regions_that_a_rule_names(build):
    entries = [("one", "", "in_region", "input", "1"), ("eu.one", "", "eu", "input", "2")]
    assert ("eu-west-1", "regional", "input") not in build(*entries)
    rows = build(*entries, rules=("regions_of_eu,xai.,eu-west-1 eu-west-3",))
    assert [rows[f"eu-west-{n}", "regional", "input"] for n in (1, 3)] == [2_000_000] * 2


def test_a_rule_says_what_kind_a_price_is_of(build):
    entries = [("one", "", "in_region", kind, "1") for kind in ("input", "cache_write_5m")]
    rules = ("text_tokens,xai.,yes", "cache_write_30m,xai.,yes")
    assert {kind for _, _, kind in build(*entries, rules=rules)} == {
        *("text_input", "cache_write_30m")
    }


def test_a_region_that_differs_takes_the_star_row_away(build):
    rows = build(
        ("one", "", "in_region", "input", "1"),
        ("bedrock/eu-west-2/one", "eu-west-2", "in_region", "input", "2"),
    )
    us = {(region, "regional", "input"): 1_000_000 for region in US_REGIONS}
    assert rows == us | {("eu-west-2", "regional", "input"): 2_000_000}


def test_a_region_that_does_not_differ_has_no_row(build):
    rows = build(
        ("one", "", "in_region", "input", "1"),
        ("bedrock/eu-west-2/one", "eu-west-2", "in_region", "input", "1"),
    )
    assert rows == {("*", "regional", "input"): 1_000_000}


KEY = ("xai.one", "*", "regional", "standard", "input", 0, "2023-01-01")


def replacement(script, key=KEY, usd=2_000_000, **cells):
    names = (*COLUMNS[:6], "effective_from")
    values = dict(zip(names, map(str, key), strict=True)) | {"usd_per_mtok": str(usd)}
    values |= {"effective_to": "", "source": "AWS Price List", "checked_on": TODAY}
    return script.Correction("replace", "The source is late.", values | cells)


def test_a_replaced_row_is_the_correction_and_the_others_stay(script, build):
    entries = [("one", "", "in_region", kind, "3") for kind in ("input", "output")]
    rows = build(*entries, corrections=[replacement(script)])
    assert rows == {("*", "regional", "input"): 2_000_000, ("*", "regional", "output"): 3_000_000}


@pytest.mark.parametrize("position", range(len(KEY)))
def test_a_replacement_that_names_no_row_stops_the_build(script, build, position):
    key = [*KEY]
    key[position] = 7 if position == 5 else "2024-01-01" if position == 6 else "other"
    with pytest.raises(ValueError, match="nothing to replace"):
        build(("one", "", "in_region", "input", "3"), corrections=[replacement(script, key)])


def test_a_replacement_that_changes_nothing_or_comes_twice_stops_the_build(script, build):
    entry = ("one", "", "in_region", "input", "3")
    with pytest.raises(ValueError, match="nothing changes"):
        build(entry, corrections=[replacement(script, usd=3_000_000)])
    with pytest.raises(ValueError, match="twice"):
        build(entry, corrections=[replacement(script), replacement(script, usd=1)])
    ended = replacement(script, usd=3_000_000, effective_to="2026-05-01")
    assert build(entry, corrections=[ended]) == {("*", "regional", "input"): 3_000_000}


def of_action(script, action, **values):
    return script.Correction(action, "A reason.", {"min_input_tokens": "0", **values})


def test_a_correction_that_drops_or_ends_nothing_stops_the_build(script, build):
    entry = ("one", "", "in_region", "input", "3")
    with pytest.raises(ValueError, match="nothing left to drop: litellm two"):
        build(entry, corrections=[of_action(script, "drop", source="litellm two")])
    end = of_action(script, "end", model_id="xai.two", effective_to="2026-05-01")
    with pytest.raises(ValueError, match="nothing to end"):
        build(entry, corrections=[end])


def test_an_entry_can_be_called_global(script, build):
    entries = [("one", "", "in_region", "input", "1"), ("us.one", "", "us", "input", "1.1")]
    rows = build(*entries, corrections=[of_action(script, "global", source="test one")])
    assert rows == {("*", "global", "input"): 1_000_000, ("*", "regional", "input"): 1_100_000}


def test_days_are_taken_out_of_a_rate_and_a_cut_is_moved(script):
    days = {"model_id": "xai.one", "region": "*", "source": "a bill"}
    days |= {"effective_from": "2025-03-01", "effective_to": "2025-02-01"}
    cut = [row_of(script, 5, "2023-01-01", "2025-01-01"), row_of(script, 3, "2025-01-01", "")]
    moved = list(script.move_cuts(cut, [script.Correction("move", "why", days)]))
    assert [(r.effective_from, r.effective_to, r.source) for r in moved] == [
        ("2023-01-01", "2025-02-01", "AWS; a bill"),
        ("2025-03-01", None, "AWS; a bill"),
    ]
    gap = days | {"effective_from": "2025-04-01", "effective_to": "2025-05-01"}
    whole = row_of(script, 3, "2023-01-01", "")
    kept = script.cut_gaps([whole], [script.Correction("gap", "why", gap)])
    assert [(r.effective_from, r.effective_to) for r in kept] == [
        ("2023-01-01", "2025-04-01"),
        ("2025-05-01", None),
    ]


@pytest.mark.parametrize(
    ("action", "message"),
    [("global", "call global"), ("move", "no cut"), ("gap", "take days from")],
)
def test_a_global_a_move_and_a_gap_name_something(script, build, action, message):
    correction = of_action(
        script,
        action,
        model_id="xai.two",
        region="*",
        source="test two",
        effective_from="2025-01-01",
        effective_to="2025-02-01",
    )
    with pytest.raises(ValueError, match=message):
        build(("one", "", "in_region", "input", "3"), corrections=[correction])


def row_of(script, usd, since, until):
    cells = dict(zip(COLUMNS, (*KEY[:6], usd, since, until, "AWS", TODAY), strict=True))
    return script.parse_row({name: str(cell) for name, cell in cells.items()})


def test_an_end_leaves_an_earlier_price_its_own_last_day(script):
    rows = [row_of(script, 5, "2023-01-01", "2025-01-01"), row_of(script, 3, "2025-01-01", "")]
    end = of_action(script, "end", model_id="xai.one", effective_to="2026-05-01")
    ended = list(script.end_rows(rows, [end]))
    assert [row.effective_to for row in ended] == ["2025-01-01", "2026-05-01"]
    with pytest.raises(ValueError, match="nothing to end"):
        list(script.end_rows(ended, [end]))


def test_a_second_opinion_is_reported_unless_the_rate_was_decided(script):
    row = row_of(script, 3_000_000, "2023-01-01", "")
    item = script.item_of(row)
    agrees, differs = (
        script.Genai("genai-prices xai.one", "xai.one", "regional", item, usd, "")
        for usd in (3_000_000, 2_000_000)
    )
    assert list(script.second_opinions([row], [agrees])) == []
    (line,) = script.second_opinions([row], [differs])
    assert line.startswith("genai-prices xai.one") and "2000000 there, 3000000 here" in line
    assert list(script.second_opinions([row], [differs], [row])) == []


@pytest.mark.parametrize(
    ("line", "message"), [("remove,A reason", "not one of"), ("replace,", "needs a reason")]
)
def test_a_correction_says_a_known_action_and_why(script, tmp_path, line, message):
    file = tmp_path / "corrections.csv"
    file.write_text(f"action,reason,{','.join(COLUMNS)}\n{line}{',' * len(COLUMNS)}\n")
    with pytest.raises(ValueError, match=message):
        script.read_corrections(file)


def test_the_seed_is_what_the_script_builds(script, capsys):
    assert script.main(["--check"]) == 0
    assert capsys.readouterr().err == ""


def test_an_edit_of_the_seed_alone_is_found(script, tmp_path, capsys):
    edited = tmp_path / "list_prices.csv"
    edited.write_text(SEED.read_text(encoding="utf-8").replace(",3300000,", ",3300001,", 1))
    assert script.main(["--check", "--output", str(edited)]) == 1
    assert "differs" in capsys.readouterr().err
