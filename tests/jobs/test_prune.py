"""What is long over is forgotten, in steps; what is not over stays."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import pytest
from apiflask import APIFlask

from tests.conftest import Person, owner_connection
from tests.jobs.support import add_job, run_waiting
from webapp.config import Settings
from webapp.extensions import db, tenant
from webapp.jobs import prune_tasks
from webapp.jobs.limits import reserve
from webapp.jobs.models import JobState
from webapp.jobs.prune_tasks import prune_jobs
from webapp.lib.clock import utc_now

NOW = utc_now()
DAY = timedelta(days=1)


def end(settings: Settings, job_id: UUID, state: str, ended_at: datetime | None) -> None:
    with owner_connection(settings) as connection:
        connection.execute("UPDATE jobs SET state = %s, ended_at = %s WHERE id = %s", [state, ended_at, job_id])


def kept(settings: Settings, table: str = "jobs") -> set[UUID]:
    column = "id" if table == "jobs" else "job_id"
    with owner_connection(settings) as connection:
        return {row[0] for row in connection.execute(f"SELECT {column} FROM {table}")}


@pytest.mark.parametrize(
    ("state", "age", "is_kept"),
    [
        ("completed", 29 * DAY, True),
        ("completed", 31 * DAY, False),
        ("cancelled", 31 * DAY, False),
        ("discarded", 31 * DAY, False),
        ("failed", 31 * DAY, True),
        ("dead", 89 * DAY, True),
        ("failed", 91 * DAY, False),
        ("dead", 91 * DAY, False),
    ],
    ids=str,
)
def test_a_job_goes_when_its_time_is_over(
    organisation: UUID, services: Settings, state: str, age: timedelta, is_kept: bool
) -> None:
    job_id = add_job(organisation).id
    end(services, job_id, state, utc_now() - age)
    prune_jobs.fn()
    assert kept(services) == ({job_id} if is_kept else set())


@pytest.mark.parametrize("state", ["pending", "retrying", "running"])
def test_a_job_that_is_not_over_stays_however_old(organisation: UUID, services: Settings, state: str) -> None:
    job_id = add_job(organisation).id
    end(services, job_id, state, None)
    prune_jobs.fn()
    assert kept(services) == {job_id}


def test_what_belongs_to_a_job_goes_with_it_whosever_it_is(
    app_context: APIFlask, alice: Person, charlie: Person, services: Settings
) -> None:
    ids = [add_job(person.organisation_id).id for person in (alice, charlie)]
    run_waiting()
    assert kept(services, "job_attempts") == set(ids)
    for job_id in ids:
        end(services, job_id, JobState.COMPLETED.value, NOW - 31 * DAY)
    prune_jobs.fn()
    assert kept(services) == kept(services, "job_attempts") == kept(services, "job_samples") == set()


def test_many_go_in_steps_until_none_is_left(
    organisation: UUID, services: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prune_tasks, "STEP", 2)
    ids = [add_job(organisation).id for _ in range(5)]
    for job_id in ids[:4]:
        end(services, job_id, "completed", NOW - 31 * DAY)
    prune_jobs.fn()
    assert kept(services) == {ids[4]}


def test_places_in_a_rate_limit_of_days_ago_are_forgotten(organisation: UUID, services: Settings) -> None:
    used, waiting, left, new = (add_job(organisation).id for _ in range(4))
    with tenant(organisation):
        for job_id in (used, waiting, left):
            reserve(organisation, "limit", job_id, most=1, window=timedelta(hours=1), now=NOW - 3 * DAY)
        reserve(organisation, "another limit", new, most=1, window=timedelta(hours=1), now=NOW)
        db.session.commit()
    end(services, left, "cancelled", NOW)
    prune_jobs.fn()
    assert kept(services, "rate_reservations") == {waiting, new}, "whoever still waits keeps its place"
