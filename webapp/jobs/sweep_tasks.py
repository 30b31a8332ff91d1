"""Finding what was lost: jobs whose worker died, and jobs whose message is gone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import redis
from flask import current_app

from webapp.extensions import db, tenant
from webapp.jobs.claims import InFlight, Message, is_paused, list_in_flight, mark_sent_again
from webapp.jobs.kinds import JOBS_QUEUE
from webapp.jobs.outcomes import Outcome, outcome_of_loss
from webapp.jobs.streams import add_outcomes, waiting_jobs
from webapp.jobs.workers import WorkerState, list_workers, locked_workers
from webapp.lib.clock import utc_now

MOST_ENTRIES = 2_000
LOST_MESSAGE = timedelta(seconds=5)
"""After so long a job that was sent has been begun, if no message waits in the queue."""
OLD_MESSAGE = timedelta(seconds=60)
"""After so long it is sent again anyway: its message may lie with a dead worker. Coming twice does no harm."""


def find_lost_runs(broker: redis.Redis) -> list[Outcome]:
    """Outcomes for jobs that run nowhere.

    The order of the looks decides. A job that ended before the workers spoke has its outcome in a stream, or in
    PostgreSQL by the time that the jobs are read; so what is running there, in no stream and with no worker is lost.
    """
    workers = list_workers(broker)
    waiting = waiting_jobs(broker, MOST_ENTRIES)
    if waiting is None:
        return []
    running = [job for job in list_in_flight(JOBS_QUEUE) if job.state == "running"]
    lost = [job for job in _without_worker(running, workers) if (job.id, job.attempt_count) not in waiting]
    return [_loss_of(job) for job in lost]


def _loss_of(job: InFlight) -> Outcome:
    is_spent = job.attempt_count >= job.attempt_limit
    return outcome_of_loss(job.organisation_id, job.id, job.attempt_count, job.kind, is_spent, utc_now())


def _without_worker(running: Sequence[InFlight], workers: Sequence[WorkerState]) -> list[InFlight]:
    """Those whose worker is dead, or said after it had claimed them that it does not have them."""
    heard = {worker.id: worker for worker in workers if not worker.is_silent}
    silent = {job.worker_id for job in running if job.worker_id and job.worker_id not in heard}
    alive = locked_workers(db.session.connection(), silent) if silent else set()
    return [job for job in running if job.worker_id not in alive and not _is_held(job, heard)]


def _is_held(job: InFlight, heard: dict[UUID, WorkerState]) -> bool:
    worker = heard.get(job.worker_id) if job.worker_id else None
    if worker is None:
        return False
    return job.id in worker.job_ids or job.claimed_at is None or job.claimed_at > worker.heard_at


def hand_on_lost_runs() -> set[str]:
    """Hand the lost runs' outcomes on; the streams that got some."""
    broker = current_app.extensions["broker"]
    lost = find_lost_runs(broker)
    db.session.rollback()
    return add_outcomes(broker, lost) if lost else set()


def find_lost_messages(now: datetime, *, queue_is_empty: bool) -> list[Message]:
    """Jobs that were sent some time ago and not begun, marked as sent anew, for each organisation.

    In a paused queue they wait because they shall.
    """
    if is_paused(JOBS_QUEUE):
        return []
    before = now - (LOST_MESSAGE if queue_is_empty else OLD_MESSAGE)
    lost: dict[UUID, list[UUID]] = {}
    for job in list_in_flight(JOBS_QUEUE):
        if job.state != "running" and job.sent_at < before:
            lost.setdefault(job.organisation_id, []).append(job.id)
    db.session.rollback()
    for organisation_id, job_ids in lost.items():
        with tenant(organisation_id):
            mark_sent_again(organisation_id, job_ids, now)
            db.session.commit()
    return [Message(organisation_id, [job_id]) for organisation_id, ids in lost.items() for job_id in ids]
