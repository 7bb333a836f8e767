"""A thread that answers Datasette's own pages, so that the dashboard does not wait for them.

Drawing five thousand rows is Python and takes ten seconds, in which an event loop answers nobody
else. In a loop of another thread it takes no more than its share of the processor.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import closing
from typing import Any
from weakref import finalize

from etl.web.protocol import App, Message, Receive, Scope, Send

# Of an answer, before it goes from one thread to the other: CSV comes row by row.
_PART_BYTES = 64 << 10


class Beside:
    """The thread of one site."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=_run, args=(self._loop,), name="datasette", daemon=True).start()
        finalize(self, _stop, self._loop)

    async def answer(self, app: App, scope: Scope, receive: Receive, send: Send) -> None:
        """Let an app answer there; cancelled, it is cancelled.

        ``receive`` is called there, and ``send`` here.
        """
        here = asyncio.get_running_loop()

        async def sending(message: Message) -> None:
            if here.is_closed():
                raise ConnectionAbortedError("the server has stopped")
            await _in(here, send(message))

        await _in(self._loop, app(scope, receive, _in_parts(sending)))


def _run(loop: asyncio.AbstractEventLoop) -> None:
    with closing(loop):
        loop.run_forever()
        loop.run_until_complete(_cancel_all())


async def _cancel_all() -> None:
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


def _stop(loop: asyncio.AbstractEventLoop) -> None:
    loop.call_soon_threadsafe(loop.stop)


async def _in(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, None]) -> None:
    await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, loop))


def _in_parts(send: Send) -> Send:
    """Put small parts of a body together."""
    part = bytearray()

    async def sending(message: Message) -> None:
        if message["type"] != "http.response.body":
            await send(message)
            return
        part.extend(message.get("body", b""))
        has_more = message.get("more_body", False)
        if not has_more or len(part) >= _PART_BYTES:
            body = bytes(part)
            part.clear()
            await send({"type": "http.response.body", "body": body, "more_body": has_more})

    return sending
