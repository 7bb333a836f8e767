"""Names of quotas, as public programs list them: what they limit, and of which model."""

from __future__ import annotations

from etl.normalise.quotas import known_models, meaning_of, parse_quota
from tests.cases import cases

MINUTE = "model inference tokens per minute for"

UNDERSTOOD = {
    f"Cross-region {MINUTE} Anthropic Claude Sonnet 4.5 V1":
        ("cross-region", "tokens", "minute", 0, "anthropic.claude-sonnet-4-5-20250929-v1:0"),
    f"Cross-Region {MINUTE} Anthropic Claude 3.5 Haiku":
        ("cross-region", "tokens", "minute", 0, "anthropic.claude-3-5-haiku-20241022-v1:0"),
    "Cross-region model inference requests per minute for Anthropic Claude 3.5 Sonnet V2":
        ("cross-region", "requests", "minute", 0, "anthropic.claude-3-5-sonnet-20241022-v2:0"),
    "Global cross-region model inference tokens per day for Anthropic Claude Sonnet 4.5 V1 1M"
    " Context Length":
        ("global", "tokens", "day", 1, "anthropic.claude-sonnet-4-5-20250929-v1:0"),
    "Model invocation max tokens per day for OpenAI GPT OSS 20B (doubled for cross-region calls)":
        ("regional", "tokens", "day", 0, "openai.gpt-oss-20b-1:0"),
    "On-demand InvokeModel requests per minute for Anthropic Claude Opus 4.8":
        ("on-demand", "requests", "minute", 0, "anthropic.claude-opus-4-8"),
    f"Cross-region {MINUTE} Anthropic Claude Opus 4.6 V1":
        ("cross-region", "tokens", "minute", 0, "anthropic.claude-opus-4-6-v1"),
    f"On-demand {MINUTE} Qwen3 235B a22b 2507 V1":
        ("on-demand", "tokens", "minute", 0, "qwen.qwen3-235b-a22b-2507-v1:0"),
    f"Cross-region {MINUTE} Meta Llama 3.3 70B Instruct":
        ("cross-region", "tokens", "minute", 0, "meta.llama3-3-70b-instruct-v1:0"),
    f"On-demand {MINUTE} Amazon Titan Text Embeddings V2":
        ("on-demand", "tokens", "minute", 0, "amazon.titan-embed-text-v2:0"),
    f"On-demand {MINUTE} Mistral AI Mixtral 8X7BB Instruct":
        ("on-demand", "tokens", "minute", 0, "mistral.mixtral-8x7b-instruct-v0:1"),
    f"Cross-region {MINUTE} Amazon Nova 2 Lite":
        ("cross-region", "tokens", "minute", 0, "amazon.nova-2-lite-v1:0"),
    # Kept, but not compared with anything.
    f"On-demand {MINUTE} Acme Model 9": ("on-demand", "tokens", "minute", 0, None),
    "Global cross-region model inference tokens per day": (None, "tokens", "day", 0, None),
    "Cross-Model Account-Level Tokens Per Day": (None, "tokens", "day", 0, None),
    "On-demand, latency-optimized model inference tokens per minute for Anthropic Claude 3.5 Haiku":
        (None, "tokens", "minute", 0, None),
}  # fmt: skip


@cases(("name", "expected"), UNDERSTOOD.items())
def test_what_a_name_says(name: str, expected: tuple[object, ...]) -> None:
    quota = parse_quota(
        {"QuotaCode": "L-1", "QuotaName": name, "Value": 7.0},
        account_id="1",
        region="us-east-1",
        seen_at="2026-11-20T12:00:00Z",
        is_default=False,
        models=known_models([]),
    )
    assert quota is not None
    assert (
        quota.route, quota.quota_kind, quota.period, quota.is_long_context, quota.model_id
    ) == expected  # fmt: skip


@cases(
    "name",
    [
        "(Flows) CreateFlow requests per second",
        "Records per batch inference job for Claude 3.5 Haiku",
        "Model units per provisioned model for Cohere Command",
        "(Guardrails) tokens per minute for Anthropic Claude 3 Haiku",
    ],
)
def test_what_is_no_limit_of_inference(name: str) -> None:
    assert meaning_of(name) is None


def test_a_name_of_two_models_is_of_none() -> None:
    models = known_models([("acme.model-9", "Model Nine"), ("zeta.model-9", "Model Nine")])
    assert models["model 9"] is None
    assert models["model nine"] is None
    assert known_models([("acme.model-9", "Model Nine")])["model 9"] == "acme.model-9"
