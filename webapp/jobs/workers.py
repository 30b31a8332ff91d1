"""Which workers live, and what each one runs: told by themselves, once a second.

A worker says so in the broker's Redis, and holds an advisory lock in PostgreSQL, which is free as soon as the
process is gone. It counts as dead only when both are silent: either server may restart, and a process may be too
busy to speak, without its jobs being begun a second time.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

import redis
from redis.exceptions import RedisError
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from webapp.lib.clock import utc_now
from webapp.lib.ids import uuid7

WORKERS_KEY = "footfall:workers"
DONE_KEY = "footfall:done"
BEAT_SECONDS = 1.0
GOODBYE_SECONDS = 5.0
SILENT_MS = 6_000
FORGOTTEN_MS = 10 * 60_000

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Work:
    """Something that a worker does now: an actor's message, and the job that it runs if it runs one."""

    actor: str
    since: datetime
    organisation_id: UUID | None = None
    job_id: UUID | None = None
    kind: str | None = None


@dataclass(frozen=True)
class WorkerState:
    """A worker as it last said, and how long ago that was."""

    id: UUID
    host: str
    pid: int
    queues: tuple[str, ...]
    threads: int
    started_at: datetime
    said_at: datetime
    """By its own clock, like the times of its claims."""
    heard_at: datetime
    """By the broker's clock, which is the same for all."""
    silent_ms: int
    is_stopping: bool
    works: tuple[Work, ...]
    job_ids: frozenset[UUID]

    @property
    def is_silent(self) -> bool:
        return self.silent_ms > SILENT_MS

    @property
    def name(self) -> str:
        return f"{self.host}:{self.pid}"


@dataclass
class Worker:
    """This process, as it tells the others. Its methods may be called from any thread."""

    queues: tuple[str, ...]
    threads: int
    id: UUID = field(default_factory=uuid7)
    started_at: datetime = field(default_factory=utc_now)
    stopping: threading.Event = field(default_factory=threading.Event)
    _works: dict[int, Work] = field(default_factory=dict)
    _holds: Counter[UUID] = field(default_factory=Counter)
    _done_counts: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def name(self) -> str:
        return f"{socket.gethostname()}:{os.getpid()}"

    @contextmanager
    def holding(self, job_ids: Sequence[UUID]) -> Iterator[None]:
        """Say that these jobs are here: from before they are claimed until their outcomes are handed on.

        Two threads may hold one, when its message comes twice: the one that has nothing to do lets go first.
        """
        with self._lock:
            self._holds.update(job_ids)
        try:
            yield
        finally:
            with self._lock:
                self._holds.subtract(job_ids)
                self._holds += Counter()  # which drops those that nobody holds

    def begin(self, work: Work) -> None:
        """This thread begins something."""
        with self._lock:
            self._works[threading.get_ident()] = work

    def end(self) -> None:
        """This thread is idle again."""
        with self._lock:
            self._works.pop(threading.get_ident(), None)

    def count_done(self, queue: str, count: int = 1) -> None:
        """Count what was done for a queue; the heart adds it to the installation's counters."""
        with self._lock:
            self._done_counts[queue] += count

    def take_done_counts(self) -> dict[str, int]:
        """What was counted since the last time."""
        with self._lock:
            taken, self._done_counts = self._done_counts, Counter()
        return taken

    def state(self) -> dict[str, Any]:
        """What is told to the others. It is as of `said_at`: what is claimed later may be missing."""
        said_at = utc_now()
        with self._lock:
            works, job_ids = list(self._works.values()), list(self._holds)
        return {
            "id": str(self.id),
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "queues": list(self.queues),
            "threads": self.threads,
            "started_at": self.started_at.isoformat(),
            "said_at": said_at.isoformat(),
            "is_stopping": self.stopping.is_set(),
            "works": [_work_json(work) for work in works],
            "job_ids": [str(job_id) for job_id in job_ids],
        }


_this = Worker(queues=(), threads=0)


def this_worker() -> Worker:
    """The process that asks; outside a worker it is one that takes nothing."""
    return _this


def begin_worker(queues: Iterable[str], threads: int) -> Worker:
    """This process becomes a worker, with an id of its own: it may be a copy of one that was forked."""
    global _this
    _this = Worker(tuple(sorted(queues)), threads)
    return _this


class Heart:
    """The threads of a worker that speak for it to the broker, and that hold its lock and hear what is paused.

    One each, so that a server that hangs cannot silence the worker towards the other.
    """

    def __init__(
        self, worker: Worker, broker: redis.Redis, engine: Engine, hear_paused: Callable[[set[str]], None]
    ) -> None:
        self._worker = worker
        self._hear_paused = hear_paused
        self._broker = broker
        self._engine = engine
        self._connection: Connection | None = None
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._repeat, args=(beat,), name=beat.__name__, daemon=True)
            for beat in (self._speak, self._hold_and_hear)
        ]

    def start(self) -> None:
        """Beat once at once, so that the worker is known before it takes its first message."""
        self._speak()
        self._hold_and_hear()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Say goodbye, once nothing runs any more; without the servers, nobody is there to hear it."""
        self._over.set()
        for thread in self._threads:
            thread.join(GOODBYE_SECONDS)
        try:
            add_done_counts(self._broker, self._worker)
            self._broker.hdel(WORKERS_KEY, str(self._worker.id))
        except RedisError as error:
            logger.warning("A worker cannot say goodbye: %s", error)

    def _repeat(self, beat: Callable[[], None]) -> None:
        """Whatever happens, the next beat comes: a worker whose heart stands still takes no work and blocks what it
        holds."""
        while not self._over.wait(BEAT_SECONDS):
            try:
                beat()
            except Exception:
                logger.exception("A worker's heart missed a beat.")

    def _speak(self) -> None:
        try:
            tell(self._broker, self._worker.state())
            add_done_counts(self._broker, self._worker)
        except RedisError as error:
            logger.warning("A worker cannot tell the broker that it lives: %s", error)

    def _hold_and_hear(self) -> None:
        try:
            self._hear_paused(self._hold_lock())
        except SQLAlchemyError as error:
            self._connection = None
            logger.warning("A worker cannot hold its lock: %s", error)

    def _hold_lock(self) -> set[str]:
        """Take the lock, or keep it by a question that is asked anyway: which queues are paused."""
        if self._connection is None:
            self._connection = self._connect()
        paused = set(self._connection.execute(text("SELECT queue FROM paused_queues")).scalars())
        self._connection.rollback()
        return paused

    def _connect(self) -> Connection:
        connection = self._engine.connect()
        connection.detach()  # it is this thread's for good, and no other's to wait for
        key = {"key": str(self._worker.id)}
        # Shared, since a connection that broke may hold it for a while yet.
        connection.execute(text("SELECT pg_advisory_lock_shared(hashtextextended(:key, 0))"), key)
        connection.rollback()  # which such a lock outlives
        return connection


def tell(broker: redis.Redis, state: dict[str, Any]) -> None:
    """Keep a worker's state, with the moment by the broker's clock, which is the same for all."""
    seconds, microseconds = broker.time()
    state = {**state, "heard_ms": seconds * 1000 + microseconds // 1000}
    broker.hset(WORKERS_KEY, state["id"], json.dumps(state))


def add_done_counts(broker: redis.Redis, worker: Worker) -> None:
    """Add what a worker counted to the installation's counters; what Redis does not take is counted again."""
    counts = worker.take_done_counts()
    try:
        with broker.pipeline(transaction=True) as pipeline:
            for queue, count in counts.items():
                pipeline.hincrby(DONE_KEY, queue, count)
            pipeline.execute()
    except RedisError:
        for queue, count in counts.items():
            worker.count_done(queue, count)
        raise


def get_done_counts(broker: redis.Redis) -> dict[str, int]:
    """What all workers ever counted, for each queue, since Redis was empty."""
    found = cast("dict[bytes, bytes]", broker.hgetall(DONE_KEY))
    return {queue.decode(): int(count) for queue, count in found.items()}


def list_workers(broker: redis.Redis) -> list[WorkerState]:
    """Every worker that was heard within ten minutes, the longest at work first."""
    seconds, microseconds = broker.time()
    now_ms = seconds * 1000 + microseconds // 1000
    found = cast("dict[bytes, bytes]", broker.hgetall(WORKERS_KEY))
    workers = [_read_state(json.loads(content), now_ms) for content in found.values()]
    return sorted(workers, key=lambda worker: worker.started_at)


def forget_silent_workers(broker: redis.Redis) -> None:
    """Drop what was not heard for ten minutes."""
    for worker in list_workers(broker):
        if worker.silent_ms > FORGOTTEN_MS:
            broker.hdel(WORKERS_KEY, str(worker.id))


def message_capacity(workers: Iterable[WorkerState], queue: str) -> int:
    """How many messages of the queue the living workers may hold: one at work and one at hand for each thread."""
    able = [worker for worker in workers if queue in worker.queues and not (worker.is_silent or worker.is_stopping)]
    return sum(2 * worker.threads for worker in able)


def locked_workers(connection: Connection, worker_ids: Iterable[UUID]) -> set[UUID]:
    """Those of the workers whose lock in PostgreSQL is held."""
    query = text(
        """
        SELECT w.id FROM unnest(CAST(:ids AS uuid[])) AS w(id) WHERE EXISTS (
            SELECT FROM pg_locks l WHERE l.locktype = 'advisory' AND l.granted
              AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
              AND (l.classid::bigint << 32) | l.objid::bigint = hashtextextended(w.id::text, 0))
        """
    )
    return set(connection.execute(query, {"ids": list(worker_ids)}).scalars())


def _work_json(work: Work) -> dict[str, Any]:
    return {
        "actor": work.actor,
        "since": work.since.isoformat(),
        "organisation_id": str(work.organisation_id) if work.organisation_id else None,
        "job_id": str(work.job_id) if work.job_id else None,
        "kind": work.kind,
    }


def _read_state(state: dict[str, Any], now_ms: int) -> WorkerState:
    return WorkerState(
        id=UUID(state["id"]),
        host=state["host"],
        pid=state["pid"],
        queues=tuple(state["queues"]),
        threads=state["threads"],
        started_at=datetime.fromisoformat(state["started_at"]),
        said_at=datetime.fromisoformat(state["said_at"]),
        heard_at=datetime.fromtimestamp(state["heard_ms"] / 1000, UTC),
        silent_ms=now_ms - state["heard_ms"],
        is_stopping=state["is_stopping"],
        works=tuple(_read_work(work) for work in state["works"]),
        job_ids=frozenset(UUID(job_id) for job_id in state["job_ids"]),
    )


def _read_work(work: dict[str, Any]) -> Work:
    return Work(
        actor=work["actor"],
        since=datetime.fromisoformat(work["since"]),
        organisation_id=UUID(work["organisation_id"]) if work["organisation_id"] else None,
        job_id=UUID(work["job_id"]) if work["job_id"] else None,
        kind=work["kind"],
    )
