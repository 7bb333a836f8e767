"""How several reports of one call become one: copies, corrections, and the record of a log.

Nothing here depends on which report came first: a warehouse has the same calls, whatever was read
before. Tokens are merged elsewhere (``etl.normalise.reports``).
"""

from __future__ import annotations

from collections.abc import Sequence

from etl.normalise.application import APPLICATION_SOURCES, REQUEST_METADATA, UNKNOWN
from etl.normalise.rows import INVOCATION_LOG, Event

# Part of the ARN of a prompt router, which is not a model.
PROMPT_ROUTER = "prompt-router/"

# The fields in which copies of an event may differ, those that matter most first.
_OF_EVENTS = (
    *("is_home_copy", "shared_event_id", "principal_arn", "principal_type", "session_name"),
    *("user_name", "provider", "error_code", "account_id", "region", "event_source", "event_name"),
    *("project", "user_agent", "source_address", "request_id"),
)
# Those that a log completes: once one has, a difference is not one of copies.
_OF_LOGS_TOO = (
    *("model_id", "application_source", "application", "service_tier", "request_metadata"),
    *("guardrail_action", "guardrail_use"),
)


def merge_reports(event: Event, logged: Event) -> Event:
    """Complete an event with what an invocation log reports about the call. Tokens stay unchanged.

    The event's values take precedence. But an application named in the request metadata ranks above
    one that only the user agent names.
    """
    rank = APPLICATION_SOURCES.index
    best = min((event, logged), key=lambda report: rank(report.application_source))
    return event._replace(
        model_id=_better_model(event.model_id, logged.model_id),
        application=best.application,
        application_source=best.application_source,
        inference_region=event.inference_region or logged.inference_region,
        service_tier=event.service_tier or logged.service_tier,
        request_metadata=logged.request_metadata or event.request_metadata,
        guardrail_action=logged.guardrail_action or event.guardrail_action,
        guardrail_use=logged.guardrail_use or event.guardrail_use,
        reported_by=event.reported_by | logged.reported_by,
    )


def _better_model(sent: str | None, logged: str | None) -> str | None:
    """Return the model of a call; a log may know which one a prompt router chose."""
    return logged if logged and (sent is None or PROMPT_ROUTER in sent) else sent


def better_copy(one: Event, other: Event) -> Event:
    """Return which of two copies of an event stays: ``one`` itself if they say the same.

    The first field in which they differ decides: what is known before what is not, then the lower
    text. So it is the same copy, whichever comes first.
    """
    has_log = (one.reported_by | other.reported_by) & INVOCATION_LOG
    fields = _OF_EVENTS if has_log else _OF_EVENTS + _OF_LOGS_TOO
    if _rank(other, fields) >= _rank(one, fields):
        return one
    best = other._replace(credential=other.credential or one.credential)
    if one.reported_by & INVOCATION_LOG:
        return merge_reports(best, _logged_part(one))
    return best._replace(inference_region=other.inference_region or one.inference_region)


def _rank(event: Event, fields: Sequence[str]) -> list[tuple[bool, str]]:
    values = (getattr(event, field) for field in fields)
    return [(value is None or value is False, str(value)) for value in values]


def complete_correction(calls: Sequence[Event]) -> Event:
    """Return the first call, a correction, completed with fields of the other reports of it."""
    first, *others = calls
    for other in others:
        first = first._replace(
            request_id=first.request_id or other.request_id,
            shared_event_id=first.shared_event_id or other.shared_event_id,
            model_id=first.model_id or other.model_id,
            inference_region=first.inference_region or other.inference_region,
            service_tier=first.service_tier or other.service_tier,
            provider=first.provider or other.provider,
            project=first.project or other.project,
            source_address=first.source_address or other.source_address,
            credential=first.credential or other.credential,
        )
        if other.reported_by & INVOCATION_LOG:
            # The log's data must not be lost with the event it was merged into.
            first = merge_reports(first, _logged_part(other))
    return first._replace(is_correction=True, correction_id=None, tokens=None)


def _logged_part(event: Event) -> Event:
    """Return the part of a stored call that an invocation log may have reported."""
    if event.application_source == REQUEST_METADATA:
        return event
    return event._replace(application=UNKNOWN, application_source=APPLICATION_SOURCES[-1])
