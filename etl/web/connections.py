"""The connections of the server: idle ones are nobody's harm, slow ones end.

uvicorn counts every connection against its limit, so that two hundred that ask for nothing refuse
everybody, and it waits for ever for the rest of a request, and for whoever does not read an answer.
Here requests are counted and connections are timed. Where there are too many of either, or answers
that nobody reads fill the memory, a connection goes that waits for its client: the one that does so
for longest, first of the address that has most of them.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any
from weakref import WeakSet

from datasette.utils.asgi import Response
from uvicorn.protocols.http.h11_impl import H11Protocol

from etl.web.login_attempts import network_of
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
# Of all answers together that were written and not read.
UNREAD_BYTES = 128 << 20

_open: WeakSet[Connection] = WeakSet()


class Connection(H11Protocol):
    """One connection. Idle is one that waits for its client."""

    _head_timer: asyncio.TimerHandle | None = None
    _unread_timer: asyncio.TimerHandle | None = None
    # When it last became idle, of the loop's clock.
    idle_since = 0.0
    # Whose it is: counted for each new connection, so it is found out once.
    network = ""

    @property
    def has_request(self) -> bool:
        """Whether a request is being answered."""
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def is_idle(self) -> bool:
        """Whether it waits for a request, for the rest of one, or for somebody to read."""
        return not self.has_request or self.cycle.more_body or self._unread_timer is not None

    @property
    def unread_bytes(self) -> int:
        """How much was written and not read."""
        return int(self.transport.get_write_buffer_size())

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, and end another connection where there are too many."""
        super().connection_made(transport)
        self.idle_since = self.loop.time()
        self.network = network_of(self.client[0]) if self.client else ""
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self.abort)
        _open.add(self)
        if len(self.connections) > MAX_CONNECTIONS and not _end_one(but=self):
            self.abort()

    def data_received(self, data: bytes) -> None:
        """Wait for the rest of a head no longer than for all of it."""
        super().data_received(data)
        if self.has_request:
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
        self.idle_since = self.loop.time()
        self._unread_timer = self.loop.call_later(UNREAD_SECONDS, self.abort)
        unread = [found for found in _open if found.unread_bytes]
        if sum(found.unread_bytes for found in unread) > UNREAD_BYTES:
            _end_first(unread)

    def resume_writing(self) -> None:
        """Go on."""
        super().resume_writing()
        self._unread_timer = _stopped(self._unread_timer)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        _open.discard(self)
        self._head_timer = _stopped(self._head_timer)
        self._unread_timer = _stopped(self._unread_timer)
        super().connection_lost(exc)

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: who asks for a web socket gets a page."""

    def abort(self) -> None:
        """End the connection at once."""
        _open.discard(self)
        self.transport.abort()


def _stopped(timer: asyncio.TimerHandle | None) -> asyncio.TimerHandle | None:
    if timer is not None:
        timer.cancel()
    return None


def _end_one(but: Connection) -> bool:
    """End a connection that waits for its client; False if there is none ``but`` one."""
    return _end_first([found for found in _open if found.is_idle and found is not but])


def _end_one_with_request() -> bool:
    return _end_first([found for found in _open if found.is_idle and found.has_request])


def _end_first(idle: list[Connection]) -> bool:
    """End the one that waits for longest, of the address with the most of them."""
    if not idle:
        return False
    counts = Counter(found.network for found in idle)
    most = max(counts.values())
    crowd = [found for found in idle if counts[found.network] == most]
    min(crowd, key=lambda found: found.idle_since).abort()
    return True


def at_most(app: App, limit: int = MAX_REQUESTS) -> App:
    """Return an app that answers so many requests at once, and tells others to come again."""
    under_way = 0

    async def limited(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal under_way
        if scope["type"] == "http" and under_way >= limit and not _end_one_with_request():
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
