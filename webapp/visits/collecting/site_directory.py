"""What the collector knows about sites: read from PostgreSQL, remembered, and good without it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from uuid import UUID

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from webapp.visits.collecting.site_keys import organisation_of

APP_ROLE = "footfall_app"
FRESH_SECONDS = 30.0
UNKNOWN_SECONDS = 3.0
LOOKUP_SECONDS = 3.0
KNOWN_LIMIT = 50_000
UNKNOWN_LIMIT = 10_000
WAITING_LIMIT = 200
CONNECTION_LIMIT = 4

SITE = "SELECT id, origins FROM sites WHERE organisation_id = %s AND site_key = %s"


class DirectoryError(Exception):
    """This site is not known yet, and PostgreSQL cannot be asked now."""


@dataclass(frozen=True, slots=True)
class KnownSite:
    """What a beacon is checked against. Without origins every website may report."""

    organisation_id: bytes
    site_id: bytes
    origins: frozenset[str]
    looked_up_at: float

    def allows(self, origin: str | None) -> bool:
        """Whether a page of this origin may report; who sends no origin is no browser."""
        return origin is None or not self.origins or origin.lower() in self.origins


class SiteDirectory:
    """Sites by their key. A known site is answered at once, for ever; it is asked again behind the scenes."""

    def __init__(self, database_url: str) -> None:
        options = f"-c role={APP_ROLE} -c default_transaction_read_only=on -c statement_timeout=2000"
        self._pool: AsyncConnectionPool[psycopg.AsyncConnection] = AsyncConnectionPool(
            database_url, min_size=0, max_size=CONNECTION_LIMIT, open=False, timeout=LOOKUP_SECONDS,
            kwargs={"options": options, "connect_timeout": 2}, reconnect_timeout=LOOKUP_SECONDS,
        )  # fmt: skip
        self._known: dict[str, KnownSite] = {}
        self._unknown: dict[str, float] = {}
        self._pending: dict[str, asyncio.Task[KnownSite | None]] = {}

    async def open(self) -> None:
        await self._pool.open()

    async def close(self) -> None:
        for lookup in list(self._pending.values()):
            lookup.cancel()
        await self._pool.close()

    def find_known(self, site_key: str) -> KnownSite | None:
        """A site that was looked up before; an old answer is refreshed meanwhile."""
        site = self._known.get(site_key)
        if site is not None and time.monotonic() - site.looked_up_at > FRESH_SECONDS:
            self._begin_lookup(site_key)
        return site

    async def find(self, site_key: str) -> KnownSite | None:
        """The site, asking PostgreSQL for one that is new; raises DirectoryError when it cannot be asked."""
        site = self.find_known(site_key)
        if site is not None:
            return site
        if organisation_of(site_key) is None or self._is_unknown(site_key):
            return None
        if site_key not in self._pending and len(self._pending) >= WAITING_LIMIT:
            raise DirectoryError("Too many site keys are being looked up.")
        try:
            return await asyncio.shield(self._begin_lookup(site_key))
        except (psycopg.Error, PoolTimeout, TimeoutError, OSError) as error:
            raise DirectoryError(str(error)) from error

    def _is_unknown(self, site_key: str) -> bool:
        return time.monotonic() - self._unknown.get(site_key, -UNKNOWN_SECONDS) < UNKNOWN_SECONDS

    def _begin_lookup(self, site_key: str) -> asyncio.Task[KnownSite | None]:
        """One look-up a key at a time, whoever waits for it."""
        task = self._pending.get(site_key)
        if task is None:
            task = self._pending[site_key] = asyncio.create_task(self._look_up(site_key))
            task.add_done_callback(lambda done: self._end_lookup(site_key, done))
        return task

    def _end_lookup(self, site_key: str, task: asyncio.Task[KnownSite | None]) -> None:
        self._pending.pop(site_key, None)
        if task.cancelled() or task.exception() is not None:
            return  # whoever waits is told; a known site stays known
        self._remember(site_key, task.result())

    def _remember(self, site_key: str, site: KnownSite | None) -> None:
        if site is None:
            self._known.pop(site_key, None)
            _make_room(self._unknown, UNKNOWN_LIMIT)
            self._unknown[site_key] = time.monotonic()
        else:
            _make_room(self._known, KNOWN_LIMIT)
            self._known[site_key] = site

    async def _look_up(self, site_key: str) -> KnownSite | None:
        organisation_id = organisation_of(site_key)
        if organisation_id is None:
            return None
        async with asyncio.timeout(LOOKUP_SECONDS), self._pool.connection() as connection:
            await connection.execute("SELECT set_config('footfall.organisation_id', %s, true)", [str(organisation_id)])
            cursor = await connection.execute(SITE, [organisation_id, site_key])
            return _known_site(organisation_id, await cursor.fetchone())


def _known_site(organisation_id: UUID, row: tuple[UUID, list[str]] | None) -> KnownSite | None:
    if row is None:
        return None
    origins = frozenset(origin.lower() for origin in row[1])
    return KnownSite(organisation_id.bytes, row[0].bytes, origins, time.monotonic())


def _make_room(entries: dict[str, KnownSite] | dict[str, float], limit: int) -> None:
    """Forget the oldest entry: made-up keys must not fill the memory."""
    if len(entries) >= limit:
        del entries[next(iter(entries))]
