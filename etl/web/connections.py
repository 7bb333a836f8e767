"""The connections of the server: idle ones are nobody's harm, slow ones end.

uvicorn counts every connection against its limit, so that two hundred that ask for nothing refuse
everybody, and it waits for ever for the rest of a request, and for whoever does not read an answer.
Here requests are counted and connections are timed. Of too many connections the one that asks for
nothing for longest goes, first of the address that has most of them.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from datasette.utils.asgi import Response
from uvicorn.protocols.http.h11_impl import H11Protocol

from etl.web.attempts import network_of
from etl.web.protocol import App, Receive, Scope, Send

# More at once than people and their charts make; the next is told to come again.
MAX_REQUESTS = 200
# Below the 1,024 files that a process may often have open.
MAX_CONNECTIONS = 500

# For the head of a request, from the connection or its first byte on.
HEAD_SECONDS = 10.0
# Between two requests.
IDLE_SECONDS = 5
# Without a byte of an answer being taken.
UNREAD_SECONDS = 60.0


class Connection(H11Protocol):
    """One connection. Idle is one on which no request is being answered."""

    _head_timer: asyncio.TimerHandle | None = None
    _unread_timer: asyncio.TimerHandle | None = None
    # When it last became idle, of the loop's clock.
    idle_since = 0.0

    @property
    def is_idle(self) -> bool:
        """Whether no request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, and end another connection where there are too many."""
        super().connection_made(transport)
        self.idle_since = self.loop.time()
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self.abort)
        others = [other for other in self.connections if isinstance(other, Connection)]
        if len(others) > MAX_CONNECTIONS:
            _least_needed(others, self).abort()

    def data_received(self, data: bytes) -> None:
        """Wait for the rest of a head no longer than for all of it."""
        super().data_received(data)
        if not self.is_idle:
            self._head_timer = _stopped(self._head_timer)
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self.abort)

    def on_response_complete(self) -> None:
        """Be idle, until uvicorn's own timer ends it."""
        self.idle_since = self.loop.time()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Wait for a reader who does not read."""
        super().pause_writing()
        self._unread_timer = self.loop.call_later(UNREAD_SECONDS, self.abort)

    def resume_writing(self) -> None:
        """Go on."""
        super().resume_writing()
        self._unread_timer = _stopped(self._unread_timer)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._head_timer = _stopped(self._head_timer)
        self._unread_timer = _stopped(self._unread_timer)
        super().connection_lost(exc)

    def abort(self) -> None:
        """End the connection at once."""
        self.transport.abort()


def _stopped(timer: asyncio.TimerHandle | None) -> asyncio.TimerHandle | None:
    if timer is not None:
        timer.cancel()
    return None


def _least_needed(connections: list[Connection], newest: Connection) -> Connection:
    """Return the connection to end: idle for longest, of the address with the most idle ones."""
    idle = [found for found in connections if found.is_idle and found is not newest]
    if not idle:
        return newest
    counts = Counter(map(_whose, idle))
    most = max(counts.values())
    crowd = [found for found in idle if counts[_whose(found)] == most]
    return min(crowd, key=lambda found: found.idle_since)


def _whose(connection: Connection) -> str:
    return network_of(connection.client[0]) if connection.client else ""


def at_most(app: App, limit: int = MAX_REQUESTS) -> App:
    """Return an app that answers so many requests at once, and tells others to come again."""
    under_way = 0

    async def limited(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal under_way
        if scope["type"] == "http" and under_way >= limit:
            await Response.text("Too busy; try again", 503, {"Retry-After": "1"}).asgi_send(send)
            return
        under_way += 1
        try:
            await app(scope, receive, send)
        finally:
            under_way -= 1

    return limited


def settings() -> dict[str, Any]:
    """Return what uvicorn is told of connections."""
    return {"http": Connection, "timeout_keep_alive": IDLE_SECONDS}
