"""Finding what was lost: jobs whose worker died, and jobs whose message is gone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import redis
from flask import current_app

from webapp.extensions import db, tenant
from webapp.jobs.claims import InFlight, Message, in_messages, list_in_flight, mark_sent_again
from webapp.jobs.kinds import JOBS_QUEUE, list_kinds
from webapp.jobs.outcomes import Outcome, outcome_of_loss
from webapp.jobs.queues import is_paused
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
    if not _running_without_worker(list_workers(broker)):
        return []
    workers = list_workers(broker)
    waiting = waiting_jobs(broker, MOST_ENTRIES)
    if waiting is None:
        return []
    suspects = _running_without_worker(workers)
    return [_loss_of(job) for job in suspects if (job.id, job.attempt_count) not in waiting]


def _loss_of(job: InFlight) -> Outcome:
    is_spent = job.attempt_count >= job.attempt_limit
    return outcome_of_loss(job.organisation_id, job.id, job.attempt_count, job.kind, is_spent, utc_now())


def _running_without_worker(workers: Sequence[WorkerState]) -> list[InFlight]:
    """Those whose worker is dead, or said after it had claimed them that it does not have them."""
    running = [job for job in list_in_flight(JOBS_QUEUE) if job.state == "running"]
    heard = {worker.id: worker for worker in workers if not worker.is_silent}
    silent = {job.worker_id for job in running if job.worker_id and job.worker_id not in heard}
    alive = locked_workers(db.session.connection(), silent) if silent else set()
    return [job for job in running if job.worker_id not in alive and not _is_held(job, heard)]


def _is_held(job: InFlight, heard: dict[UUID, WorkerState]) -> bool:
    worker = heard.get(job.worker_id) if job.worker_id else None
    if worker is None:
        return False
    return job.id in worker.job_ids or job.claimed_at is None or job.claimed_at > worker.said_at


def hand_on_lost_runs() -> set[str]:
    """Hand the lost runs' outcomes on; the streams that got some."""
    broker = current_app.extensions["broker"]
    lost = find_lost_runs(broker)
    db.session.rollback()
    return add_outcomes(broker, lost) if lost else set()


def find_lost_messages(now: datetime, queued_count: int) -> list[Message]:
    """Jobs that were sent some time ago and not begun, marked as sent anew, in messages.

    While as many messages are in the queue as it would take, none is missing. In a paused queue they wait
    because they shall.
    """
    messages = _unbegun_messages(now - (OLD_MESSAGE if queued_count else LOST_MESSAGE))
    if queued_count >= len(messages) or is_paused(JOBS_QUEUE):
        messages = []
    db.session.rollback()
    for message in messages:
        with tenant(message.organisation_id):
            mark_sent_again(message.organisation_id, message.job_ids, now)
            db.session.commit()
    return messages


def _unbegun_messages(before: datetime) -> list[Message]:
    unbegun = [job for job in list_in_flight(JOBS_QUEUE) if job.state != "running" and job.sent_at < before]
    known = {kind.name: kind for kind in list_kinds()}
    return in_messages([(j.organisation_id, j.id, known[j.kind], j.attempt_count) for j in unbegun if j.kind in known])
