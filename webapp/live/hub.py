"""The edge's one subscription, and what it fans out: the newest state of each channel to those who listen to it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import redis.asyncio
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from webapp.live.channels import state_key

KEEP_ALIVE_SECONDS = 15.0
RECONNECT_SECONDS = 0.5
PING_SECONDS = 5.0
SILENCE_SECONDS = 15.0

logger = logging.getLogger(__name__)


class SilentBrokerError(RedisError):
    """The connection is open, and nobody is at its other end."""


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
            async with asyncio.timeout(KEEP_ALIVE_SECONDS):
                await self.wake.wait()
        except TimeoutError:
            return None
        self.wake.clear()
        return self.frames


@dataclass
class Channel:
    """One channel's listeners in this process, and whether the broker has confirmed the subscription."""

    listeners: set[Listener] = field(default_factory=set)
    is_confirmed: bool = False


class Hub:
    """Fans the broker's messages out to this process's streams, over one connection.

    Streams only say which channels they wish for. Two tasks alone use the connection, one that writes and one that
    reads; when it breaks, the next one begins by subscribing to everything that is wished for then.
    """

    def __init__(self, broker: redis.asyncio.Redis) -> None:
        self._broker = broker
        self._channels: dict[str, Channel] = {}
        self._changed: set[str] = set()
        self._has_changes = asyncio.Event()
        self._work: asyncio.Task[None] | None = None

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
            self._leave(key, listener)

    async def close(self) -> None:
        """Stop reading; streams that are still open end with their connections."""
        if self._work is not None:
            self._work.cancel()
            await asyncio.gather(self._work, return_exceptions=True)

    async def _join(self, key: str, listener: Listener) -> None:
        """Wish for the channel. The present state comes when its subscription is confirmed: nothing falls between."""
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._work_for_ever())
        if key not in self._channels:
            self._channels[key] = Channel()
            self._note_changed([key])
        channel = self._channels[key]
        channel.listeners.add(listener)
        if channel.is_confirmed:
            await self._offer_present(key, lambda: [listener] if listener.frames is None else [])

    def _leave(self, key: str, listener: Listener) -> None:
        channel = self._channels[key]
        channel.listeners.discard(listener)
        if not channel.listeners:
            del self._channels[key]
            self._note_changed([key])

    def _note_changed(self, keys: Iterable[str]) -> None:
        self._changed.update(keys)
        self._has_changes.set()

    async def _work_for_ever(self) -> None:
        while True:
            try:
                await self._work_until_broken()
            except* (RedisError, OSError) as errors:
                logger.warning("Live channels lost the broker, trying again: %s", errors.exceptions[0])
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _work_until_broken(self) -> None:
        async with self._broker.pubsub() as pubsub:
            try:
                await pubsub.connect()
                self._note_changed(self._channels)
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._write(pubsub))
                    group.create_task(self._read(pubsub))
            finally:
                for channel in self._channels.values():
                    channel.is_confirmed = False

    async def _write(self, pubsub: PubSub) -> None:
        """Subscribe to what is wished for, and ask for a sign of life when there is nothing else to ask."""
        while True:
            try:
                async with asyncio.timeout(PING_SECONDS):
                    await self._has_changes.wait()
            except TimeoutError:
                await pubsub.ping()
            self._has_changes.clear()
            changed, self._changed = self._changed, set()
            if wished := [key for key in changed if key in self._channels]:
                await pubsub.subscribe(*wished)
            if left := [key for key in changed if key not in self._channels]:
                await pubsub.unsubscribe(*left)

    async def _read(self, pubsub: PubSub) -> None:
        """Hand on what comes. A broker that answers no ping is gone, even if its connection never says so."""
        while message := await pubsub.get_message(timeout=SILENCE_SECONDS):
            await self._take(message)
        raise SilentBrokerError(f"The broker has been silent for {SILENCE_SECONDS:.0f} seconds.")

    async def _take(self, message: dict[str, Any]) -> None:
        key = message["channel"].decode() if message["channel"] else ""
        channel = self._channels.get(key)
        if channel is None:
            return
        if message["type"] == "message":
            _offer(Frames.of(message["data"]), channel.listeners)
        elif message["type"] == "subscribe":
            channel.is_confirmed = True
            await self._offer_present(key, lambda: channel.listeners)

    async def _offer_present(self, key: str, listeners: Callable[[], Iterable[Listener]]) -> None:
        """`listeners` are asked for when the state is there: who has heard a newer one by then may not want it."""
        state = await self._broker.get(key)
        if isinstance(state, bytes):
            _offer(Frames.of(state), listeners())


def _offer(frames: Frames, listeners: Iterable[Listener]) -> None:
    for listener in listeners:
        listener.offer(frames)


def _frame(text: str) -> bytes:
    return "".join(f"data: {line}\n" for line in text.split("\n")).encode() + b"\n"
