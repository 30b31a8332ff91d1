"""The operators' first page: queues, workers, the backlog, dead letters, also while a server is away."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import pytest
import redis
from apiflask import APIFlask

from tests.conftest import Person
from tests.jobs.support import add_job, broker, pretend_worker, reread
from tests.operations.support import add_dead_letters, get
from tests.visits.support import add_rows, add_site, make_row
from webapp.config import Settings
from webapp.extensions import db, tenant
from webapp.jobs.workers import WORKERS_KEY, Work, Worker, tell
from webapp.lib.clock import utc_now
from webapp.operations.tasks import sample_queues


def tell_of(worker: Worker, **changes: object) -> None:
    tell(broker(), {**worker.state(), **changes})


def heard_long_ago(worker: Worker) -> None:
    """As if it had last spoken a minute ago."""
    content = broker().hget(WORKERS_KEY, str(worker.id))
    assert isinstance(content, bytes)
    state = json.loads(content)
    broker().hset(WORKERS_KEY, str(worker.id), json.dumps({**state, "heard_ms": state["heard_ms"] - 60_000}))


def test_without_workers_and_samples_it_says_so(operator: Person) -> None:
    page = get(operator, "/operations")
    for queue in ("jobs", "results", "imports", "visits", "default"):
        assert f"No worker takes from the queue “{queue}”" in page
    assert "Nobody has sampled the queues lately" in page
    assert "No workers" in page


def test_it_shows_how_many_wait_and_for_how_long(app: APIFlask, operator: Person, charlie: Person) -> None:
    with app.app_context():
        for person in (operator, charlie):
            with tenant(person.organisation_id):
                reread(add_job(person.organisation_id)).run_at = utc_now() - timedelta(minutes=3)
                db.session.commit()
        sample_queues.fn()
    page = get(operator, "/operations")
    row = page.split('id="queue-jobs"')[1].split("</tr>")[0]
    assert "<span>2</span>" in row
    assert "3 min 0" in row
    assert "is-bad" in row
    assert "Nobody has sampled" not in page


def test_workers_say_what_they_do_and_for_whom(app: APIFlask, operator: Person, charlie: Person) -> None:
    with app.app_context():
        own = add_job(operator.organisation_id, title="Our own secret plan").id
        other = add_job(charlie.organisation_id, title="Charlie's secret plan").id
        worker = pretend_worker(threads=3)
        works = [
            Work("jobs.run_jobs", utc_now(), operator.organisation_id, own, "double"),
            Work("jobs.run_jobs", utc_now(), charlie.organisation_id, other, "double"),
            Work("jobs.write_results", utc_now()),
        ]
        worker._works.update(enumerate(works))
        tell_of(worker)
    page = get(operator, "/operations")
    assert f'href="/jobs/{own}">Our own secret plan</a>' in page
    assert f'href="/operations/organisations/{charlie.organisation_id}/jobs/{other}">Other: Double</a>' in page
    assert "Charlie&#39;s secret plan" not in page
    assert "<code>jobs.write_results</code>" in page
    assert ">At work<" in page


def test_workers_that_stop_or_are_silent_are_told_apart(app: APIFlask, operator: Person) -> None:
    with app.app_context():
        pretend_worker()
        stopping = pretend_worker()
        tell_of(stopping, is_stopping=True)
        heard_long_ago(pretend_worker())
    page = get(operator, "/operations")
    assert [page.count(f">{state}<") for state in ("Idle", "Stopping", "Silent")] == [1, 1, 1]
    assert "1 min 0" in page


def test_it_shows_the_beacons_that_wait(app: APIFlask, operator: Person, services: Settings) -> None:
    site = add_site(app, operator.organisation_id)
    add_rows(services, [make_row(site, visitor=f"v{number}") for number in range(7)], group=3)
    page = get(operator, "/operations")
    assert "7 beacons in 3 groups" in page


def test_it_shows_the_latest_dead_letters_of_all(app: APIFlask, operator: Person, charlie: Person) -> None:
    (job_id,) = add_dead_letters(app, charlie.organisation_id)
    page = get(operator, "/operations")
    assert f"/operations/organisations/{charlie.organisation_id}/jobs/{job_id}" in page
    assert "The shelf is empty." in page


@pytest.fixture
def broker_away(app: APIFlask) -> Iterator[None]:
    """Nobody answers at the broker's address."""
    there = app.extensions["broker"]
    app.extensions["broker"] = redis.Redis(unix_socket_path="/nowhere/redis.sock")
    yield
    app.extensions["broker"] = there


def test_a_broker_that_is_away_leaves_the_rest_of_the_page(
    app: APIFlask, operator: Person, organisation_id: UUID, broker_away: None
) -> None:
    page = get(operator, "/operations")
    assert "The broker does not answer" in page
    assert "Beacons to be counted" in page
    assert operator.client.post("/operations/queues/jobs/pause").status_code == 303
    assert operator.client.post("/operations/queues/jobs/resume").status_code == 303


def test_only_its_live_part_is_asked_for_again(operator: Person) -> None:
    answer = operator.client.get("/operations", headers={"HX-Request": "true"})
    assert "queues-title" in answer.text
    assert "<nav" not in answer.text
