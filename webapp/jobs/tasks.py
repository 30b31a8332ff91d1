"""The actors of jobs: send what waits, run it, write down what became of it, find what was lost.

Three queues of their own, so that each may run apart: `jobs` does the work, `results` and `dead_letters` bring its
outcomes into PostgreSQL.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from itertools import groupby
from uuid import UUID

from flask import current_app
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from webapp.extensions import db, tenant
from webapp.jobs.announcing import tell_pages
from webapp.jobs.broker import actor, waiting_count
from webapp.jobs.claims import Message, take_jobs
from webapp.jobs.kinds import JOBS_QUEUE, list_kinds
from webapp.jobs.live import publish_late as publish_what_is_late
from webapp.jobs.outcomes import Outcome, without_content
from webapp.jobs.recording import record_outcomes
from webapp.jobs.run_tasks import run_message
from webapp.jobs.streams import DEAD_LETTERS, RESULTS, count_entries, read_entries, remove_entries
from webapp.jobs.sweep_tasks import find_lost_messages, hand_on_lost_runs
from webapp.jobs.workers import forget_silent_workers, list_workers, message_capacity, this_worker
from webapp.lib.clock import utc_now

WRITERS_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('write ' || :stream, 0))")

logger = logging.getLogger(__name__)


def dispatch() -> None:
    """Send as many waiting jobs as the workers may hold, fairly. Call it after the commit that made one.

    What cannot be sent now is safe in its rows, and the scheduler sends it within a second or two.
    """
    try:
        capacity = message_capacity(list_workers(current_app.extensions["broker"]), JOBS_QUEUE)
        if not capacity:
            return
        messages = take_jobs(JOBS_QUEUE, list_kinds(), capacity, utc_now())
        db.session.commit()
        _send(messages)
    except (RedisError, SQLAlchemyError) as error:
        db.session.rollback()
        logger.warning("Jobs wait for the scheduler to send them: %s", error)


@actor("jobs")
def run_jobs(organisation: str, jobs: list[str]) -> None:
    """Run those of an organisation's jobs that still wait for it."""
    _send_writers(run_message(UUID(organisation), [UUID(job) for job in jobs]))


@actor("results")
def write_results() -> None:
    """Bring the outcomes of attempts into PostgreSQL, and send what there is room for now."""
    _write_all(RESULTS)


@actor("dead_letters")
def write_dead_letters() -> None:
    """Bring the jobs whose attempts are spent into PostgreSQL, with the last error."""
    _write_all(DEAD_LETTERS)


@actor("default")
def send_due_jobs() -> None:
    """Send what is due: planned for later, to be tried again, or waiting since a message was not sent."""
    dispatch()


@actor("default")
def sweep_jobs() -> None:
    """Begin again what a dead worker left, and send again what Redis lost."""
    forget_silent_workers(current_app.extensions["broker"])
    _send_writers(hand_on_lost_runs())
    _send(find_lost_messages(utc_now(), waiting_count(JOBS_QUEUE)))


@actor("default")
def publish_late() -> None:
    """Tell pages what nobody came to tell them."""
    publish_what_is_late(current_app.extensions["broker"])


def has_outcomes(stream: str) -> bool:
    """Whether outcomes wait in the stream and nobody was asked to write them."""
    return count_entries(current_app.extensions["broker"], stream) > 0 and not waiting_count(stream)


def _send(messages: Iterable[Message]) -> None:
    for message in messages:
        run_jobs.send(str(message.organisation_id), [str(job_id) for job_id in message.job_ids])


def _send_writers(streams: Iterable[str]) -> None:
    """Ask for the streams to be written, unless that was asked and not begun: it will find these outcomes too."""
    for stream in streams:
        if not waiting_count(stream):
            (write_dead_letters if stream == DEAD_LETTERS else write_results).send()


def _write_all(stream: str) -> None:
    while written := _write_some(stream):
        for organisation_id, job_ids in written.items():
            with tenant(organisation_id):
                tell_pages(organisation_id, job_ids)
        dispatch()


def _write_some(stream: str) -> dict[UUID, list[UUID]]:
    """Write the oldest entries in one transaction, then remove them; the jobs whose outcomes they held."""
    broker = current_app.extensions["broker"]
    try:
        db.session.execute(WRITERS_LOCK, {"stream": stream})
        entries = read_entries(broker, stream)
        outcomes = _first_of_each(outcome for entry in entries for outcome in entry.outcomes)
        written = _record(outcomes)
        db.session.commit()
    finally:
        db.session.rollback()
    remove_entries(broker, stream, entries)
    this_worker().count_done(stream, len(outcomes))
    return written


def _first_of_each(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """One outcome of an attempt, if several were handed on: the one that came first."""
    first: dict[tuple[UUID, int], Outcome] = {}
    for outcome in outcomes:
        first.setdefault((outcome.job_id, outcome.number), outcome)
    return list(first.values())


def _record(outcomes: Sequence[Outcome]) -> dict[UUID, list[UUID]]:
    written: dict[UUID, list[UUID]] = {}
    in_order = sorted(outcomes, key=lambda outcome: (outcome.organisation_id.int, outcome.job_id.int))
    for organisation_id, some in groupby(in_order, key=lambda outcome: outcome.organisation_id):
        with tenant(organisation_id):
            written[organisation_id] = _record_of_one(organisation_id, list(some))
    return written


def _record_of_one(organisation_id: UUID, outcomes: list[Outcome]) -> list[UUID]:
    """An outcome that PostgreSQL refuses must not keep the others out: it is written without what it says."""
    try:
        with db.session.begin_nested():
            return record_outcomes(organisation_id, outcomes)
    except DBAPIError as error:
        if error.connection_invalidated or not _is_about_content(error):
            raise
        if len(outcomes) == 1:
            logger.exception("An outcome of job %s cannot be kept as it is.", outcomes[0].job_id)
            return record_outcomes(organisation_id, [without_content(outcomes[0])])
    middle = len(outcomes) // 2
    halves = outcomes[:middle], outcomes[middle:]
    return [job_id for half in halves for job_id in _record_of_one(organisation_id, half)]


def _is_about_content(error: DBAPIError) -> bool:
    """Classes of PostgreSQL's error codes: 22, data exception, and 54, program limit exceeded."""
    return str(getattr(error.orig, "sqlstate", "")).startswith(("22", "54"))
