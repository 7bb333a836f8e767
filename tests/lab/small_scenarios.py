"""Scenarios for the lab: a small file, and the roles of the built-in ones."""

from __future__ import annotations

import json
from typing import Any

from tests.support import HAIKU, SONNET

ROLES = (
    *("CustomerServiceApp-BedrockRole", "DataAnalysisApp-BedrockRole"),
    *("ChatbotApp-BedrockRole", "DocumentProcessorApp-BedrockRole"),
)
SECRET = "the quick brown fox of the prompt"


def scenarios(**changes: Any) -> str:
    """Return a file with two scenarios by user agent and three calls."""
    one = {
        "name": "Shop",
        "user_agent": "Shop/1.0",
        "model": HAIKU,
        "region": "us-east-1",
        "operation": "Converse",
        "calls": 2,
        "prompts": [SECRET],
        "max_tokens": 50,
    } | changes
    other = one | {"name": "Desk", "user_agent": "Desk/2", "calls": 1, "model": SONNET}
    lines = []
    for scenario in (one, other):
        lines += ["[[scenarios]]", *(f"{k} = {json.dumps(v)}" for k, v in scenario.items())]
    return "\n".join(lines)
