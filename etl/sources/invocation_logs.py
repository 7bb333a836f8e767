"""CloudWatch Logs: the events of the log group that Bedrock writes its invocation logs to.

FilterLogEvents returns the oldest event first. A page may be empty without being the last: only a
page without a token is the last. A token is valid for 24 hours. When one fails, the rest of the
window is requested again, from the newest event seen. The warehouse treats a call that is read
twice as the same call.

Bedrock writes all calls of an account and region to one stream. The request names it as a prefix,
because a stream without events is an error when requested by name, but not by prefix.

Source: CloudWatch Logs API reference, FilterLogEvents; Bedrock user guide, "Monitor model
invocation using CloudWatch Logs and Amazon S3" (checked 2026-11-25).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from etl.errors import AccessError, RetriableError, TokenError
from etl.sources.aws import NotFoundError, Place
from etl.sources.limiter import logs_limiter

STREAM = "aws/bedrock/modelinvocations"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_SECOND = timedelta(seconds=1)


class LogEvent(NamedTuple):
    """One event. ``message``: its text, None if it has none."""

    event_id: str
    message: str | None


class LogPage(NamedTuple):
    """Events, oldest first. ``oldest``, ``newest``: their times, None for an empty page.

    Times are rounded down to whole seconds, so asking again from one of them upwards misses
    nothing.
    """

    events: list[LogEvent]
    oldest: datetime | None
    newest: datetime | None
    is_last: bool


def filter_events(
    place: Place, log_group: str, start: datetime, end: datetime
) -> Iterator[LogPage]:
    """Yield the pages of all invocation logs from ``start`` to ``end``, both seconds included.

    Ends only when CloudWatch Logs reports no more pages. Raises the kinds of SourceError;
    NotFoundError if the group does not exist.
    """
    token, newest, asked_from = None, start, start
    while True:
        try:
            answer = _ask(place, _query(log_group, asked_from, end, token))
        except (AccessError, TokenError) as error:
            if token is None or not _is_bad_token(error):
                raise
            if newest == asked_from:
                # A retry from the same second would fail in the same place.
                raise RetriableError(f"{error}, repeatedly") from None
            token, asked_from = None, newest
            continue
        token = answer.get("nextToken")
        page = _page(answer["events"], is_last=token is None)
        newest = max(newest, page.newest or newest)
        yield page
        if token is None:
            return


def last_hour(log_group: str, now: datetime) -> dict[str, Any]:
    """Return the parameters of the cheapest possible request."""
    return _query(log_group, now - timedelta(hours=1), now, None) | {"limit": 1}


def _query(log_group: str, start: datetime, end: datetime, token: str | None) -> dict[str, Any]:
    query = {
        "logGroupName": log_group,
        "logStreamNamePrefix": STREAM,
        "startTime": _milliseconds(start),
        "endTime": _milliseconds(end + _SECOND) - 1,
    }
    return query | ({"nextToken": token} if token else {})


def _ask(place: Place, query: Mapping[str, Any]) -> dict[str, Any]:
    limiter = logs_limiter(place.account_id, place.region)
    try:
        return place.call("logs", "FilterLogEvents", query, requires="events", limiter=limiter)
    except NotFoundError:
        raise NotFoundError(
            f"logs:FilterLogEvents {place}: there is no log group {query['logGroupName']}; enable"
            " Bedrock's invocation logging, or name its group as log_group under"
            " [sources.invocation_logs] (`bedrock-usage doctor` shows which it is)"
        ) from None


def _is_bad_token(error: AccessError | TokenError) -> bool:
    # CloudWatch Logs has no specific error for it, and the other parameters were valid before.
    return isinstance(error, TokenError) or error.code == "InvalidParameterException"


def _page(answered: list[Any], *, is_last: bool) -> LogPage:
    # An item that is not an event becomes an empty event, which is rejected like any other.
    items = [item if isinstance(item, Mapping) else {} for item in answered]
    times = [moment for item in items if (moment := _second(item.get("timestamp")))]
    events = [LogEvent(str(item.get("eventId")), _text(item.get("message"))) for item in items]
    return LogPage(events, min(times, default=None), max(times, default=None), is_last)


def _text(message: Any) -> str | None:
    return message if isinstance(message, str) else None


def _milliseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _MILLISECOND


def _second(milliseconds: int | None) -> datetime | None:
    """Return a time in whole seconds; None if it is missing or not a valid date."""
    if not isinstance(milliseconds, int):
        return None
    try:
        return _EPOCH + timedelta(seconds=milliseconds // 1000)
    except OverflowError:
        return None
