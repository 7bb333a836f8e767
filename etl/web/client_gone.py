"""Work that ends when nobody waits for it any more."""

from __future__ import annotations

import asyncio

from etl.web.protocol import App, Message, Receive, Scope, Send


async def answer_while_connected(
    app: App, scope: Scope, body: Receive, receive: Receive, send: Send
) -> None:
    """Let an app answer, and cancel it when the client goes: its statements then end too.

    ``body``: what the app may read; ``receive``: where the server says that the client is gone.
    """
    is_sent = False

    async def sending(message: Message) -> None:
        nonlocal is_sent
        # Before it is sent: a server then says that the client is gone, which means nothing.
        is_sent = message["type"] == "http.response.body" and not message.get("more_body", False)
        await send(message)

    answer = asyncio.ensure_future(app(scope, body, sending))
    gone = asyncio.ensure_future(_wait_until_gone(receive))
    try:
        await asyncio.wait((answer, gone), return_when=asyncio.FIRST_COMPLETED)
        if answer.done() or is_sent or not gone.result():
            await answer
    finally:
        gone.cancel()
        answer.cancel()
        # Both have ended before the server goes on.
        await asyncio.gather(answer, gone, return_exceptions=True)


async def _wait_until_gone(receive: Receive) -> bool:
    """Return True once the client has gone; False from a server that never says so."""
    has_more = True
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return True
        if not has_more:
            return False
        has_more = message.get("more_body", False)
