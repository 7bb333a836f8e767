"""Cancel work when its client disconnects."""

from __future__ import annotations

import asyncio

from etl.web.protocol import App, Message, Receive, Scope, Send


async def answer_while_connected(
    app: App, scope: Scope, body: Receive, receive: Receive, send: Send
) -> None:
    """Run an app, and cancel it when the client disconnects, which also stops its statements.

    ``body``: the ``receive`` for the app; ``receive``: the server's, which reports the disconnect.
    """
    is_sent = False

    async def send_and_note(message: Message) -> None:
        nonlocal is_sent
        # Set this before sending: after a full response, a server always reports a disconnect.
        is_sent = message["type"] == "http.response.body" and not message.get("more_body", False)
        await send(message)

    answer = asyncio.ensure_future(app(scope, body, send_and_note))
    gone = asyncio.ensure_future(_wait_until_gone(receive))
    try:
        await asyncio.wait((answer, gone), return_when=asyncio.FIRST_COMPLETED)
        if answer.done() or is_sent or not gone.result():
            await answer
    finally:
        gone.cancel()
        answer.cancel()
        # Both must end before the server continues.
        await asyncio.gather(answer, gone, return_exceptions=True)


async def _wait_until_gone(receive: Receive) -> bool:
    """Return True once the client disconnects; False if the server never reports it."""
    has_more = True
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return True
        if not has_more:
            return False
        has_more = message.get("more_body", False)
