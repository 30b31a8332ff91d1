"""Taking waiting jobs for the workers, claiming them in a worker, and saying how far one is. Nothing here commits."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text

from webapp.extensions import db
from webapp.jobs.kinds import Kind
from webapp.jobs.models import StaleAttemptError

TAKE_LIMIT = 2_000
NO_LIMIT = 1_000_000

TAKE = text("SELECT * FROM footfall_take_jobs(:queue, :kinds, :weights, :limits, :capacity, :now, :most)")
IN_FLIGHT = text("SELECT * FROM footfall_in_flight_jobs(:queue)")
CLAIM = text(
    """
    WITH mine AS MATERIALIZED (
        SELECT id FROM jobs
        WHERE organisation_id = :organisation_id AND id = ANY(:ids)
          AND state IN ('pending', 'retrying') AND sent_at IS NOT NULL AND NOT in_chunks
        ORDER BY id FOR UPDATE
    ), begun AS (
        UPDATE jobs j SET state = 'running', attempt_count = attempt_count + 1, worker_id = :worker_id,
            claimed_at = :now, started_at = coalesce(started_at, :now), error = NULL, wait_reason = NULL
        FROM mine m WHERE j.organisation_id = :organisation_id AND j.id = m.id
        RETURNING j.id, j.kind, j.parameters, j.checkpoint, j.attempt_count, j.attempt_limit
    ), attempts AS (
        INSERT INTO job_attempts (organisation_id, job_id, number, worker, started_at)
        SELECT :organisation_id, b.id, b.attempt_count, :worker, :now FROM begun b
    )
    SELECT * FROM begun ORDER BY id
    """
)
PROGRESS = text(
    """
    UPDATE jobs SET progress_count = :progress_count, total_count = :total_count,
        checkpoint = coalesce(CAST(:checkpoint AS jsonb), checkpoint)
    WHERE organisation_id = :organisation_id AND id = :id AND state = 'running' AND attempt_count = :number
    RETURNING cancel_requested_at
    """
)
SAMPLE = text(
    """
    INSERT INTO job_samples (organisation_id, job_id, at, progress_count)
    VALUES (:organisation_id, :id, :at, :progress_count) ON CONFLICT DO NOTHING
    """
)
MARK_SENT = text(
    """
    UPDATE jobs SET sent_at = :now WHERE organisation_id = :organisation_id AND id = ANY(:ids)
      AND sent_at IS NOT NULL AND state IN ('pending', 'retrying')
    """
)


@dataclass(frozen=True)
class Message:
    """Jobs of one organisation that a worker gets together."""

    organisation_id: UUID
    job_ids: list[UUID]


@dataclass(frozen=True)
class Claimed:
    """A job that is this worker's from now on."""

    id: UUID
    kind: str
    parameters: dict[str, Any]
    checkpoint: dict[str, Any] | None
    attempt_count: int
    attempt_limit: int

    @property
    def is_last_attempt(self) -> bool:
        return self.attempt_count >= self.attempt_limit


@dataclass(frozen=True)
class InFlight:
    """A job that was sent and is not over."""

    organisation_id: UUID
    id: UUID
    kind: str
    state: str
    attempt_count: int
    attempt_limit: int
    worker_id: UUID | None
    sent_at: datetime
    claimed_at: datetime | None


def take_jobs(queue: str, kinds: Iterable[Kind], capacity: float, now: datetime) -> list[Message]:
    """Choose fairly what the workers get next, mark it as sent, and say in which messages. Commit, then send.

    `capacity` counts messages that the workers may hold; what they hold already is taken off.
    """
    known = {kind.name: kind for kind in kinds if kind.queue == queue}
    given = {
        "queue": queue,
        "kinds": list(known),
        "weights": [1 / kind.batch_size for kind in known.values()],
        "limits": [kind.concurrency_limit or NO_LIMIT for kind in known.values()],
        "capacity": capacity,
        "now": now,
        "most": TAKE_LIMIT,
    }
    rows = db.session.execute(TAKE, given)
    return in_messages([(row[0], row[1], known[row[2]], row[3]) for row in rows])


def in_messages(taken: Sequence[tuple[UUID, UUID, Kind, int]]) -> list[Message]:
    """(organisation, job, kind, attempts so far) as messages.

    Quick jobs share one; what was tried before goes alone, lest it take others down with it.
    """
    messages: list[Message] = []
    open_messages: dict[tuple[UUID, str], Message] = {}
    for organisation_id, job_id, kind, attempt_count in taken:
        key = (organisation_id, kind.name)
        shared = open_messages.get(key) if attempt_count == 0 else None
        if shared is not None and len(shared.job_ids) < kind.batch_size:
            shared.job_ids.append(job_id)
            continue
        message = Message(organisation_id, [job_id])
        messages.append(message)
        if attempt_count == 0:
            open_messages[key] = message
    return messages


def claim_jobs(
    organisation_id: UUID, job_ids: Sequence[UUID], worker_id: UUID, worker: str, now: datetime
) -> list[Claimed]:
    """Begin an attempt of each job that waits for one; those that run, ended or were cancelled are left out."""
    given = {
        "organisation_id": organisation_id,
        "ids": list(job_ids),
        "worker_id": worker_id,
        "worker": worker,
        "now": now,
    }
    return [Claimed(*row) for row in db.session.execute(CLAIM, given)]


def note_progress(
    organisation_id: UUID,
    job_id: UUID,
    number: int,
    progress_count: int,
    total_count: int | None,
    checkpoint: dict[str, Any] | None,
    sample_at: datetime | None,
) -> bool:
    """Write how far attempt `number` is; whether somebody asked it to stop. Raises StaleAttemptError."""
    key = {"organisation_id": organisation_id, "id": job_id}
    given = {
        "progress_count": progress_count,
        "total_count": total_count,
        "number": number,
        "checkpoint": None if checkpoint is None else json.dumps(checkpoint),
    }
    row = db.session.execute(PROGRESS, key | given).one_or_none()
    if row is None:
        raise StaleAttemptError(f"Attempt {number} of job {job_id} is over.")
    if sample_at is not None:
        db.session.execute(SAMPLE, {**key, "at": sample_at, "progress_count": progress_count})
    return row[0] is not None


def list_in_flight(queue: str) -> list[InFlight]:
    """What was sent and is not over, of every organisation: never more than the workers may hold."""
    return [InFlight(*row) for row in db.session.execute(IN_FLIGHT, {"queue": queue})]


def mark_sent_again(organisation_id: UUID, job_ids: Sequence[UUID], now: datetime) -> None:
    """Their message was lost; another is sent now."""
    db.session.execute(MARK_SENT, {"organisation_id": organisation_id, "ids": list(job_ids), "now": now})
