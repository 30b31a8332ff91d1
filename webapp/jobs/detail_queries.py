"""What a job's own page reads beside its row: never more than a page can show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, text

from webapp.extensions import db
from webapp.jobs.models import Job, JobAttempt, JobLog
from webapp.jobs.queries import list_logs
from webapp.lib.clock import utc_now

ATTEMPTS_SHOWN = 30
LINES_SHOWN = 200
POINTS = 600
"""So many make a smooth chart, however long the job ran."""

# The last sample of each stretch of time.
THINNED_SAMPLES = text(
    """
    SELECT DISTINCT ON (floor(extract(epoch FROM at) / :seconds)) at, progress_count FROM job_samples
    WHERE organisation_id = :organisation_id AND job_id = :job_id
    ORDER BY floor(extract(epoch FROM at) / :seconds), at DESC
    """
)
IN_FLIGHT_OF_KIND = text(
    """
    SELECT count(*) FROM jobs WHERE organisation_id = :organisation_id AND kind = :kind AND queue = :queue
      AND state IN ('pending', 'retrying', 'running') AND sent_at IS NOT NULL
    """
)

Point = tuple[datetime, int]


def list_points(job: Job) -> list[Point]:
    """How far the job was at which time, the earliest first: at most about POINTS of them."""
    if job.started_at is None:
        return []
    length = (job.ended_at or utc_now()) - job.started_at
    seconds = max(0.1, length.total_seconds() / POINTS)
    given = {"organisation_id": job.organisation_id, "job_id": job.id, "seconds": seconds}
    return [(at, progress_count) for at, progress_count in db.session.execute(THINNED_SAMPLES, given)]


def list_newest_attempts(organisation_id: UUID, job_id: UUID) -> Sequence[JobAttempt]:
    """The last attempts of a job, the newest first: one that has to wait for a limit may have hundreds."""
    query = select(JobAttempt).where(JobAttempt.organisation_id == organisation_id, JobAttempt.job_id == job_id)
    return db.session.scalars(query.order_by(JobAttempt.number.desc()).limit(ATTEMPTS_SHOWN)).all()


def list_newest_lines(organisation_id: UUID, job_id: UUID) -> tuple[list[JobLog], bool]:
    """The last lines that a job wrote, the oldest of them first, and whether there are others before them."""
    query = select(JobLog).where(JobLog.organisation_id == organisation_id, JobLog.job_id == job_id)
    newest_first = query.order_by(JobLog.number.desc(), JobLog.position.desc()).limit(LINES_SHOWN + 1)
    lines = db.session.scalars(newest_first).all()
    return list(reversed(lines[:LINES_SHOWN])), len(lines) > LINES_SHOWN


def iterate_lines(organisation_id: UUID, job_id: UUID) -> Iterator[JobLog]:
    """Every line that a job wrote, the first one first, read a part at a time."""
    after = None
    while lines := list_logs(organisation_id, job_id, after=after):
        yield from lines
        after = (lines[-1].number, lines[-1].position)


def count_in_flight(job: Job) -> int:
    """How many jobs of the same kind and organisation the workers have."""
    given = {"organisation_id": job.organisation_id, "kind": job.kind, "queue": job.queue}
    return int(db.session.execute(IN_FLIGHT_OF_KIND, given).scalar_one())
