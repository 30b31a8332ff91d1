"""When a site was last heard from, and what was last refused of it: what the check of an installation shows.

The edge writes it, beside the beacon's own way and never in it; the pages read it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import cast
from uuid import UUID

import msgspec
import redis
import redis.asyncio
from redis.exceptions import RedisError

from webapp.visits.backlog import Kind, Row

EVERY_SECONDS = 1.0
KEPT_SECONDS = 30 * 86_400
KNOWN_LIMIT = 50_000
PAGE_URL_LIMIT = 2048

logger = logging.getLogger(__name__)


class Heard(msgspec.Struct, frozen=True):
    """One beacon as it came. Without a reason it was taken."""

    at_ms: int
    page_url: str
    kind: str = "pageview"
    reason: str = ""
    detail: str = ""


class Listener:
    """Writes down what is heard, at most once a second a site and outcome, whatever the load."""

    def __init__(self, broker: redis.asyncio.Redis) -> None:
        self._broker = broker
        self._noted_at: dict[tuple[bytes, bool], float] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def took(self, row: Row) -> None:
        """Say that this is on its way to be counted; it is written behind the scenes."""
        if self._is_due(row.site_id, is_refused=False):
            self._begin(row.organisation_id, row.site_id, Heard(_now_ms(), row.page_url, Kind(row.kind).name.lower()))

    def left_out(self, organisation_id: bytes, site_id: bytes, page_url: str, reason: str, detail: str) -> None:
        """Say that something came and is not counted, and why."""
        if self._is_due(site_id, is_refused=True):
            heard = Heard(_now_ms(), page_url[:PAGE_URL_LIMIT], reason=reason, detail=detail)
            self._begin(organisation_id, site_id, heard)

    def _is_due(self, site_id: bytes, *, is_refused: bool) -> bool:
        now = time.monotonic()
        key = site_id, is_refused
        if now - self._noted_at.get(key, -EVERY_SECONDS) < EVERY_SECONDS:
            return False
        if len(self._noted_at) >= KNOWN_LIMIT:
            self._noted_at.clear()
        self._noted_at[key] = now
        return True

    def _begin(self, organisation_id: bytes, site_id: bytes, heard: Heard) -> None:
        key = key_of(UUID(bytes=organisation_id), UUID(bytes=site_id), is_refused=bool(heard.reason))
        task = asyncio.create_task(self._write(key, heard))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Wait for what is being written."""
        await asyncio.gather(*self._tasks)
        await self._broker.aclose()

    async def _write(self, key: str, heard: Heard) -> None:
        try:
            await self._broker.set(key, msgspec.json.encode(heard), ex=KEPT_SECONDS)
        except (RedisError, OSError) as error:
            logger.debug("What was heard could not be noted: %r", error)


def read_heard(broker: redis.Redis, organisation_id: UUID, site_id: UUID) -> tuple[Heard | None, Heard | None]:
    """What was last taken from a site, and what was last refused."""
    keys = [key_of(organisation_id, site_id, is_refused=is_refused) for is_refused in (False, True)]
    taken, refused = cast("list[bytes | None]", broker.mget(keys))
    return _decoded(taken), _decoded(refused)


def key_of(organisation_id: UUID, site_id: UUID, *, is_refused: bool) -> str:
    """Where it stands in the broker's Redis."""
    return f"heard:{organisation_id}:{site_id}:{'refused' if is_refused else 'taken'}"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _decoded(content: bytes | None) -> Heard | None:
    return None if content is None else msgspec.json.decode(content, type=Heard)
