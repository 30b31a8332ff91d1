"""What tests of the operators' pages share."""

from __future__ import annotations

from uuid import UUID

from apiflask import APIFlask

from tests.conftest import Person
from tests.jobs.support import add_job, register, run_sent, stumble, take, write_outcomes
from webapp.extensions import db, tenant
from webapp.jobs.models import Job
from webapp.jobs.queries import get_job


def get(person: Person, url: str) -> str:
    answer = person.client.get(url)
    assert answer.status_code == 200, answer.text
    return answer.text


def add_dead_letters(app: APIFlask, organisation_id: UUID, count: int = 1) -> list[UUID]:
    """Jobs that stumbled and had one attempt only."""
    register(stumble, attempt_limit=1)
    with app.app_context():
        ids = [add_job(organisation_id, "stumble").id for _ in range(count)]
        while messages := take():
            run_sent(messages)
            write_outcomes()
    return ids


def state_of(app: APIFlask, organisation_id: UUID, job_id: UUID) -> str:
    return read_job(app, organisation_id, job_id).state.value


def read_job(app: APIFlask, organisation_id: UUID, job_id: UUID) -> Job:
    with app.app_context(), tenant(organisation_id):
        job = get_job(organisation_id, job_id)
        assert job is not None
        db.session.expunge(job)
        return job
