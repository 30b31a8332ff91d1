"""Recurring jobs: each time of the schedule starts one job, whatever happens in between."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import IO, Any
from uuid import UUID

import pytest
from apiflask import APIFlask
from sqlalchemy import select

from tests.conftest import Person
from tests.jobs.support import broker, pretend_worker, register, register_test_kinds, run_waiting
from webapp.app import ROOT
from webapp.config import Settings
from webapp.extensions import db, tenant
from webapp.jobs.broker import waiting_count
from webapp.jobs.kinds import Kind, MayStart, Result, Run, get_kind, register_kind
from webapp.jobs.models import Job, JobState, RecurringJob
from webapp.jobs.parameters import MASK, Parameter
from webapp.jobs.recurring import (
    COUNT_LIMIT,
    STILL_AT_WORK,
    CannotStartError,
    RecurringJobError,
    Wanted,
    create_recurring_job,
    start_now,
    switch_recurring_job,
    update_recurring_job,
)
from webapp.jobs.recurring_queries import list_runs
from webapp.jobs.recurring_tasks import start_recurring_jobs
from webapp.lib.clock import utc_now

HOURLY = Wanted("", {"number": 4}, "0 * * * *", "UTC")
HOUR = timedelta(hours=1)


def add_recurring_job(organisation_id: UUID, wanted: Wanted = HOURLY, kind: str = "double") -> RecurringJob:
    with tenant(organisation_id):
        recurring_job = create_recurring_job(organisation_id, get_kind(kind), wanted, utc_now(), None)
        db.session.commit()
        return recurring_job


def make_due(recurring_job: RecurringJob, ago: timedelta = timedelta(seconds=1)) -> None:
    with tenant(recurring_job.organisation_id):
        db.session.rollback()
        recurring_job.next_run_at = utc_now() - ago
        db.session.commit()


def refresh(recurring_job: RecurringJob) -> RecurringJob:
    with tenant(recurring_job.organisation_id):
        db.session.rollback()
        db.session.refresh(recurring_job)
        return recurring_job


def jobs_of(recurring_job: RecurringJob) -> list[Job]:
    with tenant(recurring_job.organisation_id):
        db.session.rollback()
        return list(db.session.scalars(select(Job).where(Job.recurring_job_id == recurring_job.id).order_by(Job.id)))


def test_what_is_due_starts_one_job_and_is_due_again_at_its_next_time(organisation: UUID) -> None:
    recurring_job = add_recurring_job(organisation)
    make_due(recurring_job)
    start_recurring_jobs.fn()
    (job,) = jobs_of(recurring_job)
    refresh(recurring_job)
    assert (job.kind, job.parameters, job.state) == ("double", {"number": 4}, JobState.PENDING)
    assert (recurring_job.last_job_id, recurring_job.last_run_at) == (job.id, job.created_at)
    assert recurring_job.next_run_at is not None
    assert timedelta() < recurring_job.next_run_at - utc_now() <= HOUR
    assert recurring_job.next_run_at.minute == 0


def test_its_job_is_sent_and_runs(organisation: UUID) -> None:
    pretend_worker()
    recurring_job = add_recurring_job(organisation)
    make_due(recurring_job)
    start_recurring_jobs.fn()
    assert waiting_count("jobs") == 1
    (job,) = jobs_of(recurring_job)
    assert job.sent_at is not None


def test_what_is_not_due_or_switched_off_starts_nothing(organisation: UUID) -> None:
    early, off = add_recurring_job(organisation), add_recurring_job(organisation)
    make_due(off)
    with tenant(organisation):
        switch_recurring_job(off, False, utc_now())
        db.session.commit()
    start_recurring_jobs.fn()
    assert (jobs_of(early), jobs_of(off)) == ([], [])


def test_a_message_that_comes_twice_starts_one_job(organisation: UUID) -> None:
    recurring_job = add_recurring_job(organisation)
    make_due(recurring_job)
    start_recurring_jobs.fn()
    start_recurring_jobs.fn()
    assert len(jobs_of(recurring_job)) == 1


def test_messages_that_overlap_start_one_job(app: APIFlask, organisation: UUID) -> None:
    recurring_job = add_recurring_job(organisation)
    make_due(recurring_job)
    ready = threading.Barrier(4)

    def start() -> None:
        with app.app_context():
            ready.wait()
            start_recurring_jobs.fn()

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(jobs_of(recurring_job)) == 1


@contextmanager
def killable() -> Iterator[subprocess.Popen[str]]:
    """A process that starts recurring jobs and has itself killed on the way."""
    command = [sys.executable, "-m", "tests.jobs.killable"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None
        assert read_line(process.stdout) == "ready"
        yield process
        process.stdin.close()


def read_line(pipe: IO[str] | None) -> str:
    assert pipe is not None
    return pipe.readline().strip()


def test_a_death_at_any_line_neither_loses_a_run_nor_doubles_it(organisation: UUID) -> None:
    recurring_job = add_recurring_job(organisation)
    with killable() as process:
        assert process.stdin is not None
        answer, line_number, made_before_death = "killed", 0, 0
        while answer == "killed":
            line_number += 1
            make_due(recurring_job)
            process.stdin.write(f"{line_number}\n")
            process.stdin.flush()
            answer = read_line(process.stdout)
            made_before_death += len(jobs_of(recurring_job))
            start_recurring_jobs.fn()
            (job,) = jobs_of(recurring_job)
            assert job.sent_at is None, "nobody is there to send it to"
            with tenant(organisation):
                db.session.delete(job)
                db.session.commit()
    assert line_number > 30, "it dies at every line of the way"
    assert 1 < made_before_death < line_number, "some deaths come before the commit, and some after it"


def test_times_that_were_missed_are_made_up_for_by_one_job(organisation: UUID) -> None:
    recurring_job = add_recurring_job(organisation)
    make_due(recurring_job, ago=30 * HOUR)
    for _ in range(3):
        start_recurring_jobs.fn()
        run_waiting()
    assert len(jobs_of(recurring_job)) == 1
    assert (refresh(recurring_job).next_run_at or utc_now()) > utc_now()


def test_while_the_run_before_goes_on_a_time_is_left_out_and_the_row_says_so(organisation: UUID) -> None:
    recurring_job = add_recurring_job(organisation)
    make_due(recurring_job)
    start_recurring_jobs.fn()
    make_due(recurring_job)
    due_at = recurring_job.next_run_at
    start_recurring_jobs.fn()
    assert len(jobs_of(recurring_job)) == 1
    assert (refresh(recurring_job).skipped_at, recurring_job.skip_reason) == (due_at, STILL_AT_WORK)
    run_waiting()
    make_due(recurring_job)
    start_recurring_jobs.fn()
    assert len(jobs_of(recurring_job)) == 2
    assert (refresh(recurring_job).skipped_at, recurring_job.skip_reason) == (None, None)


def test_a_run_that_was_deleted_since_keeps_nothing_from_starting(organisation: UUID) -> None:
    recurring_job = add_recurring_job(organisation)
    make_due(recurring_job)
    start_recurring_jobs.fn()
    with tenant(organisation):
        db.session.delete(jobs_of(recurring_job)[0])
        db.session.commit()
    make_due(recurring_job)
    start_recurring_jobs.fn()
    assert len(jobs_of(recurring_job)) == 1


def forget_kind() -> None:
    register_kind(Kind("double", "Double", get_kind("double").run, why_unavailable=lambda settings: "Set FOO first."))


def demand_more() -> None:
    register_kind(Kind("double", "Double", get_kind("double").run, parameters=(Parameter("word", "Word"),)))


@pytest.mark.parametrize(
    ("change", "words"), [(forget_kind, "Set FOO first."), (demand_more, "number: There is no such parameter.")]
)
def test_what_cannot_start_any_more_says_why_and_goes_on_to_its_next_time(
    organisation: UUID, change: Any, words: str
) -> None:
    recurring_job = add_recurring_job(organisation)
    make_due(recurring_job)
    change()
    start_recurring_jobs.fn()
    assert jobs_of(recurring_job) == []
    assert refresh(recurring_job).skip_reason == words
    assert (recurring_job.next_run_at or utc_now()) > utc_now()
    register_test_kinds()
    make_due(recurring_job)
    start_recurring_jobs.fn()
    assert len(jobs_of(recurring_job)) == 1


def test_a_kind_of_another_version_and_a_zone_that_is_gone_stop_nobody_else(organisation: UUID) -> None:
    unknown, lost, fine = (add_recurring_job(organisation) for _ in range(3))
    with tenant(organisation):
        unknown.kind, lost.time_zone = "of_tomorrow", "Atlantis/Capital"
        db.session.commit()
    for recurring_job in (unknown, lost, fine):
        make_due(recurring_job)
    start_recurring_jobs.fn()
    assert len(jobs_of(fine)) == 1
    assert "knows no kind" in (refresh(unknown).skip_reason or "")
    assert (refresh(lost).skip_reason, lost.next_run_at) == ("Choose a time zone from the list.", None)


def test_each_organisation_has_its_own(app_context: APIFlask, alice: Person, charlie: Person) -> None:
    people = (alice, charlie)
    rows = [add_recurring_job(person.organisation_id) for person in people]
    for person, recurring_job in zip(people, rows, strict=True):
        with tenant(person.organisation_id):
            make_due(recurring_job)
    start_recurring_jobs.fn()
    for person, recurring_job in zip(people, rows, strict=True):
        with tenant(person.organisation_id):
            assert [job.organisation_id for job in jobs_of(recurring_job)] == [person.organisation_id]


def test_run_now_starts_a_job_and_leaves_the_schedule_as_it_is(
    organisation: UUID, alice: Person, services: Settings
) -> None:
    recurring_job = add_recurring_job(organisation)
    before = recurring_job.next_run_at
    job = start_now(recurring_job, services, alice.user_id)
    db.session.commit()
    assert (job.recurring_job_id, job.created_by) == (recurring_job.id, alice.user_id)
    assert (recurring_job.next_run_at, recurring_job.last_job_id) == (before, job.id)
    assert list_runs(organisation, recurring_job.id) == [job]
    forget_kind()
    with pytest.raises(CannotStartError, match="Set FOO first"):
        start_now(recurring_job, services, alice.user_id)


def test_switching_on_again_makes_up_for_nothing(organisation: UUID) -> None:
    recurring_job = add_recurring_job(organisation)
    make_due(recurring_job, ago=5 * HOUR)
    with tenant(organisation):
        switch_recurring_job(recurring_job, False, utc_now())
        assert recurring_job.next_run_at is None
        switch_recurring_job(recurring_job, True, utc_now())
        db.session.commit()
    start_recurring_jobs.fn()
    assert jobs_of(recurring_job) == []


def test_another_title_leaves_a_due_run_due_and_another_time_moves_it(organisation: UUID) -> None:
    recurring_job = add_recurring_job(organisation)
    make_due(recurring_job)
    due_at = recurring_job.next_run_at
    kind = get_kind("double")
    with tenant(organisation):
        update_recurring_job(recurring_job, kind, dataclasses.replace(HOURLY, title="Often"), utc_now())
        assert (recurring_job.title, recurring_job.next_run_at) == ("Often", due_at)
        update_recurring_job(recurring_job, kind, dataclasses.replace(HOURLY, schedule="30 * * * *"), utc_now())
    assert recurring_job.next_run_at is not None
    assert recurring_job.next_run_at > utc_now()


def test_all_that_is_wrong_is_said_at_once(organisation: UUID) -> None:
    wanted = Wanted("x" * 201, {"number": "many"}, "hourly", "Europe/Nowhere")
    with pytest.raises(RecurringJobError) as caught:
        add_recurring_job(organisation, wanted)
    assert set(caught.value.errors) == {"title", "parameters.number", "time_zone"}
    with pytest.raises(RecurringJobError) as caught:
        add_recurring_job(organisation, dataclasses.replace(HOURLY, schedule="hourly"))
    assert set(caught.value.errors) == {"schedule"}


def test_there_is_a_limit_to_how_many(organisation: UUID) -> None:
    for number in range(COUNT_LIMIT):
        add_recurring_job(organisation, dataclasses.replace(HOURLY, title=f"No. {number}"))
    with pytest.raises(RecurringJobError, match="Delete one first"):
        add_recurring_job(organisation)


def whisper(run: Run) -> Result:
    return {}


def test_a_secret_that_is_not_given_again_stays(organisation: UUID) -> None:
    kind = register(
        whisper, parameters=(Parameter("key", "Key", is_required=True, is_secret=True),), may_start=MayStart.OWNER
    )
    recurring_job = add_recurring_job(organisation, Wanted("", {"key": "s3cret"}, "0 * * * *", "UTC"), "whisper")
    with tenant(organisation):
        for given in ("", MASK):
            update_recurring_job(recurring_job, kind, Wanted("", {"key": given}, "0 * * * *", "UTC"), utc_now())
            assert recurring_job.parameters == {"key": "s3cret"}
        update_recurring_job(recurring_job, kind, Wanted("", {"key": "other"}, "0 * * * *", "UTC"), utc_now())
        assert recurring_job.parameters == {"key": "other"}


def test_a_busy_broker_is_no_reason_not_to_begin(organisation: UUID) -> None:
    """What could not be sent is in PostgreSQL, and the scheduler sends it."""
    recurring_job = add_recurring_job(organisation)
    make_due(recurring_job)
    assert broker().hlen("footfall:workers") == 0
    start_recurring_jobs.fn()
    assert [job.sent_at for job in jobs_of(recurring_job)] == [None]
    run_waiting()
    assert [job.state for job in jobs_of(recurring_job)] == [JobState.COMPLETED]
