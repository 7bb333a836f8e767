"""Short names of models: what people call them, and no name for two."""

from __future__ import annotations

import csv

import pytest

from etl import resources
from etl.normalise.model_names import ids_of, short_name

with (resources.SQL / "seeds" / "list_prices.csv").open(encoding="utf-8") as file:
    IDS = sorted({row["model_id"] for row in csv.DictReader(file)})


@pytest.mark.parametrize(
    ("model_id", "name"),
    [
        ("anthropic.claude-sonnet-4-5-20250929-v1:0", "Claude Sonnet 4.5"),
        ("anthropic.claude-3-5-sonnet-20241022-v2:0", "Claude 3.5 Sonnet V2"),
        ("anthropic.claude-opus-4-1-20250805-v1:0", "Claude Opus 4.1"),
        ("meta.llama3-1-70b-instruct-v1:0", "Llama 3.1 70B Instruct"),
        ("deepseek.r1-v1:0", "DeepSeek R1"),
        ("amazon.titan-embed-text-v2:0", "Titan Embed Text V2"),
        # Only the number after the colon tells them apart.
        ("amazon.nova-reel-v1:1", "amazon.nova-reel-v1:1"),
        # The price list does not have it, so another model could have the name.
        ("acme.claude-sonnet-4-5", "acme.claude-sonnet-4-5"),
        ("", ""),
    ],
)
def test_a_short_name_is_what_people_say(model_id: str, name: str) -> None:
    assert short_name(model_id) == name


def test_no_two_models_have_a_name_and_each_name_leads_back() -> None:
    assert len({short_name(model_id).casefold() for model_id in IDS}) == len(IDS) > 100
    for model_id in IDS:
        assert ids_of(short_name(model_id).upper()) == (model_id,)
    assert ids_of("nothing") == ()
