"""What the operators' first page shows, put together from what was read. A server that is away leaves its part out."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import redis
from flask import url_for
from redis.exceptions import RedisError

from webapp.config import Settings
from webapp.jobs.kinds import list_kinds
from webapp.jobs.models import Job, PausedQueue
from webapp.jobs.queue_names import WORKING_QUEUES
from webapp.jobs.workers import Work, WorkerState, list_workers
from webapp.lib.redis import beacons_client
from webapp.operations.queries import Count, WaitingJobs
from webapp.operations.readings import Messages, oldest_at, read_messages
from webapp.operations.sampling import Sample, Trend, is_late, list_samples, points_of, trend_of
from webapp.visits.backlog import Backlog, read_backlog

OLD = timedelta(minutes=1)
"""Whatever waits longer than this, in a queue that goes on, is worth a look."""
UNITS = {"jobs": "jobs", "results": "results", "dead_letters": "dead letters", "imports": "chunks", "visits": "beacons"}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Broker:
    """What the broker knows."""

    messages: Mapping[str, Messages]
    samples: Sequence[Sample]
    workers: Sequence[WorkerState]
    is_late: bool


@dataclass(frozen=True)
class QueueLine:
    """One queue. `waiting` and `in_flight` are jobs in PostgreSQL, None for a queue that has none there."""

    name: str
    unit: str
    messages: int
    waiting: Count | None
    in_flight: Count | None
    age: timedelta | None
    is_old: bool
    worker_count: int
    paused: PausedQueue | None
    is_pausable: bool
    trend: Trend
    rate_points: str
    depth_points: str


@dataclass(frozen=True)
class WorkLine:
    """Something that a worker does now; `url` leads to the job, if it is one."""

    text: str
    since: datetime
    url: str | None = None


@dataclass(frozen=True)
class WorkerLine:
    """A worker and what it does."""

    worker: WorkerState
    state: str
    works: Sequence[WorkLine]


def ask_broker(client: redis.Redis, now: datetime) -> Broker | None:
    """All that the broker knows; None when it does not answer."""
    try:
        samples = list_samples(client, now)
        return Broker(read_messages(client), samples, list_workers(client), is_late(samples, now))
    except RedisError as error:
        logger.warning("The broker does not say how the queues stand: %s", error)
        return None


def ask_backlog(settings: Settings) -> Backlog | None:
    """The beacons that wait; None when their Redis does not answer."""
    try:
        with beacons_client(settings) as client:
            return read_backlog(client, settings.beacons_limit)
    except RedisError as error:
        logger.warning("Nobody says how many beacons wait: %s", error)
        return None


def queue_lines(
    broker: Broker, jobs: Mapping[str, WaitingJobs], paused: Mapping[str, PausedQueue], now: datetime
) -> list[QueueLine]:
    """Each queue, those that work for people first."""
    order = sorted(
        broker.messages, key=lambda queue: (queue not in UNITS, list(UNITS).index(queue) if queue in UNITS else 0)
    )
    return [_queue_line(queue, broker, jobs.get(queue), paused.get(queue), now) for queue in order]


def _queue_line(
    queue: str, broker: Broker, jobs: WaitingJobs | None, paused: PausedQueue | None, now: datetime
) -> QueueLine:
    messages, trend = broker.messages[queue], trend_of(broker.samples, queue)
    since = oldest_at(messages, jobs)
    age = max(now - since, timedelta()) if since else None
    return QueueLine(
        name=queue,
        unit=UNITS.get(queue, "messages"),
        messages=messages.count,
        waiting=jobs.waiting if jobs else None,
        in_flight=jobs.in_flight if jobs else None,
        age=age,
        is_old=age is not None and age > OLD and paused is None,
        worker_count=sum(queue in worker.queues and not worker.is_silent for worker in broker.workers),
        paused=paused,
        is_pausable=queue in WORKING_QUEUES,
        trend=trend,
        rate_points=points_of(trend.rates, now),
        depth_points=points_of(trend.depths, now),
    )


def worker_lines(
    workers: Sequence[WorkerState], own_jobs: Mapping[UUID, Job], names: Mapping[UUID, str]
) -> list[WorkerLine]:
    """Each worker; `own_jobs` are those of the operator's own organisation, `names` are the organisations'."""
    return [
        WorkerLine(worker, _state(worker), [_work_line(work, own_jobs, names) for work in worker.works])
        for worker in workers
    ]


def _state(worker: WorkerState) -> str:
    if worker.is_silent:
        return "silent"
    if worker.is_stopping:
        return "stopping"
    return "running" if worker.works else "idle"


def _work_line(work: Work, own_jobs: Mapping[UUID, Job], names: Mapping[UUID, str]) -> WorkLine:
    """Other organisations' jobs are called by their kind: what they are about is not for this list."""
    if work.job_id is None or work.organisation_id is None:
        return WorkLine(work.actor, work.since)
    if work.job_id in own_jobs:
        return WorkLine(own_jobs[work.job_id].title, work.since, url_for("jobs.show", job_id=work.job_id))
    labels = {kind.name: kind.label for kind in list_kinds()}
    text = f"{names.get(work.organisation_id, '?')}: {labels.get(work.kind or '', work.kind)}"
    ids: dict[str, Any] = {"organisation_id": work.organisation_id, "job_id": work.job_id}
    return WorkLine(text, work.since, url_for("operations.show_job", **ids))
