"""Pausing queues, for the whole installation. Nothing here commits.

Of a paused queue the dispatcher sends nothing at once, and every worker hears of it within a second and takes
nothing more; what is at hand is still done.
"""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import delete, select

from webapp.extensions import db
from webapp.jobs.models import PausedQueue
from webapp.jobs.queue_names import WORKING_QUEUES


class NotPausableError(ValueError):
    """There is no such queue, or it must go on."""


def pause_queue(queue: str, paused_by: UUID | None) -> None:
    """Let nothing more be taken from it; raises NotPausableError. A queue that is paused stays as it is."""
    if queue not in WORKING_QUEUES:
        raise NotPausableError(f"Only {' and '.join(WORKING_QUEUES)} can be paused.")
    if db.session.get(PausedQueue, queue) is None:
        db.session.add(PausedQueue(queue=queue, paused_by=paused_by))
        db.session.flush()


def resume_queue(queue: str) -> None:
    """Let it go on. Commit, then `dispatch`."""
    db.session.execute(delete(PausedQueue).where(PausedQueue.queue == queue))


def is_paused(queue: str) -> bool:
    """Whether nothing of the queue may be taken for now."""
    return db.session.get(PausedQueue, queue, populate_existing=True) is not None


def list_paused_queues() -> Mapping[str, PausedQueue]:
    """Those that are paused, by name."""
    return {paused.queue: paused for paused in db.session.scalars(select(PausedQueue))}
