"""The edge's side of live pages: one subscription a process, any number of event streams.

A stream's first event is the channel's present state. What it missed while it was slow or away is
never replayed: states replace one another, so the newest is all that a page needs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from webapp.config import Settings
from webapp.lib.signing import BadSignatureError
from webapp.live.channels import read_signed
from webapp.live.hub import Frames, Hub

RETRY_MILLISECONDS = 1000
HERE = b"event: here\ndata: here\n\n"
"""Tells a page that its stream comes through, though nothing changed: scripts do not see comments."""

Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]

logger = logging.getLogger(__name__)


async def live(settings: Settings, hub: Hub, path: str, receive: Receive, send: Send) -> None:
    """Answer `GET /live/{signed channel}` with an event stream that ends with its subject."""
    try:
        wants_html, channel = read_signed(settings, path.removeprefix("/live/"))
    except BadSignatureError:
        await _refuse(send)
        return
    await send({"type": "http.response.start", "status": 200, "headers": STREAM_HEADERS})
    stream = asyncio.create_task(_stream(hub, channel, wants_html, send))
    gone = asyncio.create_task(_wait_until_gone(receive))
    await asyncio.wait({stream, gone}, return_when=asyncio.FIRST_COMPLETED)
    for task in (gone, stream):
        task.cancel()
    outcome, _ = await asyncio.gather(stream, gone, return_exceptions=True)
    if isinstance(outcome, Exception):
        logger.warning("A stream broke off, its browser will come again: %s", outcome)


async def _stream(hub: Hub, channel: str, wants_html: bool, send: Send) -> None:
    await _send_body(send, f"retry: {RETRY_MILLISECONDS}\n".encode() + (HERE if wants_html else b"\n"))
    async for frames in hub.listen(channel):
        await _send_body(send, _bytes_for(frames, wants_html))
    await _send_body(send, b"", more=False)


def _bytes_for(frames: Frames | None, wants_html: bool) -> bytes:
    if frames is None:
        return HERE if wants_html else b": still here\n\n"
    return frames.html if wants_html else frames.json


async def _wait_until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send_body(send: Send, body: bytes, *, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def _refuse(send: Send) -> None:
    body = b"This live address is damaged or too old. Load the page again.\n"
    headers = [(b"content-type", b"text/plain; charset=utf-8"), *CORS_HEADERS]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await _send_body(send, body, more=False)


CORS_HEADERS = [(b"access-control-allow-origin", b"*"), (b"access-control-expose-headers", b"*")]
STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
    *CORS_HEADERS,
]
