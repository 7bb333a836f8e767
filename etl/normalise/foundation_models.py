"""Foundation models: the summaries of ``ListFoundationModels``."""

from __future__ import annotations

from etl.errors import RejectError
from etl.normalise.fields import mapping, text
from etl.normalise.model_ids import parse_model_id
from etl.normalise.rows import FoundationModel


def parse_foundation_model(summary: object) -> FoundationModel:
    """Read one summary. Raises RejectError if it has no ``modelId``."""
    raw = mapping(summary)
    model_id = text(raw.get("modelId"))
    if model_id is None:
        raise RejectError("a foundation model without modelId")
    return FoundationModel(
        model_id=parse_model_id(model_id).canonical_model_id,
        model_name=text(raw.get("modelName")),
        provider_name=text(raw.get("providerName")),
    )
