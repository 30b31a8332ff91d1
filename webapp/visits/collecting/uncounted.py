"""Beacons that are not counted, as the stream carries them: their site's owner will see how many there were, and why.

One that can be read has a row, and an id by which it counts once among the uncounted, too. What cannot be read, and
what is asked to come again, is summed up by site and reason.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time

from redis.exceptions import RedisError

from webapp.lib.ids import uuid7
from webapp.visits.backlog import AsyncAdder, BacklogFullError, Kind, Row
from webapp.visits.collecting.beacon import Beacon
from webapp.visits.collecting.checks import check_id
from webapp.visits.collecting.ids import drop_id
from webapp.visits.collecting.intake import KnownSite
from webapp.visits.collecting.refusals import ASKED_TO_RETURN, DroppedError, RefusedError

WRITE_SECONDS = 1.0
REDIS_SECONDS = 4.0

Outcome = RefusedError | DroppedError
Sums = dict[tuple[bytes, bytes, str], int]
"""How many beacons of an organisation's site were not counted for a reason."""

logger = logging.getLogger(__name__)


def reason_of(outcome: Outcome) -> str:
    """Under which reason it is counted: what is told to wait is not lost."""
    return ASKED_TO_RETURN if isinstance(outcome, RefusedError) and outcome.may_come_again else outcome.reason


def uncounted_row(beacon: Beacon, site: KnownSite, outcome: Outcome) -> Row:
    """One beacon that was read and is not counted."""
    now_ms = time.time_ns() // 1_000_000
    try:
        row_id = drop_id(check_id(beacon.id, now_ms), outcome.reason)
    except RefusedError:
        row_id = uuid7().bytes
    return _row(site.organisation_id, site.site_id, outcome.reason, row_id, now_ms, 1)


def sum_rows(sums: Sums) -> list[Row]:
    """Sums as rows, each of which says how many it stands for."""
    now_ms = time.time_ns() // 1_000_000
    return [
        _row(organisation_id, site_id, reason, uuid7().bytes, now_ms, count)
        for (organisation_id, site_id, reason), count in sums.items()
    ]


def add_to(sums: Sums, site: KnownSite, reason: str, count: int = 1) -> None:
    """Add so many of one site and reason."""
    key = site.organisation_id, site.site_id, reason
    sums[key] = sums.get(key, 0) + count


def _row(organisation_id: bytes, site_id: bytes, reason: str, row_id: bytes, now_ms: int, count: int) -> Row:
    return Row(
        organisation_id, site_id, row_id, now_ms, now_ms, "", "", "", "",
        kind=Kind.DROPPED, name=reason, engaged_ms=count,
    )  # fmt: skip


class Tally:
    """Sums in this process's memory, written once a second: a flood of refusals costs what one of them costs."""

    def __init__(self, adder: AsyncAdder) -> None:
        self._adder = adder
        self._sums: Sums = {}
        self._unwritten: list[Row] = []
        self._writer: asyncio.Task[None] | None = None

    def add(self, site: KnownSite, reason: str, count: int = 1) -> None:
        """Count what is not answered for one by one."""
        add_to(self._sums, site, reason, count)
        self._begin()

    def add_all(self, sums: Sums) -> None:
        """As `add`, for what one request held."""
        for key, count in sums.items():
            self._sums[key] = self._sums.get(key, 0) + count
        if sums:
            self._begin()

    async def close(self) -> None:
        """Write what is there, as far as Redis takes it."""
        if self._writer is not None:
            self._writer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._writer
        while (self._unwritten or self._sums) and await self._write():
            pass

    def _begin(self) -> None:
        if self._writer is None:
            self._writer = asyncio.create_task(self._write_all())

    async def _write_all(self) -> None:
        try:
            while self._unwritten or self._sums:
                await asyncio.sleep(WRITE_SECONDS)
                await self._write()
        finally:
            self._writer = None

    async def _write(self) -> bool:
        """What fails is tried again as the same rows: if Redis has them after all, they count once."""
        if not self._unwritten:
            self._unwritten, self._sums = sum_rows(self._sums), {}
        try:
            async with asyncio.timeout(REDIS_SECONDS):
                await self._adder.add(self._unwritten)
        except (BacklogFullError, RedisError, OSError) as error:
            logger.info("Counts of refused beacons wait for Redis: %r", error)
            return False
        self._unwritten = []
        return True
