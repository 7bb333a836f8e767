"""Which fields of an event may hold what somebody asked or was answered, and which cannot.

A list of names that bodies have is never complete: where callers write, only what is known to be
something else counts as safe. ``etl.inspect`` shows events by it, the archive keeps them by it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

# What CloudTrail itself puts in place of a body.
HIDDEN = "HIDDEN_DUE_TO_SECURITY_REASONS"

CALLER_WRITTEN = frozenset({"requestParameters", "responseElements", "input", "output"})

BODY_NAMES = frozenset(
    {
        *("prompt", "prompts", "message", "messages", "system", "content", "contents", "text"),
        *("body", "input", "output", "inputtext", "outputtext", "inputbodyjson", "outputbodyjson"),
        *("completion", "completions", "generation", "query", "retrievalquery", "document"),
        *("toolconfig", "tools", "toolresult", "additionalmodelrequestfields", "promptvariables"),
    }
)

# Of what a caller writes: names whose text is an id or one of a few words, and what they stand in.
ID_NAMES = frozenset(
    {
        *("modelid", "model", "latency", "type", "servicetier", "service_tier", "trace"),
        *("guardrailidentifier", "guardrailversion", "guardrailid", "accept", "contenttype"),
        *("inputcontenttype", "outputcontenttype", "inputbodys3path", "outputbodys3path"),
        *("agentid", "agentaliasid", "sessionid", "flowidentifier", "flowaliasidentifier"),
        *("knowledgebaseid", "jobname", "jobarn", "rolearn", "invocationarn", "project"),
    }
)
ENTERED = frozenset(
    {
        *("performanceconfig", "servicetier", "service_tier", "inferenceconfig"),
        *("guardrailconfig", "usage"),
    }
)
# Counts, settings and measures: what stands there as a number is no part of a prompt or an answer.
NUMBER_NAMES = frozenset(
    {
        *("inputtokens", "outputtokens", "totaltokens", "input_tokens", "output_tokens"),
        *("total_tokens", "prompt_tokens", "completion_tokens", "inputtokencount"),
        *("outputtokencount", "totaltokencount", "cachereadinputtokens", "cachewriteinputtokens"),
        *("cachereadinputtokencount", "cachewriteinputtokencount", "cache_read_input_tokens"),
        *("cache_creation_input_tokens", "cachedetails", "imagecount", "numberofimages"),
        *("maxtokens", "max_tokens", "maxtokencount", "max_tokens_to_sample", "max_gen_len"),
        *("max_completion_tokens", "max_output_tokens", "temperature", "topp", "top_p", "topk"),
        *("top_k", "latencyms", "invocationlatency", "firstbytelatency", "stream", "seed"),
        *("callwithbearertoken", "timeoutdurationinhours", "numberofresults", "httpstatuscode"),
    }
)

# Errors of AWS's own, raised before anybody looks at what was asked.
PLAIN_ERRORS = frozenset(
    {
        *("AccessDenied", "AccessDeniedException", "UnrecognizedClientException"),
        *("ExpiredTokenException", "ThrottlingException", "ServiceQuotaExceededException"),
        *("ResourceNotFoundException", "ServiceUnavailableException", "ModelNotReadyException"),
    }
)

_ID = re.compile(r"[!-~]{1,2048}", re.ASCII)
_NUMBER = re.compile(r"-?[0-9]{1,20}(?:\.[0-9]{1,10})?", re.ASCII)

# What is left in place of a body.
STRIPPED = "STRIPPED_BY_BEDROCK_USAGE"

# Of these all is kept: whose application a call is, and what the warehouse keeps of it.
_METADATA = frozenset({"requestmetadata", "metadata"})

# What the warehouse reads. A text there is one of its names, whatever the caller has put in.
_READ = frozenset({"modelid", "model", "jobarn", "invocationarn", "servicetier", "service_tier"})

_DEEPEST = 50


def is_id(value: str) -> bool:
    """Return whether a text may be an id: without a blank, and not longer than ids are."""
    return _ID.fullmatch(value) is not None


def without_bodies(text: str, record: object) -> str:
    """Return an event's text with every body replaced; the very same text where there is none.

    ``record``: what the text says. What is understood of an event stays the same.
    """
    if not isinstance(record, dict):
        return json.dumps(_strip(record))
    stripped = {key: _top(key, value, record) for key, value in record.items()}
    return text if stripped == record else json.dumps(stripped, separators=(",", ":"))


def _top(key: str, value: object, record: Mapping[str, Any]) -> object:
    if key in CALLER_WRITTEN:
        return _caller_written(value)
    if key == "errorMessage" and record.get("errorCode") not in PLAIN_ERRORS:
        return _strip(value)
    return _aws_written(key, value, _DEEPEST)


def _aws_written(key: str, value: object, depth: int) -> object:
    """Return what AWS writes, which is no body unless it says so."""
    if key.casefold() in BODY_NAMES or (depth == 0 and isinstance(value, (dict, list))):
        return _strip(value)
    if isinstance(value, dict):
        return {name: _aws_written(name, field, depth - 1) for name, field in value.items()}
    if isinstance(value, list):
        return [_aws_written("", item, depth - 1) for item in value]
    return value


def _caller_written(value: object) -> object:
    if not isinstance(value, dict):
        return _strip(value)
    return {key: _caller_field(key.casefold(), field) for key, field in value.items()}


def _caller_field(name: str, value: object) -> object:
    if name in _METADATA:
        return value
    if isinstance(value, dict) and name in ENTERED:
        # Of those none has any deeper inside.
        return {key: _caller_value(key.casefold(), field) for key, field in value.items()}
    return _caller_value(name, value)


def _caller_value(name: str, value: object) -> object:
    if name in _READ:
        return value if isinstance(value, str) else None
    is_number = isinstance(value, (bool, int, float)) or (
        isinstance(value, str) and _NUMBER.fullmatch(value)
    )
    is_name = name in ID_NAMES and isinstance(value, str) and is_id(value)
    return value if is_name or (is_number and name in NUMBER_NAMES) else _strip(value)


def _strip(value: object) -> object:
    """Return the mark for a body; nothing stays nothing, and what AWS hid stays hidden."""
    is_nothing = (
        value is None or value == HIDDEN or (not value and not isinstance(value, (int, float)))
    )
    return value if is_nothing else STRIPPED
