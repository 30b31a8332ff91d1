"""The rules of one job."""

from __future__ import annotations

from datetime import timedelta

import pytest

from webapp.jobs.models import MAX_ATTEMPTS, Job, JobState, StaleAttemptError
from webapp.lib.clock import utc_now
from webapp.lib.ids import uuid7


def make_job(**values: object) -> Job:
    new = {"state": JobState.PENDING, "attempt_count": 0, "attempt_limit": MAX_ATTEMPTS}
    return Job(organisation_id=uuid7(), id=uuid7(), kind="x", title="X", **{**new, **values})


def test_an_attempt_makes_the_job_run() -> None:
    job = make_job()
    attempt = job.begin("machine:1")
    assert (job.state, attempt.number, attempt.worker) == (JobState.RUNNING, 1, "machine:1")


def test_only_the_running_attempt_may_write() -> None:
    job = make_job()
    job.begin("machine:1")
    job.begin("machine:2")
    job.check_attempt(2)
    with pytest.raises(StaleAttemptError):
        job.check_attempt(1)


def test_nobody_writes_to_a_job_that_is_over() -> None:
    job = make_job()
    job.begin("machine:1")
    job.complete({})
    with pytest.raises(StaleAttemptError):
        job.check_attempt(1)


def test_a_failed_attempt_is_tried_again_later_and_later() -> None:
    job = make_job()
    waits = []
    for _ in range(MAX_ATTEMPTS - 1):
        job.begin("machine:1")
        job.fail("no luck")
        assert job.state is JobState.RETRYING
        waits.append(job.run_at - utc_now())
    assert waits[0] > timedelta(seconds=4)
    assert waits[1] > 1.5 * waits[0]


def test_a_job_whose_attempts_are_spent_is_dead_with_its_error() -> None:
    job = make_job()
    for _ in range(MAX_ATTEMPTS):
        job.begin("machine:1")
        job.fail("no luck")
    assert (job.state, job.error) == (JobState.DEAD, "no luck")
    assert job.ended_at is not None


def test_what_cannot_get_better_fails_at_once() -> None:
    job = make_job()
    job.begin("machine:1")
    job.fail("the file is gone", may_retry=False)
    assert job.state is JobState.FAILED


def test_a_waiting_job_is_cancelled_at_once_and_a_running_one_is_asked() -> None:
    waiting, running = make_job(), make_job()
    running.begin("machine:1")
    waiting.cancel()
    running.cancel()
    assert waiting.state is JobState.CANCELLED
    assert running.state is JobState.RUNNING
    assert running.cancel_requested_at is not None


def test_cancelling_what_is_over_changes_nothing() -> None:
    job = make_job()
    job.begin("machine:1")
    job.complete({})
    job.cancel()
    assert (job.state, job.cancel_requested_at) == (JobState.COMPLETED, None)


def test_a_dead_job_that_begins_again_has_all_its_attempts() -> None:
    job = make_job()
    for _ in range(MAX_ATTEMPTS):
        job.begin("machine:1")
        job.fail("no luck")
    job.begin_again()
    job.begin("machine:1")
    job.fail("no luck")
    assert job.state is JobState.RETRYING
