"""An extract has every rate of a package's data file, as the package has it."""

import csv
import gzip
import io
import json
import zipfile

import pytest

from scripts.extract_prices import GENAI, LITELLM, extract, main


def rows_of(content):
    return list(csv.DictReader(io.StringIO(gzip.decompress(content).decode())))


def wheel(folder, name, package, text):
    path = folder / f"{name}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as files:
        files.writestr(package.data_file, text)
    return path


def litellm(folder, entries):
    return wheel(folder, "litellm-1.2.3", LITELLM, json.dumps(entries))


@pytest.mark.parametrize(
    ("key", "place"),
    [
        ("acme.one-v1:0", "runtime||in_region|acme.one-v1:0|"),
        ("us-gov.acme.one-v1:0", "runtime||us-gov|acme.one-v1:0|"),
        ("amer.acme.one", "runtime||amer|acme.one|"),
        ("us.one", "runtime||in_region|us.one|"),
        ("bedrock/eu-west-2/acme.one", "runtime|eu-west-2|in_region|acme.one|"),
        (
            "bedrock/us-east-1/6-month-commitment/acme.one",
            "runtime|us-east-1|in_region|acme.one|6-month-commitment",
        ),
        ("bedrock_mantle/us-gov-west-1/acme.one", "mantle|us-gov-west-1|in_region|acme.one|"),
        ("bedrock/claude_platform/one", "claude_platform||in_region|one|"),
        ("512-x-512/50-steps/acme.one", "runtime||in_region|512-x-512/50-steps/acme.one|"),
    ],
)
def test_a_name_says_endpoint_region_profile_and_commitment(tmp_path, key, place):
    entry = {"litellm_provider": "bedrock", "mode": "chat", "input_cost_per_token": 3e-06}
    others = {"another": {**entry, "litellm_provider": "azure"}}
    (row,) = rows_of(extract(litellm(tmp_path, {key: entry} | others))[1])
    names = ("endpoint", "region", "scope", "model", "commitment")
    assert "|".join(row[name] for name in names) == place
    assert (row["key"], row["source"]) == (key, "litellm 1.2.3")


@pytest.mark.parametrize(
    ("name", "value", "rate"),
    [
        ("input_cost_per_token", 3.5e-08, "input|standard|0|0.035"),
        ("output_cost_per_token", 0, "output|standard|0|0"),
        ("input_cost_per_token_batches", 1e-06, "input|batch|0|1"),
        ("cache_read_input_token_cost_flex", 1e-06, "cache_read|flex|0|1"),
        ("cache_creation_input_token_cost", 1e-06, "cache_write_5m|standard|0|1"),
        (
            "cache_creation_input_token_cost_above_1hr_above_200k_tokens",
            1e-06,
            "cache_write_1h|standard|200000|1",
        ),
        (
            "output_cost_per_token_above_272k_tokens_priority",
            1e-06,
            "output|priority|272000|1",
        ),
        ("output_cost_per_image", 0.06, "other|standard|0|"),
        ("input_cost_per_audio_token", 3e-06, "other|standard|0|"),
    ],
)
def test_a_field_says_kind_tier_and_threshold(tmp_path, name, value, rate):
    entry = {"litellm_provider": "bedrock_converse", "mode": "chat", "max_tokens": 5, name: value}
    (row,) = rows_of(extract(litellm(tmp_path, {"acme.one": entry}))[1])
    assert "|".join(row[n] for n in ("kind", "tier", "ctx_min", "usd_per_mtok")) == rate
    other = {0.06: "=0.06", 3e-06: "=0.000003"}.get(value, "")
    assert row["raw_key"] == name + other


GENAI_DATA = """
import datetime
from decimal import Decimal
raise SystemExit("never run")
providers = [
    Provider(id='acme', models=[ModelInfo(id='x', prices=ModelPrice(input_mtok=Decimal('9')))]),
    Provider(id='aws', models=[
        ModelInfo(id='regional.one', prices=ModelPrice(
            input_mtok=TieredPrices(base=Decimal('2.50'), tiers=[
                Tier(start=272000, price=Decimal('5'))]), output_mtok=Decimal('10'))),
        ModelInfo(id='two', prices=[
            ConditionalPrice(prices=ModelPrice(input_mtok=Decimal('5'))),
            ConditionalPrice(
                constraint=CONSTRAINT, prices=ModelPrice(input_mtok=Decimal('4')))]),
    ]),
]
"""
START = "StartDateConstraint(start_date=datetime.date(2026, 8, 2))"


def genai(folder, constraint):
    text = GENAI_DATA.replace("CONSTRAINT", constraint)
    return wheel(folder, "genai_prices-0.0.9", GENAI, text)


def test_a_module_of_prices_is_read_and_not_run(tmp_path):
    lines = ["|".join(row.values()) for row in rows_of(extract(genai(tmp_path, START))[1])]
    assert lines == [
        "regional.one|input_mtok|0|2.5||genai-prices 0.0.9",
        "regional.one|input_mtok|272000|5||genai-prices 0.0.9",
        "regional.one|output_mtok|0|10||genai-prices 0.0.9",
        "two|input_mtok|0|5||genai-prices 0.0.9",
        "two|input_mtok|0|4|2026-08-02|genai-prices 0.0.9",
    ]
    with pytest.raises(ValueError, match="cannot read TimeOfDay"):
        extract(genai(tmp_path, "TimeOfDay()"))


def test_the_same_package_gives_the_same_bytes_and_another_is_refused(tmp_path, capsys):
    entry = {"litellm_provider": "bedrock", "mode": "chat", "input_cost_per_token": 3e-06}
    path, output = litellm(tmp_path, {"acme.one": entry}), tmp_path / "out.csv.gz"
    assert main([str(path), "--output", str(output)]) == 0
    assert output.read_bytes() == extract(path)[1]
    assert capsys.readouterr().out == f"1 rates: {output}\n"
    with pytest.raises(ValueError, match="not a wheel of"):
        extract(tmp_path / "prices-1.0-py3-none-any.whl")
