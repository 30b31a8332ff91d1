"""The rules of one job."""

from __future__ import annotations

import pytest

from webapp.jobs.models import MAX_ATTEMPTS, Job, JobState
from webapp.lib.ids import uuid7


def make_job(**values: object) -> Job:
    new = {"state": JobState.PENDING, "attempt_count": 0, "attempt_limit": MAX_ATTEMPTS, "redrive_count": 0}
    return Job(organisation_id=uuid7(), id=uuid7(), kind="x", title="X", **{**new, **values})


def test_an_attempt_makes_the_job_run() -> None:
    job = make_job()
    attempt = job.begin("machine:1")
    assert (job.state, attempt.number, attempt.worker) == (JobState.RUNNING, 1, "machine:1")


def test_what_waits_is_cancelled_at_once() -> None:
    job = make_job()
    job.cancel()
    assert (job.state, job.ended_at is not None) == (JobState.CANCELLED, True)


def test_what_runs_is_asked_to_stop() -> None:
    job = make_job()
    job.begin("machine:1")
    job.cancel()
    assert (job.state, job.cancel_requested_at is not None) == (JobState.RUNNING, True)


def test_what_runs_in_chunks_is_asked_even_while_it_waits() -> None:
    job = make_job(in_chunks=True)
    job.cancel()
    assert (job.state, job.cancel_requested_at is not None) == (JobState.PENDING, True)


def test_what_is_over_cannot_be_cancelled() -> None:
    job = make_job()
    job.complete({})
    job.cancel()
    assert (job.state, job.cancel_requested_at) == (JobState.COMPLETED, None)


@pytest.mark.parametrize("state", list(JobState), ids=lambda state: state.value)
def test_only_an_end_without_success_may_begin_again(state: JobState) -> None:
    without_success = {JobState.FAILED, JobState.DEAD, JobState.CANCELLED, JobState.DISCARDED}
    assert make_job(state=state).may_begin_again is (state in without_success)


def test_a_job_that_begins_again_has_as_many_attempts_as_at_first() -> None:
    job = make_job(state=JobState.DEAD, attempt_count=3, attempt_limit=3)
    job.begin_again()
    assert (job.state, job.attempt_limit, job.redrive_count) == (JobState.PENDING, 3 + MAX_ATTEMPTS, 1)


def test_discarding_keeps_the_time_of_the_end() -> None:
    job = make_job()
    job.fail("Broken")
    ended_at = job.ended_at
    job.discard()
    assert (job.state, job.ended_at, job.may_begin_again) == (JobState.DISCARDED, ended_at, True)
