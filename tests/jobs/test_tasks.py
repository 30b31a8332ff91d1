"""Running jobs against the real database: once, fenced, retried, cancelled, and found when lost."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from apiflask import APIFlask

from tests.conftest import Person
from webapp.config import Settings
from webapp.extensions import db, tenant
from webapp.jobs.broker import waiting_count
from webapp.jobs.kinds import Kind, PermanentError, Run, register_kind
from webapp.jobs.models import MAX_ATTEMPTS, Job, JobState
from webapp.jobs.queries import find_due_jobs, get_job, list_attempts
from webapp.jobs.service import begin_attempt, create_job
from webapp.jobs.tasks import alive, publish_lost_ends, run_job, send_due_jobs
from webapp.lib.clock import utc_now
from webapp.lib.redis import broker_client
from webapp.live.channels import job_channel, state_key
from webapp.live.publish import publish

runs: list[UUID] = []


def double(run: Run) -> dict[str, Any]:
    runs.append(run.job_id)
    run.report(1, 2)
    return {"doubled": run.parameters["number"] * 2}


def stumble(run: Run) -> dict[str, Any]:
    raise RuntimeError("The shelf is empty.")


def give_up(run: Run) -> dict[str, Any]:
    raise PermanentError("The file is gone. Upload it again.")


def overtaken(run: Run) -> dict[str, Any]:
    with tenant(run.organisation_id):
        job = db.session.get_one(Job, (run.organisation_id, run.job_id))
        job.begin("another worker")
        db.session.commit()
    return {"late": True}


def cancelled_meanwhile(run: Run) -> dict[str, Any]:
    job = db.session.get_one(Job, (run.organisation_id, run.job_id))
    job.cancel()
    db.session.commit()
    run.report(1, 2)
    return {}


@pytest.fixture(autouse=True)
def kinds() -> None:
    for function in (double, stumble, give_up, overtaken, cancelled_meanwhile):
        register_kind(Kind(function.__name__, function.__name__.capitalize(), function))
    runs.clear()


@pytest.fixture
def organisation(app_context: APIFlask, alice: Person) -> Iterator[UUID]:
    with tenant(alice.organisation_id):
        yield alice.organisation_id


def add_job(organisation_id: UUID, kind: str, **values: Any) -> Job:
    job = create_job(organisation_id, kind, kind.capitalize(), **values)
    db.session.commit()
    return job


def run(job: Job) -> Job:
    organisation_id, job_id = job.organisation_id, job.id
    run_job.fn(str(organisation_id), str(job_id))
    db.session.expire_all()
    fresh = get_job(organisation_id, job_id)
    assert fresh is not None
    return fresh


def test_a_job_runs_and_keeps_its_result(organisation: UUID) -> None:
    job = run(add_job(organisation, "double", parameters={"number": 21}))
    assert (job.state, job.result, job.progress_count) == (JobState.COMPLETED, {"doubled": 42}, 1)
    (attempt,) = list_attempts(organisation, job.id)
    assert attempt.ended_at is not None


def test_a_message_that_comes_twice_runs_once(organisation: UUID) -> None:
    job = add_job(organisation, "double", parameters={"number": 1})
    run(job)
    run(job)
    assert runs == [job.id]


def test_a_job_that_another_worker_runs_is_left_alone(organisation: UUID) -> None:
    job = add_job(organisation, "double", parameters={"number": 1})
    with alive(job.id) as is_mine:
        assert is_mine
        assert run(job).state is JobState.PENDING


def test_a_failed_attempt_keeps_its_error_and_traceback(organisation: UUID) -> None:
    job = run(add_job(organisation, "stumble"))
    (attempt,) = list_attempts(organisation, job.id)
    assert (job.state, job.error, attempt.error) == (JobState.RETRYING, "The shelf is empty.", "The shelf is empty.")
    assert "in stumble" in (attempt.traceback or "")


def test_a_permanent_error_is_not_tried_again(organisation: UUID) -> None:
    job = run(add_job(organisation, "give_up"))
    assert (job.state, job.error) == (JobState.FAILED, "The file is gone. Upload it again.")


def test_an_unknown_kind_fails_in_plain_words(organisation: UUID) -> None:
    job = run(add_job(organisation, "levitate"))
    assert job.state is JobState.FAILED
    assert "knows no kind of job called 'levitate'" in (job.error or "")


def test_an_overtaken_attempt_writes_nothing(organisation: UUID) -> None:
    job = add_job(organisation, "overtaken")
    with pytest.raises(Exception, match="is over"):
        run_job.fn(str(organisation), str(job.id))
    db.session.rollback()
    fresh = db.session.get_one(Job, (organisation, job.id))
    assert (fresh.state, fresh.result, fresh.attempt_count) == (JobState.RUNNING, None, 2)


def test_a_running_job_stops_at_its_next_report(organisation: UUID) -> None:
    job = run(add_job(organisation, "cancelled_meanwhile"))
    assert job.state is JobState.CANCELLED


def test_a_cancelled_job_does_not_begin(organisation: UUID) -> None:
    job = add_job(organisation, "double", parameters={"number": 1})
    job.cancel()
    db.session.commit()
    assert run(job).state is JobState.CANCELLED
    assert runs == []


def test_due_jobs_of_every_organisation_are_sent_once(organisation: UUID, charlie: Person) -> None:
    add_job(organisation, "double", parameters={"number": 1})
    with tenant(charlie.organisation_id):
        add_job(charlie.organisation_id, "double", parameters={"number": 2})
    send_due_jobs.fn()
    send_due_jobs.fn()
    assert waiting_count("default") == 2


def test_a_job_planned_for_later_waits(organisation: UUID) -> None:
    job = add_job(organisation, "double", parameters={"number": 1}, run_at=utc_now() + timedelta(hours=1))
    assert find_due_jobs(utc_now(), 10) == []
    assert run(job).state is JobState.PENDING
    assert find_due_jobs(utc_now() + timedelta(hours=2), 10) == [(organisation, job.id)]


def test_a_job_done_in_chunks_is_its_features_business(organisation: UUID) -> None:
    add_job(organisation, "import", in_chunks=True)
    assert find_due_jobs(utc_now(), 10) == []


HOLD_AND_DIE = """
import os, sys
from uuid import UUID
from webapp.app import create_app
from webapp.extensions import db, tenant
from webapp.jobs.queries import get_job_for_update
from webapp.jobs.service import begin_attempt
from webapp.jobs.tasks import alive
organisation, job_id = UUID(sys.argv[1]), UUID(sys.argv[2])
with create_app().app_context(), tenant(organisation), alive(job_id):
    begin_attempt(get_job_for_update(organisation, job_id), "doomed")
    db.session.commit()
    print("running", flush=True)
    sys.stdin.read()
"""


def test_a_killed_workers_job_is_found_and_runs_again(organisation: UUID) -> None:
    job = add_job(organisation, "double", parameters={"number": 4})
    command = [sys.executable, "-c", HOLD_AND_DIE, str(organisation), str(job.id)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        later = utc_now() + timedelta(minutes=1)
        assert find_due_jobs(later, 10) == []
        process.kill()
        process.wait()
    deadline = utc_now() + timedelta(seconds=30)
    while not find_due_jobs(later, 10):
        db.session.rollback()
        assert utc_now() < deadline, "the lock of a killed worker is not freed"
    finished = run(job)
    assert (finished.state, finished.result) == (JobState.COMPLETED, {"doubled": 8})
    lost, good = list_attempts(organisation, job.id)
    assert (lost.error, good.error) == ("The worker stopped without a word.", None)


def test_a_job_that_kills_its_workers_is_dead_after_its_last_attempt(organisation: UUID, services: Settings) -> None:
    job = add_job(organisation, "double", parameters={"number": 4})
    for number in range(MAX_ATTEMPTS):
        begin_attempt(job, f"doomed {number}")
        db.session.commit()
    dead = run(job)
    assert (dead.state, runs) == (JobState.DEAD, [])
    assert "The worker stopped without a word." in (dead.error or "")
    assert all(attempt.ended_at for attempt in list_attempts(organisation, job.id))
    assert present_state(services, job)["state"] == "dead"


def test_beginning_again_shows_at_once(organisation: UUID, alice: Person, services: Settings) -> None:
    job = run(add_job(organisation, "give_up"))
    assert present_state(services, job)["state"] == "failed"
    assert alice.client.post(f"/jobs/{job.id}/retry").status_code == 303
    assert present_state(services, job)["state"] == "pending"


def test_an_end_that_nobody_said_is_said_later(organisation: UUID, services: Settings) -> None:
    job = run(add_job(organisation, "double", parameters={"number": 1}))
    with broker_client(services) as client:
        publish(client, job_channel(organisation, job.id), {"state": "running"})
    publish_lost_ends.fn()
    assert present_state(services, job)["state"] == "completed"


def present_state(settings: Settings, job: Job) -> dict[str, Any]:
    """What a stream of this job would say first."""
    with broker_client(settings) as client:
        state = client.get(state_key(job_channel(job.organisation_id, job.id)))
    assert isinstance(state, bytes)
    data: dict[str, Any] = json.loads(state)["data"]
    return data
