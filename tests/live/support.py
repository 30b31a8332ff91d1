"""Browsers at the edge, without a server: streams driven straight through ASGI."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import redis.asyncio

from webapp.config import Settings
from webapp.lib.redis import async_broker_client, broker_client
from webapp.live.channels import state_key
from webapp.live.hub import Hub
from webapp.live.publish import publish
from webapp.live.stream import live

SECONDS = 10.0


class Browser:
    """One open stream, driven straight through ASGI."""

    def __init__(self) -> None:
        self.status = 0
        self.text = ""
        self.ended = False
        self.left = asyncio.Event()
        self._changed = asyncio.Condition()

    async def receive(self) -> dict[str, Any]:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        async with self._changed:
            if message["type"] == "http.response.start":
                self.status = message["status"]
            else:
                self.text += message["body"].decode()
                self.ended = not message.get("more_body", False)
            self._changed.notify_all()

    async def until(self, condition: Callable[[Browser], bool]) -> None:
        async with self._changed, asyncio.timeout(SECONDS):
            await self._changed.wait_for(lambda: condition(self))

    async def until_seen(self, text: str) -> None:
        await self.until(lambda browser: text in browser.text)


@asynccontextmanager
async def opened(settings: Settings, hub: Hub, address: str) -> AsyncIterator[Browser]:
    browser = Browser()
    path = address.removeprefix(settings.edge_url)
    task = asyncio.create_task(live(settings, hub, path, browser.receive, browser.send))
    try:
        yield browser
    finally:
        browser.left.set()
        async with asyncio.timeout(SECONDS):
            await task


def run(
    test: Callable[[Settings, Hub], Coroutine[Any, Any, None]],
    settings: Settings,
    make_client: Callable[[Settings], redis.asyncio.Redis] = async_broker_client,
) -> None:
    async def with_hub() -> None:
        client = make_client(settings)
        hub = Hub(client)
        await test(settings, hub)
        await hub.close()
        await client.aclose()

    broker_client(settings).flushall()
    asyncio.run(with_hub())


def say(settings: Settings, channel: str, number: int, *, final: bool = False) -> None:
    with broker_client(settings) as broker:
        publish(broker, channel, {"number": number}, f"<p>{number}</p>\n<i></i>", final=final)


def listener_count(settings: Settings, channel: str) -> int:
    with broker_client(settings) as broker:
        return int(broker.pubsub_numsub(state_key(channel))[0][1])


async def until_heard(settings: Settings, channel: str) -> None:
    async with asyncio.timeout(SECONDS):
        while not listener_count(settings, channel):
            await asyncio.sleep(0.02)
