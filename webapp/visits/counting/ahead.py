"""Reading ahead: the next batch is read and made ready while PostgreSQL works on one."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import redis

from webapp.visits import backlog
from webapp.visits.counting.batch import Batch, prepare


class Ahead:
    """Batches of the stream, the next one in a thread of its own where one is sure to follow.

    What was read ahead holds only for the position after which it was read: whoever is at another one, since a batch
    failed or somebody else counted, gets another.
    """

    def __init__(self, stream: redis.Redis, beacon_limit: int) -> None:
        self._stream = stream
        self._limit = beacon_limit
        self._next: tuple[str, Future[Batch | None]] | None = None

    def __enter__(self) -> Ahead:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="ahead")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def take(self, position: str) -> Batch | None:
        """The batch after a position; None when nothing waits. The one after it is begun, when this one is full."""
        after, read = self._next or ("", None)
        self._next = None
        batch = read.result() if read is not None and after == position else self._read(position)
        if batch is not None and batch.height >= self._limit:
            self._next = batch.position, self._pool.submit(self._read, batch.position)
        return batch

    def _read(self, position: str) -> Batch | None:
        entries = backlog.read_after(self._stream, position, self._limit)
        return prepare(entries) if entries else None
