"""The edge's side of live pages: one subscription a process, any number of event streams.

A stream's first event is the channel's present state. What it missed while it was slow or away is
never replayed: states replace one another, so the newest is all that a page needs.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import redis.asyncio
from redis.exceptions import RedisError

from webapp.config import Settings
from webapp.lib.signing import BadSignatureError
from webapp.live.channels import read_signed, state_key

KEEP_ALIVE_SECONDS = 15.0
RECONNECT_SECONDS = 0.5
RETRY_MILLISECONDS = 1000
HERE = b"event: here\ndata: here\n\n"
"""Tells a page that its stream comes through, though nothing changed: scripts do not see comments."""
OWN_CHANNEL = "live:"
"""Nobody publishes here; it keeps the subscription open while no page listens."""

Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Frames:
    """One state, already encoded for both kinds of listener."""

    html: bytes
    json: bytes
    final: bool

    @classmethod
    def of(cls, state: bytes) -> Frames:
        """The frames of a published state; each one's id is the millisecond in which it was said."""
        content = json.loads(state)
        said = f"id: {content['said_at']}\n".encode()
        end = b"event: done\ndata: done\n\n" if content["final"] else b""
        page = _frame(content["html"]) if content["html"] else b"event: change\ndata: {}\n\n"
        program = _frame(json.dumps(content["data"], ensure_ascii=False))
        return cls(said + page + end, said + program + end, content["final"])


@dataclass(eq=False)
class Listener:
    """What one stream has not sent yet: at most the newest state."""

    frames: Frames | None = None
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    def offer(self, frames: Frames) -> None:
        self.frames = frames
        self.wake.set()

    async def take(self) -> Frames | None:
        """The newest unsent state; None when nothing came for KEEP_ALIVE_SECONDS."""
        try:
            await asyncio.wait_for(self.wake.wait(), KEEP_ALIVE_SECONDS)
        except TimeoutError:
            return None
        self.wake.clear()
        return self.frames


@dataclass
class Channel:
    """One channel's listeners in this process, and whether the broker has confirmed the subscription."""

    listeners: set[Listener] = field(default_factory=set)
    confirmed: asyncio.Event = field(default_factory=asyncio.Event)


class Hub:
    """Fans the broker's messages out to this process's streams, over one connection."""

    def __init__(self, broker: redis.asyncio.Redis) -> None:
        self._broker = broker
        self._channels: dict[str, Channel] = {}
        self._pubsub = broker.pubsub()
        self._opening = asyncio.Lock()
        self._reader: asyncio.Task[None] | None = None

    async def listen(self, channel: str) -> AsyncIterator[Frames | None]:
        """States of a channel, the present one first; None stands for "still here"."""
        key, listener = state_key(channel), Listener()
        try:
            await self._join(key, listener)
            while True:
                frames = await listener.take()
                yield frames
                if frames and frames.final:
                    return
        finally:
            await self._leave(key, listener)

    async def close(self) -> None:
        """Stop reading; streams that are still open end with their connections."""
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
        await self._pubsub.aclose()  # type: ignore[no-untyped-call]

    async def _join(self, key: str, listener: Listener) -> None:
        """Subscribe, and only when that is confirmed read the present state: nothing falls between."""
        await self._start_reading()
        is_new = key not in self._channels
        channel = self._channels.setdefault(key, Channel())
        channel.listeners.add(listener)
        if is_new:
            await self._pubsub.subscribe(key)
        await channel.confirmed.wait()
        await self._offer_present(key, [listener])

    async def _leave(self, key: str, listener: Listener) -> None:
        channel = self._channels.get(key)
        if channel is None:
            return
        channel.listeners.discard(listener)
        if channel.listeners:
            return
        del self._channels[key]
        await self._pubsub.unsubscribe(key)
        if key in self._channels:  # somebody came while we left
            await self._pubsub.subscribe(key)

    async def _offer_present(self, key: str, listeners: Iterable[Listener]) -> None:
        state = await self._broker.get(key)
        if not isinstance(state, bytes):
            return
        frames = Frames.of(state)
        for listener in listeners:
            listener.offer(frames)

    async def _start_reading(self) -> None:
        """Open the one connection before anyone subscribes over it: two at once would open two."""
        async with self._opening:
            if self._reader is None or self._reader.done():
                await self._pubsub.subscribe(OWN_CHANNEL)
                self._reader = asyncio.create_task(self._read_for_ever())

    async def _read_for_ever(self) -> None:
        """Read the subscription; after a broken connection the client subscribes to all channels anew."""
        while True:
            try:
                async for message in self._pubsub.listen():
                    await self._take(message)
            except (RedisError, OSError) as error:
                logger.warning("Live channels lost the broker, trying again: %s", error)
                await asyncio.sleep(RECONNECT_SECONDS)

    async def _take(self, message: dict[str, Any]) -> None:
        channel = self._channels.get(message["channel"].decode())
        if channel is None:
            return
        if message["type"] == "message":
            frames = Frames.of(message["data"])
            for listener in channel.listeners:
                listener.offer(frames)
        elif message["type"] == "subscribe":
            await self._confirm(message["channel"].decode(), channel)

    async def _confirm(self, key: str, channel: Channel) -> None:
        """After the first confirmation comes one for each reconnection, when states may have been missed."""
        if channel.confirmed.is_set():
            await self._offer_present(key, list(channel.listeners))
        channel.confirmed.set()


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


def _frame(text: str) -> bytes:
    return "".join(f"data: {line}\n" for line in text.split("\n")).encode() + b"\n"


CORS_HEADERS = [(b"access-control-allow-origin", b"*"), (b"access-control-expose-headers", b"*")]
STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
    *CORS_HEADERS,
]
