"""A thread that answers Datasette's own pages, so that the dashboard does not wait for them.

Rendering five thousand rows takes ten seconds of Python, and an event loop answers no other request
in that time. In another thread's loop it takes no more than its share of the processor.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import closing
from typing import Any
from weakref import finalize

from etl.web.protocol import App, Message, Receive, Scope, Send

# Of a response, collected before it passes to the other thread: CSV arrives row by row.
_PART_BYTES = 64 << 10


# A process would need all of Datasette twice (DECISIONS 133).
class DatasetteThread:
    """The thread of one site."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=_run, args=(self._loop,), name="datasette", daemon=True).start()
        finalize(self, _stop, self._loop)

    async def answer(self, app: App, scope: Scope, receive: Receive, send: Send) -> None:
        """Run an app in the thread; cancelling this cancels the app.

        ``receive`` is called in the thread, and ``send`` in the caller's loop.
        """
        caller = asyncio.get_running_loop()

        async def send_to_caller(message: Message) -> None:
            if caller.is_closed():
                raise ConnectionAbortedError("the server has stopped")
            await _run_in(caller, send(message))

        await _run_in(self._loop, app(scope, receive, _in_parts(send_to_caller)))


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


async def _run_in(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, None]) -> None:
    await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, loop))


def _in_parts(send: Send) -> Send:
    """Join small parts of a body."""
    part = bytearray()

    async def send_joined(message: Message) -> None:
        if message["type"] != "http.response.body":
            await send(message)
            return
        part.extend(message.get("body", b""))
        has_more = message.get("more_body", False)
        if not has_more or len(part) >= _PART_BYTES:
            body = bytes(part)
            part.clear()
            await send({"type": "http.response.body", "body": body, "more_body": has_more})

    return send_joined
