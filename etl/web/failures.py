"""What the visitor sees, and what is logged, when a request fails.

Datasette prints every exception with the variables of each frame: passwords, their hashes and rows
of the warehouse. Here it is one line: the method, the path, the status, the type of the exception
and where it was raised. The line contains nothing from the query, headers or body, and no exception
message: any of them may quote private data.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from datasette.app import Datasette
from datasette.database import QueryInterrupted
from datasette.utils import sqlite3
from datasette.utils.asgi import Base400, Request, Response
from datasette.views.base import DatasetteError
from markupsafe import Markup

from etl.errors import BedrockUsageError
from etl.show.escaping import harmless
from etl.web.protocol import App, Message, Receive, Scope, Send

LOG = logging.getLogger("bedrock_usage.serve")

_LONGEST_PATH = 200
_NOT_UNDERSTOOD = "The address or the submitted data cannot be understood"
_TOO_LONG = "The query took too long and was stopped; ask for less"
_OURS = "The server failed; its log shows where"

# Failures that no address can cause.
_SERVER_ERRORS = (OSError, MemoryError, RuntimeError, sqlite3.OperationalError, BedrockUsageError)


class Failure(NamedTuple):
    """What a visitor is shown. ``title``: the page's title, if it has its own."""

    status: int
    message: str
    title: str | None = None
    details: Mapping[str, Any] = {}


def failure_of(exception: Exception, *, is_own: bool) -> Failure:
    """Return what to show for an exception.

    ``is_own``: raised by one of our pages. These report a bad address themselves, so any other
    exception is a server error. Datasette's pages raise arbitrary exceptions on a bad address:
    their only input is the address and the database.
    """
    if isinstance(exception, Base400):
        return Failure(exception.status, str(exception.args[0] if exception.args else ""))
    if isinstance(exception, DatasetteError) and isinstance(
        exception.__context__, QueryInterrupted
    ):
        return Failure(400, _TOO_LONG, exception.title)
    if isinstance(exception, DatasetteError):
        text = exception.message
        return Failure(
            # The status defaults to 500, even for a missing column.
            400 if exception.status == 500 else exception.status,
            Markup(text) if exception.message_is_html else str(text),  # noqa: S704
            exception.title,
            exception.error_dict,
        )
    if isinstance(exception, OSError) and not is_own and _is_bad_file_name(exception):
        return Failure(404, "404")
    if isinstance(exception, RecursionError):
        # Our code does not recurse: JSON, or a value in it, is nested too deeply.
        return Failure(400, _NOT_UNDERSTOOD)
    if is_own or isinstance(exception, _SERVER_ERRORS) or type(exception) is sqlite3.DatabaseError:
        return Failure(500, _OURS)
    return Failure(400, _NOT_UNDERSTOOD)


def _is_bad_file_name(error: OSError) -> bool:
    """Return whether the request named a file that cannot exist."""
    return error.strerror in ("File name too long", "Not a directory", "Is a directory")


async def catch(app: App, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer an exception that Datasette does not catch; cut off a response already begun."""
    has_begun = False

    async def send_and_note(message: Message) -> None:
        nonlocal has_begun
        has_begun = True
        await send(message)

    try:
        await app(scope, receive, send_and_note)
    except Exception as error:
        failure = failure_of(error, is_own=has_begun)
        log(scope["method"], scope["path"], failure.status, error)
        if not has_begun:
            await Response.text(failure.message, failure.status).asgi_send(send)


async def answer(
    datasette: Datasette, request: Request, exception: Exception, *, is_own: bool
) -> Response:
    """Log the failure, and return the response: a page, or JSON in Datasette's form."""
    failure = failure_of(exception, is_own=is_own)
    log(request.method, request.path, failure.status, exception)
    content = {
        **failure.details,
        "ok": False,
        "error": failure.message,
        "status": failure.status,
        "title": failure.title,
    }
    if request.path.endswith(".json"):
        return Response.json(content, status=failure.status)
    return await page(datasette, failure.status, failure.message, failure.title)


async def page(
    datasette: Datasette, status: int, message: str, title: str | None = None
) -> Response:
    """Return the page for a failed request, with a way back."""
    # This may be the first request since the start.
    await datasette.invoke_startup()
    template = datasette.jinja_env.get_template("usage_error.html")
    context = {"status": status, "error": message, "title": title, "urls": datasette.urls}
    return Response.html(await template.render_async(context), status=status)


def log(method: str, path: str, status: int, exception: Exception) -> None:
    """Log the failure in one line."""
    what = type(exception).__name__
    if status >= 500:
        what = f"{what} at {_place(exception)}"
    line = harmless(f"{method[:20]} {path[:_LONGEST_PATH]} {status}: {what}")
    LOG.log(logging.ERROR if status >= 500 else logging.WARNING, "%s", line)


def _place(exception: Exception) -> str:
    frames = traceback.extract_tb(exception.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "an unknown place"
