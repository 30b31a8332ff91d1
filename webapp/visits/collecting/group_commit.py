"""Group commit: rows that come within about a millisecond are one entry of the stream, then everyone is told."""

from __future__ import annotations

import asyncio
import logging
from collections import deque

from webapp.metrics import beacon_counter
from webapp.visits.backlog import AsyncAdder, BacklogFullError, Row
from webapp.visits.collecting.refusals import RefusedError, backlog_full, try_again

GATHER_SECONDS = 0.001
GROUP_LIMIT = 2000
REDIS_SECONDS = 4.0

logger = logging.getLogger(__name__)
count_accepted = beacon_counter("accepted")


class Group:
    """What is written together: rows that count, rows that say what does not, and who waits."""

    __slots__ = ("rows", "uncounted", "waiting")

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.uncounted: list[Row] = []
        self.waiting: list[asyncio.Future[None]] = []


class GroupCommit:
    """While an entry is on its way the next group gathers, so groups grow with the load."""

    def __init__(self, adder: AsyncAdder) -> None:
        self._adder = adder
        self._open = Group()
        self._full: deque[Group] = deque()
        self._writer: asyncio.Task[None] | None = None

    def add(self, row: Row) -> asyncio.Future[None]:
        """A future that is done when the row is in Redis."""
        self._open.rows.append(row)
        return self._wait()

    def add_all(self, rows: list[Row], uncounted: list[Row]) -> asyncio.Future[None]:
        """As `add`, for what one request held: all of it is in one group."""
        self._open.rows.extend(rows)
        self._open.uncounted.extend(uncounted)
        return self._wait()

    async def close(self) -> None:
        """Write what is gathered."""
        if self._writer is not None:
            await self._writer

    def _wait(self) -> asyncio.Future[None]:
        future = asyncio.get_running_loop().create_future()
        group = self._open
        group.waiting.append(future)
        if len(group.rows) + len(group.uncounted) >= GROUP_LIMIT:
            self._full.append(group)
            self._open = Group()
        if self._writer is None:
            self._writer = asyncio.create_task(self._write())
        return future

    async def _write(self) -> None:
        try:
            await asyncio.sleep(GATHER_SECONDS)
            while self._full or self._open.waiting:
                if self._full:
                    group = self._full.popleft()
                else:
                    group, self._open = self._open, Group()
                _tell(group.waiting, await self._commit(group))
        finally:
            self._writer = None

    async def _commit(self, group: Group) -> RefusedError | None:
        rows = [*group.rows, *group.uncounted] if group.uncounted else group.rows
        try:
            async with asyncio.timeout(REDIS_SECONDS):
                await self._adder.add(rows)
        except BacklogFullError:
            return backlog_full()
        except Exception as error:  # Redis may have kept them all the same: they come again, under their ids
            logger.warning("Beacons could not be written to Redis: %r", error)
            return try_again("The queue of beacons cannot be reached.")
        count_accepted(len(group.rows))
        return None


def _tell(waiting: list[asyncio.Future[None]], refusal: RefusedError | None) -> None:
    for future in waiting:
        if future.done():
            continue  # its request was cancelled
        if refusal is None:
            future.set_result(None)
        else:
            future.set_exception(refusal)
