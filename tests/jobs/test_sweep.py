"""What is lost is found, and nothing else is taken for lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID

from sqlalchemy import text

from tests.jobs.support import (
    add_job,
    broker,
    list_attempts,
    pretend_worker,
    register,
    reread,
    run_sent,
    take,
    write_outcomes,
)
from webapp.extensions import db, tenant
from webapp.jobs.broker import broker as message_broker
from webapp.jobs.broker import waiting_count
from webapp.jobs.claims import claim_jobs
from webapp.jobs.kinds import Result, Run
from webapp.jobs.models import MAX_ATTEMPTS, Job, JobState
from webapp.jobs.tasks import dispatch, sweep_jobs
from webapp.jobs.workers import WORKERS_KEY, Worker, tell
from webapp.lib.clock import utc_now


def claim(job: Job, worker: Worker) -> None:
    """As a worker that gets no further than this."""
    take()
    with tenant(job.organisation_id):
        assert len(claim_jobs(job.organisation_id, [job.id], worker.id, worker.name, utc_now())) == 1
        db.session.commit()


@contextmanager
def lock_of(worker: Worker) -> Iterator[None]:
    """The advisory lock that a worker holds as long as it lives."""
    with db.engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(hashtextextended(:key, 0))"), {"key": str(worker.id)})
        try:
            yield
        finally:
            connection.execute(text("SELECT pg_advisory_unlock_all()"))
            connection.rollback()


def sweep() -> None:
    sweep_jobs.fn()
    write_outcomes()


def make_due(job: Job) -> None:
    with tenant(job.organisation_id):
        reread(job).run_at = utc_now()
        db.session.commit()


def test_a_dead_workers_job_is_tried_again_soon(organisation: UUID) -> None:
    job = add_job(organisation)
    claim(job, Worker(("jobs",), 1))
    sweep()
    job = reread(job)
    assert job.state is JobState.RETRYING
    assert job.run_at < utc_now() + timedelta(seconds=5)
    (attempt,) = list_attempts(organisation, job.id)
    assert (attempt.outcome, attempt.error) == ("lost", "The worker stopped without a word.")


def test_a_job_that_kills_its_workers_is_dead_after_three_tries(organisation: UUID) -> None:
    job = add_job(organisation)
    for _ in range(MAX_ATTEMPTS):
        make_due(job)
        claim(job, Worker(("jobs",), 1))
        sweep()
    assert (reread(job).state, reread(job).attempt_count) == (JobState.DEAD, MAX_ATTEMPTS)
    assert "That was the last of its attempts." in (reread(job).error or "")


def test_a_job_that_its_worker_says_it_holds_is_left_alone(organisation: UUID) -> None:
    job, worker = add_job(organisation), Worker(("jobs",), 1)
    with worker.holding([job.id]):
        claim(job, worker)
        tell(broker(), worker.state())
    sweep()
    assert reread(job).state is JobState.RUNNING


def test_a_job_that_its_worker_does_not_hold_any_more_is_lost(organisation: UUID) -> None:
    """It claimed the job and never heard that it had, or Redis lost the outcome that it handed on."""
    job, worker = add_job(organisation), Worker(("jobs",), 1)
    claim(job, worker)
    tell(broker(), worker.state())
    sweep()
    assert reread(job).state is JobState.RETRYING


def test_a_job_that_was_claimed_since_its_worker_spoke_is_left_alone(organisation: UUID) -> None:
    job, worker = add_job(organisation), Worker(("jobs",), 1)
    tell(broker(), worker.state())
    claim(job, worker)
    sweep()
    assert reread(job).state is JobState.RUNNING


def test_a_worker_that_redis_does_not_hear_lives_as_long_as_it_holds_its_lock(organisation: UUID) -> None:
    job, worker = add_job(organisation), Worker(("jobs",), 1)
    claim(job, worker)
    with lock_of(worker):
        sweep()
        assert reread(job).state is JobState.RUNNING
    sweep()
    assert reread(job).state is JobState.RETRYING


def test_a_worker_that_was_not_heard_for_a_while_counts_as_silent(organisation: UUID) -> None:
    job, worker = add_job(organisation), Worker(("jobs",), 1)
    with worker.holding([job.id]):
        claim(job, worker)
        tell(broker(), worker.state())
    state = json.loads(broker().hget(WORKERS_KEY, str(worker.id)) or b"{}")
    broker().hset(WORKERS_KEY, str(worker.id), json.dumps({**state, "heard_ms": state["heard_ms"] - 60_000}))
    sweep()
    assert reread(job).state is JobState.RETRYING


def test_a_job_that_is_done_and_not_yet_written_is_not_run_again(organisation: UUID) -> None:
    """As while PostgreSQL was away: the outcome waits in Redis, and the worker is gone meanwhile."""
    job = add_job(organisation)
    run_sent(take())
    sweep_jobs.fn()
    assert reread(job).state is JobState.RUNNING
    write_outcomes()
    assert (reread(job).state, reread(job).attempt_count) == (JobState.COMPLETED, 1)


def test_a_dead_letter_that_is_not_yet_written_is_not_run_again(organisation: UUID) -> None:
    job = add_job(organisation, "stumble")
    with tenant(organisation):
        reread(job).attempt_limit = 1
        db.session.commit()
    run_sent(take())
    sweep_jobs.fn()
    assert reread(job).state is JobState.RUNNING
    write_outcomes()
    assert reread(job).state is JobState.DEAD


def test_a_job_whose_message_redis_lost_is_sent_again(organisation: UUID) -> None:
    job = add_job(organisation)
    pretend_worker()
    take()
    sweep_jobs.fn()
    assert waiting_count("jobs") == 0
    with tenant(organisation):
        reread(job).sent_at = utc_now() - timedelta(seconds=10)
        db.session.commit()
    sweep_jobs.fn()
    assert waiting_count("jobs") == 1
    sweep_jobs.fn()
    assert waiting_count("jobs") == 1


def test_everything_is_found_again_after_redis_lost_all_it_had(organisation: UUID) -> None:
    """One job waits in a message, one runs, one is done and its outcome not written."""

    def finish(run: Run) -> Result:
        return {}

    register(finish)
    waiting, running, done = add_job(organisation), add_job(organisation, "give_up"), add_job(organisation, "finish")
    messages = {message.job_ids[0]: message for message in take()}
    run_sent([messages[done.id]])
    with tenant(organisation):
        dead = Worker(("jobs",), 1)
        claim_jobs(organisation, [running.id], dead.id, dead.name, utc_now())
        db.session.execute(text("UPDATE jobs SET sent_at = sent_at - interval '10 seconds'"))
        db.session.commit()
    broker().flushall()
    sweep()
    assert reread(waiting).state is JobState.PENDING
    assert waiting_count("jobs") == 1
    assert reread(running).state is JobState.RETRYING
    assert reread(done).state is JobState.RETRYING
    message_broker.flush_all()


def test_a_message_that_comes_twice_to_one_worker_loses_nothing(organisation: UUID) -> None:
    """The thread that finds nothing to do lets go of the job, and the one that runs it still holds it."""
    job, worker = add_job(organisation), Worker(("jobs",), 2)
    with worker.holding([job.id]):
        claim(job, worker)
        with worker.holding([job.id]):
            pass
        tell(broker(), worker.state())
    sweep()
    assert reread(job).state is JobState.RUNNING


def test_a_job_that_is_claimed_while_its_worker_speaks_is_left_alone(organisation: UUID) -> None:
    """What a worker says is as of the moment when it began to, by the clock of its claims."""
    job, worker = add_job(organisation), Worker(("jobs",), 1)
    state = worker.state()
    claim(job, worker)
    tell(broker(), state)
    sweep()
    assert reread(job).state is JobState.RUNNING


def test_a_lost_job_keeps_its_place_before_what_came_after_it(organisation: UUID) -> None:
    job = add_job(organisation)
    claim(job, Worker(("jobs",), 1))
    add_job(organisation)
    sweep()
    assert [message.job_ids for message in take(1)] == [[job.id]]


def test_jobs_that_wait_in_messages_are_not_sent_over_and_over(organisation: UUID) -> None:
    for _ in range(3):
        add_job(organisation)
    pretend_worker()
    dispatch()
    with tenant(organisation):
        for _ in range(3):
            db.session.execute(text("UPDATE jobs SET sent_at = sent_at - interval '1 hour'"))
            db.session.commit()
            sweep_jobs.fn()
    assert waiting_count("jobs") == 3


def test_an_entry_that_cannot_be_read_keeps_no_other_from_being_written(organisation: UUID) -> None:
    job, other = add_job(organisation), add_job(organisation)
    messages = {message.job_ids[0]: message for message in take()}
    run_sent([messages[job.id]])
    broker().xadd("jobs:results", {"outcomes": b"not JSON"})
    broker().xadd("jobs:results", {"something": b"else"})
    run_sent([messages[other.id]])
    sweep()
    assert (reread(job).state, reread(other).state) == (JobState.COMPLETED, JobState.COMPLETED)
    assert (broker().xlen("jobs:results"), broker().xlen("jobs:unreadable")) == (0, 2)
