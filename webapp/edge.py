"""The edge: a small native async app for beacons and event streams, in a process of its own.

It imports neither Flask nor the ORM, and nothing in it waits for the pages.
"""

from __future__ import annotations

import asyncio
import gc
import resource
from collections.abc import Awaitable, Callable
from typing import Any

from webapp import tracing
from webapp.config import Settings, get_settings
from webapp.lib.redis import async_broker_client
from webapp.live.hub import Hub
from webapp.live.stream import live
from webapp.metrics import open_streams
from webapp.visits.collecting.collect import Collector
from webapp.visits.collecting.pixel import headers_for
from webapp.visits.tracker_script import tracker_script

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

YEAR_SECONDS = 365 * 86_400
COLLECT_AFTER = 50_000
PREFLIGHT_SECONDS = 86_400
CORS_HEADERS = [(b"access-control-allow-origin", b"*"), (b"access-control-expose-headers", b"*")]
PREFLIGHT_HEADERS = [
    *CORS_HEADERS,
    (b"access-control-allow-methods", b"GET, POST, OPTIONS"),
    (
        b"access-control-allow-headers",
        b"*, accept, content-type, hx-request, hx-current-url, hx-target, hx-source,"
        b" hx-request-type, hx-trigger, hx-boosted, last-event-id",
    ),
    (b"access-control-max-age", str(PREFLIGHT_SECONDS).encode()),
]


class Edge:
    """The ASGI app. Its parts are made when the server starts, in the server's own event loop."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or get_settings()
        self._parts: tuple[Collector, Hub] | None = None
        self._starting = asyncio.Lock()
        self._script = tracker_script(self.settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        collector, hub = self._parts or await self._start()
        path: str = scope["path"]
        if path == self.settings.collect_path:
            await collector.handle(scope, receive, send)
        elif scope["method"] == "OPTIONS":
            await respond(send, 204, PREFLIGHT_HEADERS)
        elif path.startswith("/live/"):
            with open_streams.track_inprogress():
                await live(self.settings, hub, path, receive, send)
        elif path == self.settings.pixel_path:
            await self._send_pixel(collector, scope, send)
        elif self._script.is_at(path):
            await self._send_tracker(scope, send)
        elif path == "/healthz":
            await respond(send, 200, [(b"content-type", b"text/plain"), *CORS_HEADERS], b"ok\n")
        else:
            await respond(send, 404, [(b"content-type", b"text/plain"), *CORS_HEADERS], b"There is nothing here.\n")

    async def _send_pixel(self, collector: Collector, scope: Scope, send: Send) -> None:
        """Only a browser that fetches the picture shows a page; whoever looks what is there does not."""
        if scope["method"] == "GET":
            await collector.handle_pixel(scope, send)
        elif scope["method"] == "HEAD":
            await respond(send, 200, headers_for())
        else:
            allowed = (b"allow", b"GET, HEAD, OPTIONS")
            await respond(send, 405, [allowed, (b"content-length", b"0"), *CORS_HEADERS])

    async def _send_tracker(self, scope: Scope, send: Send) -> None:
        """The address of these very bytes is good for a year, any other for an hour."""
        asked = dict(scope["headers"])
        gzipped = b"gzip" in asked.get(b"accept-encoding", b"")
        tag = self._script.tag(gzipped=gzipped)
        is_versioned = scope["path"] == self._script.versioned_path
        lifetime = f"public, max-age={YEAR_SECONDS}, immutable" if is_versioned else "public, max-age=3600"
        headers = [
            (b"content-type", b"text/javascript; charset=utf-8"),
            (b"cache-control", lifetime.encode()),
            (b"etag", tag),
            (b"vary", b"accept-encoding"),
            (b"cross-origin-resource-policy", b"cross-origin"),
            *([(b"content-encoding", b"gzip")] if gzipped else []),
            *CORS_HEADERS,
        ]
        if tag in asked.get(b"if-none-match", b""):
            await respond(send, 304, headers)
        else:
            await respond(send, 200, headers, self._script.gzipped if gzipped else self._script.content)

    async def _start(self) -> tuple[Collector, Hub]:
        async with self._starting:
            if self._parts is None:
                raise_file_limit()
                spare_the_collector()
                collector = Collector(self.settings)
                await collector.start()
                self._parts = (collector, Hub(async_broker_client(self.settings)))
            return self._parts

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self._start()
                await send({"type": "lifespan.startup.complete"})
                continue
            if self._parts is not None:
                collector, hub = self._parts
                await collector.stop()
                await hub.close()
            await send({"type": "lifespan.shutdown.complete"})
            return


class TracedEdge:
    """The edge with a span for each request, named by its route alone: a live address is a secret."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._edge(scope, receive, send)
            return
        method, route = scope["method"], route_of(scope["path"], self._edge.settings)
        attributes = {"http.request.method": method, "http.route": route}
        with tracing.span(f"{method} {route}", "server", attributes) as span:

            async def send_and_note(message: dict[str, Any]) -> None:
                if message["type"] == "http.response.start":
                    tracing.end_request(span, message["status"])
                await send(message)

            await self._edge(scope, receive, send_and_note)


def route_of(path: str, settings: Settings) -> str:
    """What a request asked for, without what is said to this browser only."""
    if path.startswith("/live/"):
        return "/live/{channel}"
    known = {settings.collect_path, settings.pixel_path, settings.tracker_path, "/healthz"}
    return path if path in known else "none"


async def respond(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes = b"") -> None:
    """A whole answer at once."""
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def spare_the_collector() -> None:
    """What exists now lives as long as the process, and requests leave no cycles: let Python look for some rarely."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 50, 100)


def raise_file_limit() -> None:
    """Every stream is an open file, and 1,024 of them is the usual soft limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
