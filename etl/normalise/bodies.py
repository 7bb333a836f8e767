"""Which fields of an event may hold prompts or responses, and which cannot.

A list of body names is never complete. So where callers write, only what is known to be something
else counts as safe. ``etl.inspect`` uses this to show events, the archive to store them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

# What CloudTrail writes in place of a body.
HIDDEN = "HIDDEN_DUE_TO_SECURITY_REASONS"

# What Bedrock can log besides the record of a call. Each kind has its own switch: one that is not
# switched off by name is delivered.
# Source: Bedrock API reference, LoggingConfig (checked 2026-11-26).
DELIVERED_BODIES = ("text", "image", "embedding", "video", "audio")

CALLER_WRITTEN = frozenset({"requestParameters", "responseElements", "input", "output"})

BODY_NAMES = frozenset(
    {
        *("prompt", "prompts", "message", "messages", "system", "content", "contents", "text"),
        *("body", "input", "output", "inputtext", "outputtext", "inputbodyjson", "outputbodyjson"),
        *("completion", "completions", "generation", "query", "retrievalquery", "document"),
        *("toolconfig", "tools", "toolresult", "additionalmodelrequestfields", "promptvariables"),
    }
)

# In what a caller writes: names whose text is an id or a fixed word, and their containers.
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
# Counts, settings and measurements: a number under these names is not part of a prompt or response.
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

# AWS's own errors, raised before the request content is examined.
PLAIN_ERRORS = frozenset(
    {
        *("AccessDenied", "AccessDeniedException", "UnrecognizedClientException"),
        *("ExpiredTokenException", "ThrottlingException", "ServiceQuotaExceededException"),
        *("ResourceNotFoundException", "ServiceUnavailableException", "ModelNotReadyException"),
    }
)

_ID = re.compile(r"[!-~]{1,2048}", re.ASCII)
_NUMBER = re.compile(r"-?[0-9]{1,20}(?:\.[0-9]{1,10})?", re.ASCII)

# The mark that replaces a body.
STRIPPED = "STRIPPED_BY_BEDROCK_USAGE"

# These are kept whole: they name a call's application, and the warehouse stores them.
_METADATA = frozenset({"requestmetadata", "metadata"})

# What the warehouse reads. Text there is one of these names, whatever the caller sent.
_READ = frozenset({"modelid", "model", "jobarn", "invocationarn", "servicetier", "service_tier"})

_DEEPEST = 50


def is_id(value: str) -> bool:
    """Return whether text may be an id: no whitespace, and not longer than ids are."""
    return _ID.fullmatch(value) is not None


def without_bodies(text: str, record: object) -> str:
    """Return an event's text with every body replaced; the identical text if there is none.

    ``record``: the parsed text. What the parsers read from an event stays the same.
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
    """Return what AWS writes, which is not a body unless its name says so."""
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
        # None of these is nested any deeper.
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
    """Return the mark for a body. Empty values stay empty, and what AWS hid stays hidden."""
    is_nothing = (
        value is None or value == HIDDEN or (not value and not isinstance(value, (int, float)))
    )
    return value if is_nothing else STRIPPED
