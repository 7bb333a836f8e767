"""The connections of the server: idle ones do no harm, slow ones are closed.

uvicorn counts every connection against its limit, so two hundred idle ones lock out every visitor.
It also waits forever for the rest of a request, and for a client that does not read its response.
Here requests are counted and connections have time limits. When there are too many of either, or
unread responses fill the memory, a connection that waits for its client is closed: the one that has
waited longest, from the address with the most such connections.
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

# At once; more than people and their charts make. The next one gets a 503 and may retry.
MAX_REQUESTS = 200
# Below 1,024, a common limit on the open files of a process.
MAX_CONNECTIONS = 500

# For the head of a request, from the connection or the head's first byte.
HEAD_SECONDS = 10.0
# Between two requests.
IDLE_SECONDS = 5
# While the client reads no byte of a response.
UNREAD_SECONDS = 60.0
# Over all responses: bytes written and not yet read.
UNREAD_BYTES = 128 << 20

_open: WeakSet[Connection] = WeakSet()


class Connection(H11Protocol):
    """One connection. It is idle while it waits for its client."""

    _head_timer: asyncio.TimerHandle | None = None
    _unread_timer: asyncio.TimerHandle | None = None
    # When it last became idle, on the loop's clock.
    idle_since = 0.0
    # The client's network. Every new connection may count these, so it is computed once.
    network = ""

    @property
    def has_request(self) -> bool:
        """Whether a request is being answered."""
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def is_idle(self) -> bool:
        """Whether it waits for a request, for the rest of one, or for its client to read."""
        return not self.has_request or self.cycle.more_body or self._unread_timer is not None

    @property
    def unread_bytes(self) -> int:
        """The number of bytes written and not yet read."""
        return int(self.transport.get_write_buffer_size())

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start, and close another connection if there are too many."""
        super().connection_made(transport)
        self.idle_since = self.loop.time()
        self.network = network_of(self.client[0]) if self.client else ""
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self.abort)
        _open.add(self)
        if len(self.connections) > MAX_CONNECTIONS and not _end_one(except_for=self):
            self.abort()

    def data_received(self, data: bytes) -> None:
        """Allow the rest of a head no more time than a whole one."""
        super().data_received(data)
        if self.has_request:
            self._head_timer = _stopped(self._head_timer)
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self.abort)

    def on_response_complete(self) -> None:
        """Become idle, until uvicorn's own timer closes the connection."""
        self.idle_since = self.loop.time()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Start the timer for a client that does not read."""
        super().pause_writing()
        self.idle_since = self.loop.time()
        self._unread_timer = self.loop.call_later(UNREAD_SECONDS, self.abort)
        unread = [found for found in _open if found.unread_bytes]
        if sum(found.unread_bytes for found in unread) > UNREAD_BYTES:
            _end_first(unread)

    def resume_writing(self) -> None:
        """Stop the timer."""
        super().resume_writing()
        self._unread_timer = _stopped(self._unread_timer)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        _open.discard(self)
        self._head_timer = _stopped(self._head_timer)
        self._unread_timer = _stopped(self._unread_timer)
        super().connection_lost(exc)

    def _unsupported_upgrade_warning(self) -> None:
        """Log nothing: a request for a web socket gets a page."""

    def abort(self) -> None:
        """Close the connection at once."""
        _open.discard(self)
        self.transport.abort()


def _stopped(timer: asyncio.TimerHandle | None) -> asyncio.TimerHandle | None:
    if timer is not None:
        timer.cancel()
    return None


def _end_one(*, except_for: Connection) -> bool:
    """Close one other connection that waits for its client; False if there is none."""
    return _end_first([found for found in _open if found.is_idle and found is not except_for])


def _end_one_with_request() -> bool:
    return _end_first([found for found in _open if found.is_idle and found.has_request])


# No one who is being answered is cut off (DECISIONS 129, 134).
def _end_first(idle: list[Connection]) -> bool:
    """Close the one that has waited longest, of the address with the most of them."""
    if not idle:
        return False
    counts = Counter(found.network for found in idle)
    most = max(counts.values())
    crowd = [found for found in idle if counts[found.network] == most]
    min(crowd, key=lambda found: found.idle_since).abort()
    return True


def at_most(app: App, limit: int = MAX_REQUESTS) -> App:
    """Return an app that answers at most ``limit`` requests at once, and the rest with a 503."""
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
    """Return uvicorn's settings for connections."""
    return {"http": Connection, "timeout_keep_alive": IDLE_SECONDS}
