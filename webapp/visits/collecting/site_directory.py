"""What the collector knows about sites: read from PostgreSQL, remembered, and good without it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any
from uuid import UUID

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from webapp.visits.collecting.intake import KnownSite
from webapp.visits.collecting.rules import SiteRules, make_rules
from webapp.visits.collecting.site_keys import organisation_of

APP_ROLE = "footfall_app"
FRESH_SECONDS = 30.0
"""So long after a change of its settings, a site's beacons are still taken by the old ones, and no longer."""
REFRESH_SECONDS = 15.0
"""A busy site is asked again behind the scenes before its answer is old."""
STALE_WAIT_SECONDS = 0.3
STALE_PAUSE_SECONDS = 3.0
UNKNOWN_SECONDS = 3.0
LOOKUP_SECONDS = 3.0
KNOWN_LIMIT = 50_000
UNKNOWN_LIMIT = 10_000
WAITING_LIMIT = 200
CONNECTION_LIMIT = 4
UNREACHABLE = (psycopg.Error, PoolTimeout, TimeoutError, OSError)

SETTINGS = (
    "origins", "query_keys", "excluded_pages", "excluded_addresses", "excluded_countries", "drops_bots",
    "respects_dnt", "is_cookieless", "counts_fragments", "identify_secret", "rate_limit",
    "deleted_at",
)  # fmt: skip
"""The columns of a site that `make_rules` takes, in its order."""
SITE = f"SELECT id, {', '.join(SETTINGS)} FROM sites WHERE organisation_id = %s AND site_key = %s"  # noqa: S608  (our own names)


class DirectoryError(Exception):
    """This site is not known yet, and PostgreSQL cannot be asked now."""


class SiteDirectory:
    """Sites by their key. A known site is good without PostgreSQL, for as long as that is away."""

    def __init__(self, database_url: str) -> None:
        options = f"-c role={APP_ROLE} -c default_transaction_read_only=on -c statement_timeout=2000"
        self._pool: AsyncConnectionPool[psycopg.AsyncConnection] = AsyncConnectionPool(
            database_url, min_size=0, max_size=CONNECTION_LIMIT, open=False, timeout=LOOKUP_SECONDS,
            kwargs={"options": options, "connect_timeout": 2}, reconnect_timeout=LOOKUP_SECONDS,
        )  # fmt: skip
        self._known: dict[str, KnownSite] = {}
        self._unknown: dict[str, float] = {}
        self._pending: dict[str, asyncio.Task[KnownSite | None]] = {}
        self._stale_until = 0.0

    async def open(self) -> None:
        await self._pool.open()

    async def close(self) -> None:
        for lookup in list(self._pending.values()):
            lookup.cancel()
        await self._pool.close()

    def find_known(self, site_key: str) -> KnownSite | None:
        """A site whose settings are fresh, or cannot be had fresher now."""
        site = self._known.get(site_key)
        if site is None:
            return None
        now = time.monotonic()
        age = now - site.looked_up_at
        if age <= REFRESH_SECONDS:
            return site
        self._begin_lookup(site_key)
        return site if age <= FRESH_SECONDS or now < self._stale_until else None

    async def find(self, site_key: str) -> KnownSite | None:
        """The site, asking PostgreSQL for one that is new or was idle; raises DirectoryError when that cannot be."""
        known = self._known.get(site_key)
        if known is not None:
            return await self._find_fresh(known, site_key)
        if organisation_of(site_key) is None or self._is_unknown(site_key):
            return None
        if site_key not in self._pending and len(self._pending) >= WAITING_LIMIT:
            raise DirectoryError("Too many site keys are being looked up.")
        try:
            return await asyncio.shield(self._begin_lookup(site_key))
        except UNREACHABLE as error:
            raise DirectoryError(str(error)) from error

    async def _find_fresh(self, known: KnownSite, site_key: str) -> KnownSite | None:
        """A site that nobody asked for lately: the new settings if they come at once, else the ones we have.

        A database that is away keeps one beacon waiting for a moment, and none for some seconds after it.
        """
        try:
            async with asyncio.timeout(STALE_WAIT_SECONDS):
                return await asyncio.shield(self._begin_lookup(site_key))
        except UNREACHABLE:
            self._stale_until = time.monotonic() + STALE_PAUSE_SECONDS
            return known

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


def _known_site(organisation_id: UUID, row: tuple[Any, ...] | None) -> KnownSite | None:
    if row is None:
        return None
    site_id, *settings = row
    return KnownSite(organisation_id.bytes, site_id.bytes, rules_of(settings), time.monotonic())


def rules_of(settings: Iterable[Any]) -> SiteRules:
    """The rules of these values of `SETTINGS`; the same object for the same values."""
    return make_rules(*(tuple(value) if isinstance(value, list) else value for value in settings))


def _make_room(entries: dict[str, KnownSite] | dict[str, float], limit: int) -> None:
    """Forget the oldest entry: made-up keys must not fill the memory."""
    if len(entries) >= limit:
        del entries[next(iter(entries))]
