"""What a visitor, and the log, are told of a request that fails.

Datasette prints every exception with the variables of each frame: passwords, their hashes and rows
of the warehouse. Here it is one line: the method, the path, the status, what kind of exception and
where. Nothing of the query, the headers or the body, and no message, because any of them may quote
what nobody else is to read.
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
from etl.show.terminal import harmless
from etl.web.protocol import App, Message, Receive, Scope, Send

LOG = logging.getLogger("bedrock_usage.serve")

_LONGEST_PATH = 200
_NOT_UNDERSTOOD = "The address, or what was sent to it, cannot be understood"
_TOO_LONG = "The statement took too long and was ended; ask for less"
_OURS = "The server could not answer; its log names the place"

# What no address can bring about.
_TROUBLE = (OSError, MemoryError, RuntimeError, sqlite3.OperationalError, BedrockUsageError)


class Failure(NamedTuple):
    """What is said of one. ``title``: for the page, None for none."""

    status: int
    message: str
    title: str | None = None
    details: Mapping[str, Any] = {}


def failure_of(exception: Exception, *, is_own: bool) -> Failure:
    """Return what is said of an exception.

    ``is_own``: one of our pages, which say themselves what is wrong with an address. Datasette's
    trip over it: all that they know is the address and the database.
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
            # It says 500 where it was not told otherwise, as of a column that there is not.
            400 if exception.status == 500 else exception.status,
            Markup(text) if exception.message_is_html else str(text),  # noqa: S704
            exception.title,
            exception.error_dict,
        )
    if isinstance(exception, OSError) and not is_own and _is_no_name(exception):
        return Failure(404, "404")
    if isinstance(exception, RecursionError):
        # Ours recurse nowhere: it is JSON, or a value in it, that is nested too deeply.
        return Failure(400, _NOT_UNDERSTOOD)
    if is_own or isinstance(exception, _TROUBLE) or type(exception) is sqlite3.DatabaseError:
        return Failure(500, _OURS)
    return Failure(400, _NOT_UNDERSTOOD)


def _is_no_name(error: OSError) -> bool:
    """Tell whether a file was asked for by a name that none can have."""
    return error.strerror in ("File name too long", "Not a directory", "Is a directory")


async def catch(app: App, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer what comes through Datasette's own net, or break off what is sent in part."""
    has_begun = False

    async def noting(message: Message) -> None:
        nonlocal has_begun
        has_begun = True
        await send(message)

    try:
        await app(scope, receive, noting)
    except Exception as error:
        failure = failure_of(error, is_own=has_begun)
        log(scope["method"], scope["path"], failure.status, error)
        if not has_begun:
            await Response.text(failure.message, failure.status).asgi_send(send)


async def answer(
    datasette: Datasette, request: Request, exception: Exception, *, is_own: bool
) -> Response:
    """Log what happened, and return what the visitor is told: a page, or JSON as of Datasette."""
    failure = failure_of(exception, is_own=is_own)
    log(request.method, request.path, failure.status, exception)
    told = {
        **failure.details,
        "ok": False,
        "error": failure.message,
        "status": failure.status,
        "title": failure.title,
    }
    if request.path.endswith(".json"):
        return Response.json(told, status=failure.status)
    template = datasette.jinja_env.get_template("usage_error.html")
    page = await template.render_async(told | {"urls": datasette.urls})
    return Response.html(page, status=failure.status)


def log(method: str, path: str, status: int, exception: Exception) -> None:
    """Write the line."""
    what = type(exception).__name__
    if status >= 500:
        what = f"{what} at {_place(exception)}"
    line = harmless(f"{method[:20]} {path[:_LONGEST_PATH]} {status}: {what}")
    LOG.log(logging.ERROR if status >= 500 else logging.WARNING, "%s", line)


def _place(exception: Exception) -> str:
    frames = traceback.extract_tb(exception.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "an unknown place"
