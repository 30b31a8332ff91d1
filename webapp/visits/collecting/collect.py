"""`POST /collect`: takes beacons from any website, and answers 202 once Redis has them.

Native async, without Flask and the ORM: nothing that a page does can keep a beacon waiting, and
neither can PostgreSQL.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from webapp.config import Settings
from webapp.lib.problem import CONTENT_TYPE, problem_body
from webapp.lib.redis import async_beacons_client, async_broker_client
from webapp.metrics import beacon_counter
from webapp.visits.backlog import AsyncAdder, BacklogFullError, Row
from webapp.visits.collecting import beacon as beacons
from webapp.visits.collecting.beacon import (
    BODY_LIMIT_BYTES,
    URL_LIMIT,
    Beacon,
    RefusedError,
    check_beacon,
    read_beacon,
)
from webapp.visits.collecting.pixel import GIF, headers_for, read_pixel
from webapp.visits.collecting.site_directory import DirectoryError, KnownSite, SiteDirectory
from webapp.visits.heard import Heard, Listener

GATHER_SECONDS = 0.001
DRAIN_LIMIT_BYTES = 4 * 1024 * 1024
GROUP_LIMIT = 2000
REDIS_SECONDS = 4.0
FULL_RETRY_SECONDS = 10
AWAY_RETRY_SECONDS = 3

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

# A refusal, too, must be readable for the tracker on another origin.
CORS_HEADERS: Headers = [(b"access-control-allow-origin", b"*"), (b"access-control-expose-headers", b"*")]
PREFLIGHT_HEADERS: Headers = [
    *CORS_HEADERS,
    (b"access-control-allow-methods", b"POST, OPTIONS"),
    (b"access-control-allow-headers", b"content-type, *"),
    (b"access-control-max-age", b"86400"),
]
ACCEPTED = {"type": "http.response.start", "status": 202, "headers": [(b"content-length", b"0"), *CORS_HEADERS]}
EMPTY = {"type": "http.response.body", "body": b""}

logger = logging.getLogger(__name__)
count_accepted = beacon_counter("accepted")


class GroupCommit:
    """Gathers rows for about a millisecond, writes them as one entry, then tells everyone who waits.

    While an entry is on its way the next group gathers, so groups grow with the load.
    """

    def __init__(self, adder: AsyncAdder) -> None:
        self._adder = adder
        self._rows: list[Row] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._writer: asyncio.Task[None] | None = None

    def add(self, row: Row) -> asyncio.Future[None]:
        """A future that is done when the row is in Redis."""
        future = asyncio.get_running_loop().create_future()
        self._rows.append(row)
        self._waiting.append(future)
        if self._writer is None:
            self._writer = asyncio.create_task(self._write())
        return future

    async def close(self) -> None:
        """Write what is gathered."""
        if self._writer is not None:
            await self._writer

    async def _write(self) -> None:
        try:
            await asyncio.sleep(GATHER_SECONDS)
            while self._rows:
                rows, self._rows = self._rows[:GROUP_LIMIT], self._rows[GROUP_LIMIT:]
                waiting, self._waiting = self._waiting[:GROUP_LIMIT], self._waiting[GROUP_LIMIT:]
                _tell(waiting, await self._commit(rows))
        finally:
            self._writer = None

    async def _commit(self, rows: list[Row]) -> RefusedError | None:
        try:
            async with asyncio.timeout(REDIS_SECONDS):
                await self._adder.add(rows)
        except BacklogFullError:
            return backlog_full()
        except Exception as error:  # whatever it was, those who wait must hear that their beacons are not kept
            logger.warning("Beacons could not be written to Redis: %r", error)
            return try_again("The queue of beacons cannot be reached.")
        count_accepted(len(rows))
        return None


def _tell(waiting: list[asyncio.Future[None]], refusal: RefusedError | None) -> None:
    for future in waiting:
        if future.done():
            continue  # its request was cancelled
        if refusal is None:
            future.set_result(None)
        else:
            future.set_exception(refusal)


class Collector:
    """The ASGI part behind `/collect`. `start` before the first request, `stop` after the last."""

    def __init__(self, settings: Settings) -> None:
        self._redis = async_beacons_client(settings)
        self._group = GroupCommit(AsyncAdder(self._redis, settings.beacons_limit))
        self._directory = SiteDirectory(settings.database_url)
        self._listener = Listener(async_broker_client(settings))

    async def start(self) -> None:
        await self._directory.open()

    async def stop(self) -> None:
        await self._group.close()
        await self._directory.close()
        await self._listener.close()
        await self._redis.aclose()

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever it holds."""
        if scope["method"] != "POST":
            await _answer_other_method(scope["method"], send)
            return
        try:
            await self.take_one(await _read_body(receive), _origin_of(scope))
        except RefusedError as refusal:
            await _refuse(refusal, send)
        else:
            await send(ACCEPTED)
            await send(EMPTY)

    async def handle_pixel(self, scope: Scope, send: Send) -> None:
        """Answer a request for the pixel of a page without scripts."""
        body, as_posted = read_pixel(scope)
        reason = ""
        try:
            await self.take_one(body, _origin_of(as_posted))
        except RefusedError as refusal:
            reason = refusal.reason
            beacon_counter(reason)(1)
        await send({"type": "http.response.start", "status": 200, "headers": headers_for(reason)})
        await send({"type": "http.response.body", "body": GIF})

    async def take_one(self, body: bytes, origin: str | None) -> None:
        """Done when Redis has the beacon; raises RefusedError."""
        beacon = read_beacon(body)
        site = self._directory.find_known(beacon.site_key) or await self._find_site(beacon.site_key)
        try:
            await self._take(beacon, site, origin)
        except RefusedError as refusal:
            self._note(beacon, site, refusal)
            raise
        self._note(beacon, site)

    async def _take(self, beacon: Beacon, site: KnownSite, origin: str | None) -> None:
        if not site.allows(origin):
            raise RefusedError(403, "origin-not-allowed", f"This site does not take visits from {origin}.")
        checked = check_beacon(beacon, time.time_ns() // 1_000_000)
        await self._group.add(make_row(site.organisation_id, site.site_id, checked))

    def _note(self, beacon: Beacon, site: KnownSite, refusal: RefusedError | None = None) -> None:
        reason, detail = (refusal.reason, refusal.detail) if refusal else ("", "")
        heard = Heard(time.time_ns() // 1_000_000, beacon.page_url[:URL_LIMIT], reason=reason, detail=detail)
        self._listener.note(site.organisation_id, site.site_id, heard)

    async def _find_site(self, site_key: str) -> KnownSite:
        try:
            site = await self._directory.find(site_key)
        except DirectoryError as error:
            raise try_again("This site key cannot be looked up now.") from error
        if site is None:
            raise RefusedError(403, "unknown-site-key", "There is no site with this key.")
        return site


def make_row(organisation_id: bytes, site_id: bytes, checked: beacons.CheckedBeacon) -> Row:
    """A checked beacon as the stream carries it."""
    return Row(
        organisation_id, site_id, checked.id, checked.visited_ms, checked.received_ms,
        checked.visitor, checked.page_url, checked.referrer, checked.screen,
    )  # fmt: skip


def backlog_full() -> RefusedError:
    detail = "More visits wait to be counted than may. Send this one again later."
    return RefusedError(503, "backlog-full", detail, FULL_RETRY_SECONDS)


def try_again(detail: str) -> RefusedError:
    return RefusedError(503, "try-again", detail, AWAY_RETRY_SECONDS)


def _origin_of(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"origin":
            return str(value.decode("latin-1"))
    return None


async def _read_body(receive: Receive) -> bytes:
    """The body; a little of what is too large is read and forgotten, so that the client hears the refusal."""
    parts: list[bytes] = []
    length = 0
    while True:
        message = await receive()
        part: bytes = message.get("body", b"")
        length += len(part)
        if length <= BODY_LIMIT_BYTES:
            parts.append(part)
        if not message.get("more_body") or length > DRAIN_LIMIT_BYTES:
            break
    if length > BODY_LIMIT_BYTES:
        raise beacons.too_large()
    return parts[0] if len(parts) == 1 else b"".join(parts)


async def _answer_other_method(method: str, send: Send) -> None:
    if method == "OPTIONS":
        await send({"type": "http.response.start", "status": 204, "headers": PREFLIGHT_HEADERS})
        await send(EMPTY)
        return
    await _refuse(RefusedError(405, "wrong-method", "Beacons are posted."), send)


async def _refuse(refusal: RefusedError, send: Send) -> None:
    beacon_counter(refusal.reason)(1)
    body = problem_body(refusal.status, TITLES[refusal.status], refusal.detail, reason=refusal.reason)
    headers = [
        (b"content-type", CONTENT_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"x-footfall-dropped", refusal.reason.encode()),
        *CORS_HEADERS,
    ]
    if refusal.retry_after_seconds is not None:
        headers.append((b"retry-after", str(refusal.retry_after_seconds).encode()))
    if refusal.status == 405:
        headers.append((b"allow", b"POST, OPTIONS"))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


TITLES = {
    400: "Malformed beacon",
    403: "Beacon refused",
    405: "Method not allowed",
    413: "Beacon too large",
    422: "Invalid beacon",
    503: "Try again later",
}
