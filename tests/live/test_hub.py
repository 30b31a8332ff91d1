"""The edge's one connection to the broker: it breaks, falls silent, and comes again, and every stream goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis.asyncio

from tests.live.support import SECONDS, listener_count, opened, run, say, until_heard
from webapp.config import Settings
from webapp.embedded.redis import start_redis, stop_redis
from webapp.lib.redis import async_broker_client
from webapp.live.channels import stream_url
from webapp.live.hub import Hub


class Network:
    """Stands between the edge and the broker; what it carries may cease without anybody being told."""

    def __init__(self, settings: Settings) -> None:
        self.path = network_path(settings)
        self.connection_count = 0
        self._broker_path = urlsplit(settings.redis_url).path
        self._ping_count = 0
        self._has_pinged = asyncio.Condition()
        self._carrying: set[asyncio.Task[None]] = set()
        self._silent: set[asyncio.StreamWriter] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connection_count += 1
        broker_reader, broker_writer = await asyncio.open_unix_connection(self._broker_path)
        self._writers |= {writer, broker_writer}
        self._carrying |= {
            asyncio.create_task(self._carry(reader, broker_writer)),
            asyncio.create_task(self._carry(broker_reader, writer)),
        }

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while content := await reader.read(65_536):
            async with self._has_pinged:
                self._ping_count += content.count(b"PING")
                self._has_pinged.notify_all()
            if writer not in self._silent:
                writer.write(content)

    async def until_pinged(self, count: int) -> None:
        async with self._has_pinged, asyncio.timeout(SECONDS * 3):
            await self._has_pinged.wait_for(lambda: self._ping_count >= count)

    def fall_silent(self) -> None:
        """The connections there are carry nothing any more and stay open; new ones are well."""
        self._silent |= self._writers

    async def close(self) -> None:
        for task in self._carrying:
            task.cancel()
        await asyncio.gather(*self._carrying, return_exceptions=True)
        for writer in self._writers:
            writer.close()


def network_path(settings: Settings) -> str:
    return str(settings.runtime_dir / "network.sock")


def through_network(settings: Settings) -> redis.asyncio.Redis:
    return async_broker_client(replace(settings, redis_url=f"unix://{network_path(settings)}"))


@asynccontextmanager
async def network(settings: Settings) -> AsyncIterator[Network]:
    between = Network(settings)
    server = await asyncio.start_unix_server(between.connect, between.path)
    try:
        yield between
    finally:
        server.close()
        await between.close()


def test_streams_survive_a_broker_that_goes_away(services: Settings) -> None:
    async def look(settings: Settings, hub: Hub) -> None:
        say(settings, "room", 1)
        async with opened(settings, hub, stream_url(settings, "room")) as browser:
            await browser.until_seen("<p>1</p>")
            await asyncio.to_thread(stop_redis, settings, "broker")
            await asyncio.to_thread(start_redis, settings, "broker")
            say(settings, "room", 2)
            await browser.until_seen("<p>2</p>")

    run(look, services)


def test_a_channel_that_was_first_opened_while_the_broker_was_away_is_heard_afterwards(
    services: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webapp.live.hub.KEEP_ALIVE_SECONDS", 0.1)

    async def look(settings: Settings, hub: Hub) -> None:
        async with opened(settings, hub, stream_url(settings, "hall")) as early:
            await early.until_seen("here")
            await asyncio.to_thread(stop_redis, settings, "broker")
            first, second = stream_url(settings, "room"), stream_url(settings, "room", html=False)
            async with opened(settings, hub, first) as one, opened(settings, hub, second) as other:
                await one.until(lambda browser: browser.text.count("event: here") > 3)
                await other.until_seen(": still here")
                await asyncio.to_thread(start_redis, settings, "broker")
                await until_heard(settings, "room")
                async with opened(settings, hub, first) as late:
                    say(settings, "room", 1)
                    say(settings, "hall", 2)
                    await asyncio.gather(one.until_seen("<p>1</p>"), other.until_seen('{"number": 1}'))
                    await asyncio.gather(late.until_seen("<p>1</p>"), early.until_seen("<p>2</p>"))

    run(look, services)


def test_who_left_while_the_broker_was_away_is_not_subscribed_to_afterwards(services: Settings) -> None:
    async def look(settings: Settings, hub: Hub) -> None:
        async with opened(settings, hub, stream_url(settings, "hall")) as staying:
            say(settings, "hall", 1)
            await staying.until_seen("<p>1</p>")
            async with opened(settings, hub, stream_url(settings, "room")):
                await until_heard(settings, "room")
                await asyncio.to_thread(stop_redis, settings, "broker")
            await asyncio.to_thread(start_redis, settings, "broker")
            await until_heard(settings, "hall")
            assert listener_count(settings, "room") == 0
            say(settings, "hall", 2)
            await staying.until_seen("<p>2</p>")

    run(look, services)


def test_a_connection_that_falls_silent_is_given_up_for_a_new_one(
    services: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webapp.live.hub.PING_SECONDS", 0.1)
    monkeypatch.setattr("webapp.live.hub.SILENCE_SECONDS", 1.0)

    async def look(settings: Settings, hub: Hub) -> None:
        async with network(settings) as between, opened(settings, hub, stream_url(settings, "room")) as browser:
            say(settings, "room", 1)
            await browser.until_seen("<p>1</p>")
            between.fall_silent()
            say(settings, "room", 2)
            await browser.until_seen("<p>2</p>")

    run(look, services, through_network)


def test_a_subscription_without_messages_stays_open(services: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webapp.live.hub.PING_SECONDS", 0.05)
    monkeypatch.setattr("webapp.live.hub.SILENCE_SECONDS", 1.0)

    async def look(settings: Settings, hub: Hub) -> None:
        async with network(settings) as between, opened(settings, hub, stream_url(settings, "room")) as browser:
            say(settings, "room", 1)
            await browser.until_seen("<p>1</p>")
            connection_count = between.connection_count
            await between.until_pinged(60)
            assert between.connection_count == connection_count
            say(settings, "room", 2)
            await browser.until_seen("<p>2</p>")

    run(look, services, through_network)


def test_a_newer_state_is_not_followed_by_the_one_that_was_read_before_it(services: Settings) -> None:
    async def look(settings: Settings, hub: Hub) -> None:
        address = stream_url(settings, "room")
        say(settings, "room", 1)
        async with opened(settings, hub, address) as first:
            await first.until_seen("<p>1</p>")
            broker, is_read, may_return = hub._broker, asyncio.Event(), asyncio.Event()
            read = broker.get

            async def read_slowly(key: str) -> Any:
                state = await read(key)
                is_read.set()
                await may_return.wait()
                return state

            broker.get = read_slowly  # type: ignore[assignment, method-assign]
            async with opened(settings, hub, address) as second:
                await is_read.wait()
                say(settings, "room", 2)
                await first.until_seen("<p>2</p>")
                may_return.set()
                await second.until_seen("<p>2</p>")
                assert "<p>1</p>" not in second.text

    run(look, services)
