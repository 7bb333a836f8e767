"""What a rate of litellm's or genai-prices' list is the price of.

``price_packages`` has the rates as the packages write them; here each is sorted out: which are
Bedrock's and on demand, the item that is sold, and the price as a whole number.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

_PROVIDER = re.compile(
    r"(ai21|amazon|anthropic|cohere|deepseek|google|meta|minimax|mistral|moonshot|moonshotai"
    r"|nvidia|openai|qwen|stability|twelvelabs|writer|xai|zai)\.[^@/]+"
)

GENAI_KINDS = {
    "input_mtok": "input",
    "output_mtok": "output",
    "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write_5m",
    "cache_write_1h_mtok": "cache_write_1h",
    "input_audio_mtok": "audio_input",
    "output_audio_mtok": "audio_output",
}

# litellm's names for units other than plain tokens, all in USD per unit. "per query" is a search
# for a reranker and a text request for an embedding model.
_UNIT_KINDS = {
    "output_cost_per_image": "image",
    "input_cost_per_image": "image_input",
    "input_cost_per_image_token": "image_token_input",
    "input_cost_per_audio_token": "audio_input",
    "output_cost_per_audio_token": "audio_output",
    "input_cost_per_audio_per_second": "audio_second_input",
    "input_cost_per_video_per_second": "video_second_input",
    "input_cost_per_query": "text_request",
}


class Item(NamedTuple):
    """What is being sold."""

    service_tier: str
    token_kind: str
    min_input_tokens: int


def parse_amount(text: str, *, scale: int) -> int:
    """Return ``text`` dollars times ``10 ** scale``; raise ValueError unless that is whole."""
    amount = Decimal(text).scaleb(scale)
    if amount != amount.to_integral_value() or amount < 0:
        raise ValueError(f"{text!r} USD is not a whole number of 10^-{scale} dollars")
    return int(amount)


def image_kind(key: str) -> str:
    """Return ``image``, or the kind for the size in a name such as ``512-x-512/50-steps/``.

    A plain ``image`` row means: one price, regardless of size, quality or steps.
    """
    size, steps, *_ = [*key.split("/"), ""]
    if "-x-" not in size:
        return "image"
    size = "max" if size == "max-x-max" else size.replace("-x-", "x")
    return f"image_{size}_{steps.replace('-', '_')}"


def parse_rate(row: Mapping[str, str]) -> tuple[Item, int] | None:
    """Return the item of a litellm row and its price, or None for a meaningless zero."""
    if row["mode"] == "rerank" and row["kind"] in ("input", "output"):
        return None
    if row["kind"] != "other":
        item = Item(row["tier"], row["kind"], int(row["ctx_min"]))
        return item, parse_amount(row["usd_per_mtok"], scale=6)
    name, _, usd = row["raw_key"].partition("=")
    kind = "search_unit" if row["mode"] == "rerank" else _UNIT_KINDS[name]
    kind = image_kind(row["key"]) if kind == "image" else kind
    return Item(row["tier"], kind, int(row["ctx_min"])), parse_amount(usd, scale=12)


def is_on_demand_bedrock(row: Mapping[str, str]) -> bool:
    """Exclude provisioned throughput, and Anthropic's own platform sold through AWS.

    The latter (``claude_platform``) has batch rates that litellm's Bedrock entries lack, but they
    belong to another product. Names without a provider are not Bedrock ids either.
    """
    model = row["model"].rpartition("/")[2]
    return (
        not row["commitment"]
        and row["endpoint"] != "claude_platform"
        and _PROVIDER.fullmatch(model) is not None
    )
