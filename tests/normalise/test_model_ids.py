"""One model, many names."""

from etl.normalise.model_ids import parse_model_id
from tests.cases import cases

HAIKU_45 = "anthropic.claude-haiku-4-5-20251001-v1:0"


@cases(
    ("sent", "cloudwatch", "canonical", "scope"),
    [
        (HAIKU_45, HAIKU_45, HAIKU_45, "regional"),
        *[
            (f"{geo}.{HAIKU_45}", f"{geo}.{HAIKU_45}", HAIKU_45, "regional")
            for geo in ("us", "eu", "apac", "jp", "au", "ca", "in", "us-gov")
        ],
        (f"global.{HAIKU_45}", f"global.{HAIKU_45}", HAIKU_45, "global"),
        (f"arn:aws:bedrock:us-east-1::foundation-model/{HAIKU_45}", HAIKU_45, HAIKU_45, "regional"),
        (
            f"arn:aws:bedrock:us-east-1:111122223333:inference-profile/global.{HAIKU_45}",
            f"global.{HAIKU_45}",
            HAIKU_45,
            "global",
        ),
        (
            "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/a1b2c3d4e5f6",
            "a1b2c3d4e5f6",
            "a1b2c3d4e5f6",
            "regional",
        ),
        (
            "arn:aws:bedrock:us-east-1:111122223333:provisioned-model/p0q1r2s3",
            "p0q1r2s3",
            "p0q1r2s3",
            "regional",
        ),
        ("anthropic.claude-3-sonnet-20240229-v1:0:200k",) + ("anthropic.claude-3-sonnet-20240229-v1:0",) * 2 + ("regional",),
        ("amazon.nova-premier-v1:0:mm",) + ("amazon.nova-premier-v1:0",) * 2 + ("regional",),
        ("cohere.embed-english-v3:0:512",) + ("cohere.embed-english-v3:0",) * 2 + ("regional",),
        # Only a prefix before provider.model is one.
        ("us.model",) * 3 + ("regional",),
        (None, "(not stated)", "(not stated)", "regional"),
    ],
)  # fmt: skip
def test_names_of_a_model(sent: str | None, cloudwatch: str, canonical: str, scope: str) -> None:
    names = parse_model_id(sent)
    assert (names.cloudwatch_model_id, names.canonical_model_id, names.inference_scope) == (
        cloudwatch,
        canonical,
        scope,
    )


def test_price_ids_go_from_exact_to_loose() -> None:
    assert parse_model_id(f"us.{HAIKU_45}").price_model_ids == (
        HAIKU_45,
        "anthropic.claude-haiku-4-5-20251001-v1",
        "anthropic.claude-haiku-4-5-20251001",
        "anthropic.claude-haiku-4-5",
    )
    assert parse_model_id("anthropic.claude-opus-4-7").price_model_ids == (
        "anthropic.claude-opus-4-7",
    )
    assert parse_model_id(None).price_model_ids == ()
