"""Pausing a queue: nothing more is sent or taken, and nothing is lost."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from uuid import UUID

import pytest
from apiflask import APIFlask

from tests.conftest import Person
from tests.jobs.support import add_job, broker, pretend_worker, reread
from tests.operations.support import get, state_of
from webapp.app import ROOT
from webapp.config import Settings
from webapp.extensions import db, tenant
from webapp.jobs.broker import waiting_count
from webapp.jobs.queues import NotPausableError, list_paused_queues, pause_queue, resume_queue
from webapp.jobs.tasks import dispatch, run_jobs
from webapp.jobs.workers import list_workers
from webapp.lib.clock import utc_now
from webapp.live.channels import operations_channel, state_key

PATIENCE_SECONDS = 60.0


def test_nothing_is_sent_while_a_queue_is_paused_and_all_of_it_afterwards(
    app: APIFlask, operator: Person, organisation_id: UUID
) -> None:
    with app.app_context():
        pretend_worker()
        add_job(organisation_id)
        assert operator.client.post("/operations/queues/jobs/pause").headers["Location"] == "/operations"
        dispatch()
        assert waiting_count("jobs") == 0
        operator.client.post("/operations/queues/jobs/resume")
        assert waiting_count("jobs") == 1


def test_the_page_says_what_is_paused_and_the_others_hear_of_it_at_once(app: APIFlask, operator: Person) -> None:
    assert ">Paused<" not in get(operator, "/operations")
    with app.app_context():
        operator.client.post("/operations/queues/imports/pause")
        assert broker().exists(state_key(operations_channel()))
        assert list_paused_queues()["imports"].paused_by == operator.user_id
    assert ">Paused<" in get(operator, "/operations")
    operator.client.post("/operations/queues/imports/resume")
    assert ">Paused<" not in get(operator, "/operations")


@pytest.mark.parametrize("queue", ["default", "results", "dead_letters", "visits", "unheard-of"])
def test_what_looks_after_the_work_cannot_be_paused(operator: Person, queue: str) -> None:
    assert operator.client.post(f"/operations/queues/{queue}/pause").status_code == 404
    assert operator.client.post(f"/operations/queues/{queue}/resume").status_code == 404


def test_pausing_and_resuming_twice_changes_nothing(app_context: APIFlask) -> None:
    pause_queue("jobs", None)
    first = list_paused_queues()["jobs"].paused_at
    pause_queue("jobs", None)
    assert list_paused_queues()["jobs"].paused_at == first
    resume_queue("jobs")
    resume_queue("jobs")
    assert list_paused_queues() == {}
    with pytest.raises(NotPausableError):
        pause_queue("default", None)


@pytest.fixture
def worker(app: APIFlask, services: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """A real worker of the queue jobs."""
    environment = {
        **os.environ,
        "DATA_DIR": str(services.data_dir),
        "PYTHONPATH": str(ROOT),
        "dramatiq_worker_timeout": "50",
    }
    size = ("--processes", "1", "--threads", "1", "--worker-shutdown-timeout", "5000", "--queues", "jobs", "results")
    command = [sys.executable, "-m", "dramatiq", "webapp.worker", *size]
    with (services.data_dir / "worker.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True)
    yield process
    process.terminate()
    process.wait(PATIENCE_SECONDS)


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def wait_for_beats(count: int) -> None:
    """Until the worker spoke so often from now on; after each time it hears which queues are paused."""
    heard = {worker.heard_at for worker in list_workers(broker())}

    def has_spoken() -> bool:
        heard.update(worker.heard_at for worker in list_workers(broker()))
        return len(heard) > count

    wait_until(has_spoken)


def send_job(organisation_id: UUID) -> UUID:
    """A job whose message is in the queue, past the dispatcher, who would let it wait."""
    with tenant(organisation_id):
        job = reread(add_job(organisation_id, "no_operation"))
        job_id, job.sent_at = job.id, utc_now()
        db.session.commit()
    run_jobs.send(str(organisation_id), [str(job_id)])
    return job_id


def test_a_worker_takes_nothing_from_a_paused_queue_until_it_is_resumed(
    app: APIFlask, organisation_id: UUID, worker: subprocess.Popen[bytes]
) -> None:
    with app.app_context():
        first = send_job(organisation_id)
        wait_until(lambda: state_of(app, organisation_id, first) == "completed")
        pause_queue("jobs", None)
        db.session.commit()
        wait_for_beats(4)
        second = send_job(organisation_id)
        wait_for_beats(3)
        assert state_of(app, organisation_id, second) == "pending"
        assert waiting_count("jobs") == 1
        resume_queue("jobs")
        db.session.commit()
        wait_until(lambda: state_of(app, organisation_id, second) == "completed")
