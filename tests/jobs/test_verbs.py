"""What can be done to jobs by hand: whatever is not eligible is left, whoever else is at them waits."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from tests.conftest import Person
from tests.jobs import support
from tests.jobs.support import add_job, reread, run_waiting
from webapp.extensions import db, tenant
from webapp.jobs.filters import JobFilter
from webapp.jobs.models import FINAL_STATES, MAX_ATTEMPTS, TROUBLED_STATES, WITHOUT_SUCCESS, Job, JobState
from webapp.jobs.verbs import (
    Verb,
    cancel_jobs,
    change_jobs,
    discard_jobs,
    retry_jobs,
    start_change,
    title_of_change,
    why_not,
)
from webapp.lib.ids import uuid7

ELIGIBLE = {
    Verb.CANCEL: frozenset(JobState) - FINAL_STATES,
    Verb.RETRY: WITHOUT_SUCCESS,
    Verb.DISCARD: TROUBLED_STATES,
}


def add_in(organisation_id: UUID, state: JobState, **more: object) -> Job:
    """A job in a state, without its story."""
    job = add_job(organisation_id)
    with tenant(organisation_id):
        job = reread(job)
        job.state = state
        for name, value in more.items():
            setattr(job, name, value)
        db.session.commit()
    return job


def add_one_in_each_state(organisation_id: UUID) -> dict[JobState, Job]:
    return {state: add_in(organisation_id, state) for state in JobState}


@pytest.mark.parametrize("verb", list(Verb), ids=lambda verb: verb.value)
def test_a_verb_changes_what_it_may_and_counts_what_it_leaves(organisation: UUID, verb: Verb) -> None:
    jobs = add_one_in_each_state(organisation)
    done = change_jobs(organisation, verb, [reread(job).id for job in jobs.values()])
    db.session.commit()
    assert {reread(job).id for job in done.changed} == {reread(jobs[state]).id for state in ELIGIBLE[verb]}
    assert done.skipped_count == len(JobState) - len(ELIGIBLE[verb])
    for state in set(JobState) - ELIGIBLE[verb]:
        assert reread(jobs[state]).state is state


@pytest.mark.parametrize("verb", list(Verb), ids=lambda verb: verb.value)
def test_there_is_a_reason_exactly_where_a_verb_may_not_be_done(organisation: UUID, verb: Verb) -> None:
    jobs = add_one_in_each_state(organisation)
    refused = {state for state, job in jobs.items() if why_not(verb, reread(job)) is not None}
    assert refused == set(JobState) - ELIGIBLE[verb]


def test_cancelling_ends_what_waits_and_asks_what_runs(organisation: UUID) -> None:
    waiting, running = add_in(organisation, JobState.RETRYING), add_in(organisation, JobState.RUNNING)
    assert cancel_jobs(organisation, [reread(waiting).id, reread(running).id]).skipped_count == 0
    db.session.commit()
    assert (reread(waiting).state, reread(waiting).ended_at is not None) == (JobState.CANCELLED, True)
    assert (reread(running).state, reread(running).cancel_requested_at is not None) == (JobState.RUNNING, True)


def test_asking_twice_to_stop_is_asking_once(organisation: UUID) -> None:
    running = add_in(organisation, JobState.RUNNING)
    job_id = reread(running).id
    cancel_jobs(organisation, [job_id])
    db.session.commit()
    asked_at = reread(running).cancel_requested_at
    assert cancel_jobs(organisation, [job_id]).changed == []
    db.session.commit()
    assert reread(running).cancel_requested_at == asked_at


def test_a_dead_job_that_is_retried_has_all_its_attempts_and_runs(organisation: UUID) -> None:
    dead = add_in(organisation, JobState.DEAD, attempt_count=3, attempt_limit=3)
    retry_jobs(organisation, [reread(dead).id])
    db.session.commit()
    assert (reread(dead).attempt_limit, reread(dead).redrive_count) == (3 + MAX_ATTEMPTS, 1)
    run_waiting()
    assert (reread(dead).state, support.runs) == (JobState.COMPLETED, [reread(dead).id])


def test_a_discarded_job_can_still_begin_again(organisation: UUID) -> None:
    failed = add_in(organisation, JobState.FAILED)
    job_id = reread(failed).id
    discard_jobs(organisation, [job_id])
    db.session.commit()
    assert reread(failed).state is JobState.DISCARDED
    assert len(retry_jobs(organisation, [job_id]).changed) == 1
    db.session.commit()
    assert (reread(failed).state, reread(failed).redrive_count) == (JobState.PENDING, 0)


def test_an_import_is_asked_to_stop_and_begins_again_only_on_its_own_page(organisation: UUID) -> None:
    waiting = add_in(organisation, JobState.PENDING, in_chunks=True)
    failed = add_in(organisation, JobState.FAILED, in_chunks=True)
    ids = [reread(waiting).id, reread(failed).id]
    assert retry_jobs(organisation, ids).changed == []
    assert "drop its file" in (why_not(Verb.RETRY, reread(failed)) or "")
    assert [job.id for job in cancel_jobs(organisation, ids).changed] == ids[:1]
    assert [job.id for job in discard_jobs(organisation, ids).changed] == ids[1:]
    db.session.commit()
    assert (reread(waiting).state, reread(failed).state) == (JobState.PENDING, JobState.DISCARDED)


@pytest.mark.parametrize("verb", list(Verb), ids=lambda verb: verb.value)
def test_ids_of_another_organisation_or_of_nothing_are_left(organisation: UUID, charlie: Person, verb: Verb) -> None:
    theirs = add_one_in_each_state(charlie.organisation_id)
    with tenant(charlie.organisation_id):
        ids = [reread(job).id for job in theirs.values()]
    done = change_jobs(organisation, verb, [*ids, uuid7()])
    db.session.commit()
    assert (done.changed, done.skipped_count) == ([], len(JobState) + 1)
    assert [reread(job).state for job in theirs.values()] == list(JobState)


def test_an_id_that_is_named_twice_counts_once(organisation: UUID) -> None:
    job_id = reread(add_in(organisation, JobState.DEAD)).id
    done = discard_jobs(organisation, [job_id, job_id])
    assert (len(done.changed), done.skipped_count) == (1, 0)


def test_a_change_of_many_says_what_it_does_in_the_zone_of_who_asked(organisation: UUID) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    wanted = JobFilter(
        states=frozenset({JobState.DEAD, JobState.FAILED}),
        kind="double",
        queue="jobs",
        text="floor",
        since=datetime(2026, 2, 28, 23, tzinfo=UTC),
        until=datetime(2026, 3, 1, 12, tzinfo=UTC),
    )
    words = "Retry all failed or dead jobs of the kind “Double” in the queue jobs with “floor” since 2026-03-01 until "
    assert title_of_change(Verb.RETRY, wanted, berlin) == f"{words}2026-03-01T13:00"
    job = start_change(organisation, Verb.RETRY, wanted, berlin)
    assert (job.kind, job.title, job.state) == ("change_jobs", f"{words}2026-03-01T13:00", JobState.PENDING)


def test_a_change_of_everything_says_so() -> None:
    assert title_of_change(Verb.CANCEL, JobFilter(), UTC) == "Cancel all jobs"
