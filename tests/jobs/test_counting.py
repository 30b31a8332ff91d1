"""What is counted of jobs for `/metrics`: each end once, when it is committed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from uuid import UUID

import pytest
from apiflask import APIFlask

from tests.bulk_actions.support import csv_of, import_file
from tests.jobs.support import add_job, register, reread, run_sent, run_waiting, take, write_outcomes
from webapp.extensions import db, tenant
from webapp.jobs.kinds import Result, Run
from webapp.jobs.models import Job
from webapp.lib.log import log_fields
from webapp.metrics import registry

Count = Callable[[], dict[str, float]]


@pytest.fixture
def counted() -> Count:
    """How many ended in which state since the test began, of whatever kind, and how many have times."""
    names = ("footfall_jobs_total", "footfall_job_wait_seconds_count", "footfall_job_run_seconds_count")

    def now() -> dict[str, float]:
        found: dict[str, float] = {}
        for sample in (sample for family in registry.collect() for sample in family.samples):
            if sample.name in names:
                what = sample.labels.get("state", sample.name.split("_")[2])
                found[what] = found.get(what, 0) + sample.value
        return found

    before = now()
    return lambda: {what: count - before.get(what, 0) for what, count in now().items() if count != before.get(what, 0)}


def test_a_completed_job_is_counted_once_with_its_times(organisation: UUID, counted: Count) -> None:
    add_job(organisation)
    messages = take()
    run_sent(messages + messages)
    write_outcomes()
    write_outcomes()
    assert counted() == {"completed": 1, "wait": 1, "run": 1}


def test_an_attempt_that_is_to_be_tried_again_is_no_end(organisation: UUID, counted: Count) -> None:
    add_job(organisation, "stumble")
    run_waiting()
    assert counted() == {}


def test_a_job_that_cannot_succeed_is_counted_as_failed(organisation: UUID, counted: Count) -> None:
    add_job(organisation, "give_up")
    run_waiting()
    assert counted() == {"failed": 1, "wait": 1, "run": 1}


def test_a_job_whose_attempts_are_spent_is_counted_as_dead(organisation: UUID, counted: Count) -> None:
    register(stumble_once, attempt_limit=1)
    add_job(organisation, "stumble_once")
    run_waiting()
    assert counted() == {"dead": 1, "wait": 1, "run": 1}


def stumble_once(run: Run) -> Result:
    raise RuntimeError("The shelf is empty.")


def cancel(job: Job) -> None:
    with tenant(job.organisation_id):
        reread(job).cancel()
        db.session.flush()


def test_a_job_that_is_cancelled_before_it_ran_has_no_times(organisation: UUID, counted: Count) -> None:
    job = add_job(organisation)
    cancel(job)
    assert counted() == {}
    db.session.commit()
    db.session.commit()
    assert counted() == {"cancelled": 1}


def test_what_is_rolled_back_was_no_end(organisation: UUID, counted: Count) -> None:
    job = add_job(organisation)
    cancel(job)
    db.session.rollback()
    db.session.commit()
    assert counted() == {}


def test_a_step_that_is_taken_back_leaves_the_rest_counted(organisation: UUID, counted: Count) -> None:
    cancel(add_job(organisation))
    db.session.begin_nested().rollback()
    db.session.begin_nested().commit()
    assert counted() == {}
    db.session.commit()
    assert counted() == {"cancelled": 1}


def test_an_import_is_counted_too(app: APIFlask, organisation: UUID, counted: Count) -> None:
    import_file(app, organisation, csv_of([("a@example.com",)], ("Email",)))
    assert counted() == {"completed": 1, "wait": 1, "run": 1}


def test_what_a_job_logs_names_the_job(organisation: UUID) -> None:
    seen: list[dict[str, object]] = []

    def look(run: Run) -> Result:
        logging.getLogger("anywhere").info("Looking.")
        seen.append(dict(log_fields()))
        return {}

    register(look)
    job = add_job(organisation, "look")
    run_waiting()
    assert seen == [{"job_id": job.id, "kind": "look", "organisation_id": organisation}]
    assert dict(log_fields()) == {}
