"""Every price stands for something that a source gives, and everything a source has is priced.

What may stand where is worked out here from the inputs, without the code that builds the list.
"""

import csv
import gzip
import re
from decimal import Decimal
from pathlib import Path

from etl.normalise.model_ids import parse_model_id
from tests.prices.seed import ALIASES, ROWS, TODAY, US_REGIONS, look_up, read_rows

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
INPUTS = SCRIPTS / "price_inputs"
REGIONAL = read_rows(INPUTS / "regional_2026-11.csv")
GOV = ("us-gov-east-1", "us-gov-west-1")

# The vendors whose price is one everywhere, written out on purpose.
EVERYWHERE = re.compile(
    r"(ai21|anthropic|cohere|stability)\..*|openai\.gpt-(?!oss).*|writer\.palmyra-x[45].*"
)


def extract(name):
    with gzip.open(INPUTS / name, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


LITELLM = [*extract("litellm_1.98.0_bedrock.csv.gz"), *extract("litellm_bedrock.csv.gz")]
GENAI = extract("genai_prices_bedrock.csv.gz")


# What a source gives


def amount_of(row):
    """Return a litellm rate as the list has it."""
    if row["usd_per_mtok"]:
        return int(Decimal(row["usd_per_mtok"]).scaleb(6))
    return int(Decimal(row["raw_key"].partition("=")[2]).scaleb(12))


def kind_of(kind):
    """Return the kind under which a source has a price that the list has under another name."""
    kind = "cache_write_5m" if kind == "cache_write_30m" else kind
    return kind.removeprefix("text_") if kind.startswith("text_") else kind


RATES = {
    (f"{row['source']} {row['key']}", row["tier"], row["kind"], row["ctx_min"], amount_of(row))
    for row in LITELLM
}
PLACES = {f"{r['source']} {r['key']}": (r["scope"], r["region"]) for r in LITELLM}
TOKEN_KINDS = {"input", "output", "cache_read", "cache_write_5m", "cache_write_1h"}

PROFILES = {"eu": {"eu-central-1"}, "apac": {"ap-southeast-2"}, "jp": {"ap-northeast-1"}}


def regions_of(model, geo, region):
    """Return the regions for which a litellm entry may give a regional price of a model."""
    if region:
        return {region}
    if geo == "us-gov":
        return {*GOV}
    if geo in ("us", "in_region"):
        return {*US_REGIONS, *(["*"] if EVERYWHERE.fullmatch(model) else [])}
    if model.startswith("amazon.nova-"):
        return PROFILES.get(geo, set())
    return {"ap-south-1", "ap-south-2"} if model.startswith("moonshotai.kimi-k3") else set()


def is_litellms(row):
    label = row["source"].partition(";")[0]
    if label not in PLACES:
        return False
    geo, region = PLACES[label]
    kind = kind_of(row["token_kind"])
    rate = (label, row["service_tier"], kind if kind in TOKEN_KINDS else "other")
    if (*rate, row["min_input_tokens"], int(row["usd_per_mtok"])) not in RATES:
        return False
    if row["scope"] == "global":
        # Nova 2 Pro without a prefix has the price of its global profile.
        return row["region"] == "*" and (geo == "global" or "nova-2-pro-preview" in label)
    return row["region"] in regions_of(row["model_id"], geo, region)


GENAI_RATES = {
    (f"{r['source']} {r['model_id']}", r["tier_start"], int(Decimal(r["usd"]).scaleb(6)))
    for r in GENAI
}


def is_genais(row):
    label = row["source"].partition(";")[0]
    model = label.rpartition(" ")[2]
    scope = "global" if model.startswith("global.") else "regional"
    allowed = {*US_REGIONS} if not EVERYWHERE.fullmatch(row["model_id"]) else {"*"}
    rate = (label, row["min_input_tokens"], int(row["usd_per_mtok"]))
    return (
        rate in GENAI_RATES
        and scope == row["scope"]
        and row["region"] in ({"*"} if scope == "global" else allowed)
    )


COLUMNS = tuple(ROWS[0])
ADDED = {
    tuple(row[column] for column in COLUMNS)
    for row in read_rows(SCRIPTS / "list_price_corrections.csv")
    if row["action"] in ("add", "replace")
}
BY_REGION = {
    (row["model_id"], row["region"], kind, int(Decimal(usd).scaleb(6)), row["source"])
    for row in REGIONAL
    for kind in ("input", "output", "cache_read")
    if (usd := row[f"{kind}_usd_per_mtok"])
}


def is_regional(row):
    key = tuple(row[name] for name in ("model_id", "region", "token_kind"))
    plain = (row["scope"], row["service_tier"], row["min_input_tokens"])
    return plain == ("regional", "standard", "0") and (
        (*key, int(row["usd_per_mtok"]), row["source"]) in BY_REGION
    )


def is_free_cache_write(row):
    return (
        row["model_id"].startswith("amazon.nova-")
        and row["token_kind"] == "cache_write_5m"
        and row["usd_per_mtok"] == "0"
        and row["source"] == "AWS Price List cache-write-input-token-count"
        and look_up(row["model_id"], row["region"], "cache_read", scope=row["scope"]) is not None
    )


def test_no_price_stands_that_no_source_gives():
    made_up = [
        row
        for row in ROWS
        if not (
            is_litellms(row)
            or is_genais(row)
            or is_regional(row)
            or tuple(row.values()) in ADDED
            or is_free_cache_write(row)
        )
    ]
    assert made_up == []


def test_a_price_holds_everywhere_only_for_vendors_known_for_one():
    everywhere = {r["model_id"] for r in ROWS if (r["region"], r["scope"]) == ("*", "regional")}
    assert [model for model in everywhere if not EVERYWHERE.fullmatch(model)] == []
    assert len(everywhere) > 70


def test_dates_are_those_of_a_source():
    days = {(r["model_id"], r["effective_from"], r["effective_to"]) for r in ROWS}
    dated = {(m, f, t) for m, f, t in days if (f, t) != ("2023-01-01", "")}
    sonnet, cuts = ("2025-12-01", "2026-03-01"), ("2026-07-30", "2026-08-27", "2026-09-17")
    history = ("2026-03-13", "2026-05-01")
    # AWS, What's New, December 2024: up to 85 % off.
    guardrails = ("2024-12-01",)
    for model, start, end in dated:
        assert {start, end} <= {"2023-01-01", "", *sonnet, *cuts, *history, *guardrails}, model
    assert {model for model, *_ in dated} == {
        "amazon.bedrock-guardrails",
        "anthropic.claude-3-5-sonnet-20240620-v1:0",
        "anthropic.claude-3-5-sonnet-20241022-v2:0",
        "anthropic.claude-opus-4-6-v1",
        "anthropic.claude-sonnet-4-20250514-v1:0",
        "anthropic.claude-sonnet-4-5-20250929-v1:0",
        "anthropic.claude-sonnet-4-6",
        *(f"openai.gpt-5.6-{name}" for name in ("luna", "sol", "terra")),
    }


# What a source has


def test_every_price_by_region_is_in_the_list():
    # As many as were found, but for one that litellm has by now.
    assert len({(row["model_id"], row["region"]) for row in REGIONAL}) == 294
    for row in REGIONAL:
        for kind in ("input", "output"):
            usd = look_up(row["model_id"], row["region"], kind)
            assert usd == Decimal(row[f"{kind}_usd_per_mtok"]), row
    assert look_up("amazon.titan-embed-text-v2:0", "us-gov-east-1", "input") == Decimal(".03")


# Where a profile can be called from, and one region where every other id can be.
CALLED_FROM = {
    "us": US_REGIONS,
    "eu": ("eu-central-1", "eu-north-1", "eu-south-1", "eu-south-2", "eu-west-1", "eu-west-3"),
    "apac": ("ap-northeast-1", "ap-northeast-2", "ap-south-1", "ap-southeast-1", "ap-southeast-2"),
    "jp": ("ap-northeast-1", "ap-northeast-3"),
    "au": ("ap-southeast-2", "ap-southeast-4"),
    "in": ("ap-south-1", "ap-south-2"),
    "us-gov": GOV,
    "global": ("us-east-1", "eu-west-1", "ap-northeast-1"),
    "in_region": US_REGIONS,
}


def callable_ids():
    """Yield each id of the extracts with the regions from which it can be called."""
    for row in LITELLM:
        region, geo = row["region"], row["scope"]
        prefix = "" if geo == "in_region" else f"{geo}."
        yield prefix + row["model"].rpartition("/")[2], (region,) if region else CALLED_FROM[geo]
    for row in GENAI:
        yield row["model_id"].removeprefix("regional."), US_REGIONS


PRICED = {(r["model_id"], r["region"], r["scope"]) for r in ROWS if not r["effective_to"]}


def is_priced(model_id, region):
    names = parse_model_id(model_id)
    places = (region,) if region in GOV else (region, "*")
    return any(
        (price_id, place, names.inference_scope) in PRICED
        for price_id in names.price_model_ids
        for place in places
    )


def test_every_id_is_priced_where_it_can_be_called_or_reviewed():
    unpriced = {}
    for model_id, regions in set(callable_ids()):
        for region in regions:
            if not is_priced(model_id, region):
                unpriced.setdefault(model_id, set()).add(region)
    reviewed = read_rows(Path(__file__).with_name("reviewed_unpriced.csv"))
    assert all(row["reason"] and row["checked_on"] <= TODAY for row in reviewed)
    assert unpriced == {row["model_id"]: {*row["regions"].split()} for row in reviewed}


def test_an_alias_names_one_model_that_has_a_price():
    listed = {row["model_id"] for row in ROWS}
    assert {*ALIASES.values()} <= listed
    assert not listed & {*ALIASES}
    for alias, model in ALIASES.items():
        assert parse_model_id(alias).price_model_ids[-1] == model
