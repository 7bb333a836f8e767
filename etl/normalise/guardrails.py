"""What guardrails charged for a call: the units that each policy processed.

Guardrails are billed by policy and unit (1,000 characters of text, or an image), whatever the
model. The *trace* in a response shows the units: with Converse it is ``trace.guardrail``, with
InvokeModel ``amazon-bedrock-trace.guardrail``. Each assessment in it, of the input and of the
output, has its own. Without a trace, only that a guardrail was applied may be known.

The result is text, canonical JSON: the id of each guardrail, with its units by policy, or null if
they are unknown. An unknown id is ``""``.

Source: API reference, GuardrailTraceAssessment and GuardrailUsage, and botocore 1.44.8; the trace
of InvokeModel: litellm 1.110.2, ``guardrail_cost.py`` (checked 2026-11-29).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any, NamedTuple

import msgspec

from etl.normalise.fields import count, mapping, text

# The model in prices. Each kind of price is guardrail_<policy>.
PRICE_MODEL = "amazon.bedrock-guardrails"
APPLY = "ApplyGuardrail"


class Policy(NamedTuple):
    """A policy with a price of its own. ``counted_as``: the field of its units in a ``usage``."""

    name: str
    counted_as: str
    unit: str = "text units"

    @property
    def price(self) -> str:
        """The kind of price that its units have."""
        return f"guardrail_{self.name}"


POLICIES = (
    Policy("content", "contentPolicyUnits"),
    Policy("content_image", "contentPolicyImageUnits", "images"),
    Policy("topic", "topicPolicyUnits"),
    Policy("word", "wordPolicyUnits"),
    Policy("sensitive_information", "sensitiveInformationPolicyUnits"),
    # What regular expressions find, which costs nothing.
    Policy("sensitive_information_free", "sensitiveInformationPolicyFreeUnits"),
    Policy("contextual_grounding", "contextualGroundingPolicyUnits"),
    Policy("automated_reasoning", "automatedReasoningPolicyUnits"),
)
PRICE_UNITS = {policy.price: policy.unit for policy in POLICIES}

# An id, alone or at the end of an ARN. Nothing else that a response says is kept.
_ID = re.compile(r"(?:arn:[!-~]{1,200}:guardrail/)?([a-z0-9]{1,64})")


class _Metrics(msgspec.Struct):
    usage: dict[str, Any] | None = None


class _Assessment(msgspec.Struct, rename="camel"):
    invocation_metrics: _Metrics | None = None


class _Guardrail(msgspec.Struct, rename="camel"):
    """A trace: the first two names are Converse's, the others InvokeModel's."""

    input_assessment: dict[str, _Assessment] | None = None
    output_assessments: dict[str, list[_Assessment]] | None = None
    input: dict[str, _Assessment] | None = None
    outputs: list[dict[str, _Assessment]] | None = None


# Units by policy; None: unknown.
Units = Mapping[str, int] | None


def units_of_traces(traces: Iterable[bytes]) -> dict[str, Units]:
    """Return the units of each guardrail in the traces of one response.

    A stream may have several. What its input took is in one of them, or the same in each, and so is
    what its output took; it is unknown whether those that differ add up. Raises ValueError for a
    trace of another form.
    """
    inputs, outputs = [], []
    for trace in traces:
        one = msgspec.json.decode(trace, type=_Guardrail)
        inputs.append([*(one.input_assessment or {}).items(), *(one.input or {}).items()])
        by_key = (one.output_assessments or {}).items()
        listed = ((key, each) for key, some in by_key for each in some)
        outputs.append([*listed, *(pair for each in one.outputs or () for pair in each.items())])
    found: dict[str, Units] = {}
    for side in (list(filter(None, inputs)), list(filter(None, outputs))):
        is_known = all(one == side[0] for one in side)
        for key, assessment in side[0] if side and is_known else chain.from_iterable(side):
            units = _units(assessment) if is_known else None
            name = guardrail_id(key)
            found[name] = _sum(found[name], units) if name in found else units
    return found


def units_of_usage(usage: object) -> Units:
    """Return the units in a ``usage`` as ApplyGuardrail's response has it; None if it is none."""
    if not any(policy.counted_as in mapping(usage) for policy in POLICIES):
        return None
    try:
        return _by_policy(mapping(usage))
    except ValueError:
        return None


def use_of(units: Mapping[str, Units]) -> str | None:
    """Return what guardrails did as it is stored; None if there was none."""
    return json.dumps(units, sort_keys=True, separators=(",", ":")) if units else None


def guardrail_id(value: object) -> str:
    """Return a guardrail's id, given that or its ARN; empty for anything else."""
    found = _ID.fullmatch(value) if isinstance(value, str) else None
    return found[1] if found else ""


def use_of_event(record: Mapping[str, Any], operation: str) -> str | None:
    """Return what a CloudTrail event says of guardrails: nearly always at most which it was."""
    parameters = mapping(record.get("requestParameters"))
    named = text(parameters.get("guardrailIdentifier")) or text(
        mapping(parameters.get("guardrailConfig")).get("guardrailIdentifier")
    )
    if operation != APPLY:
        return use_of({guardrail_id(named): None}) if named else None
    response = mapping(record.get("responseElements"))
    return use_of({guardrail_id(named): units_of_usage(response.get("usage"))})


def _units(assessment: _Assessment) -> Units:
    metrics = assessment.invocation_metrics
    return _by_policy(metrics.usage) if metrics and metrics.usage else None


def _by_policy(usage: Mapping[str, Any]) -> dict[str, int]:
    numbers = {policy.name: count(usage.get(policy.counted_as)) for policy in POLICIES}
    return {name: number for name, number in numbers.items() if number}


def _sum(one: Units, other: Units) -> Units:
    """Return both together; unknown if one is."""
    return None if one is None or other is None else Counter(one) + Counter(other)
