"""The API of recurring jobs, called as a program calls it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from apiflask import APIFlask
from sqlalchemy import select

from tests.conftest import Person
from tests.contacts.test_api import Program, assert_problem, body_of, program_of
from tests.jobs.support import double, register, stumble
from webapp.extensions import db, tenant
from webapp.jobs.kinds import MayStart
from webapp.jobs.models import Job
from webapp.jobs.parameters import MASK, Parameter

URL = "/api/v1/recurring-jobs"
NIGHTLY = {"kind": "double", "parameters": {"number": 4}, "schedule": "0 3 * * *", "time_zone": "Europe/Vienna"}


@pytest.fixture(autouse=True)
def kinds(test_kinds: None) -> None:
    """Those of the tests, started by people."""
    register(double, may_start=MayStart.MEMBER)


@pytest.fixture
def program(app: APIFlask, alice: Person) -> Program:
    return program_of(app, alice.organisation_id)


def create(program: Program, **values: Any) -> dict[str, Any]:
    answer = program.call("POST", URL, json={**NIGHTLY, **values})
    assert answer.status_code == 201, answer.text
    return body_of(answer)


def errors_of(answer: Any) -> dict[str, str]:
    problem = assert_problem(answer, 422, "Unprocessable Entity")
    return {error["field"]: error["message"] for error in problem["errors"]}


def test_it_is_created_listed_and_read_where_the_answer_points(program: Program) -> None:
    answer = program.call("POST", URL, json=NIGHTLY)
    assert answer.status_code == 201
    created = body_of(answer)
    assert created.items() >= {**NIGHTLY, "title": "Double", "is_enabled": True, "last_run_at": None}.items()
    assert created["in_words"] == "Every day at 03:00, Europe/Vienna time"
    assert created["next_run_at"].endswith("Z")
    assert body_of(program.call("GET", answer.headers["Location"])) == created
    assert body_of(program.call("GET", URL)) == {"data": [created]}


def test_it_is_replaced_and_switched_off(program: Program) -> None:
    created = create(program)
    answer = program.call(
        "PUT", f"{URL}/{created['id']}", json={"title": "Hourly", "schedule": "0 * * * *", "is_enabled": False}
    )
    changed = body_of(answer)
    assert answer.status_code == 200
    assert (changed["title"], changed["in_words"], changed["next_run_at"]) == (
        "Hourly",
        "Every hour, on the hour",
        None,
    )
    assert changed["parameters"] == {"number": 1}, "what is left out has its usual value"


def test_it_keeps_its_kind(program: Program) -> None:
    register(stumble, may_start=MayStart.MEMBER)
    answer = program.call("PUT", f"{URL}/{create(program)['id']}", json={**NIGHTLY, "kind": "stumble"})
    assert "keeps its kind" in errors_of(answer)["kind"]


def test_it_is_deleted(program: Program) -> None:
    url = f"{URL}/{create(program)['id']}"
    assert program.call("DELETE", url).status_code == 204
    assert_problem(program.call("GET", url), 404, "Recurring job not found")


def test_run_starts_a_job_now_and_says_where_it_is(app: APIFlask, alice: Person, program: Program) -> None:
    created = create(program)
    answer = program.call("POST", f"{URL}/{created['id']}/run")
    assert answer.status_code == 202
    job_id = body_of(answer)["job_id"]
    assert answer.headers["Location"] == f"/api/v1/jobs/{job_id}"
    with app.app_context(), tenant(alice.organisation_id):
        job = db.session.scalars(select(Job).where(Job.id == UUID(job_id))).one()
        assert str(job.recurring_job_id) == created["id"]
    after = body_of(program.call("GET", f"{URL}/{created['id']}"))
    assert (after["last_job_id"], after["next_run_at"]) == (job_id, created["next_run_at"])


def test_what_is_not_set_up_is_not_started(program: Program) -> None:
    created = create(program)
    register(double, may_start=MayStart.MEMBER, why_unavailable=lambda settings: "Set FOO first.")
    problem = assert_problem(program.call("POST", f"{URL}/{created['id']}/run"), 409, "Cannot be started now")
    assert problem["detail"] == "Set FOO first."


@pytest.mark.parametrize(
    ("values", "field", "words"),
    [
        ({"kind": "give_up"}, "kind", "must be one of"),
        ({"kind": None}, "kind", "null"),
        ({"schedule": "hourly"}, "schedule", "five fields"),
        ({"schedule": "0 25 * * *"}, "schedule", "hour"),
        ({"time_zone": "Europe/Nowhere"}, "time_zone", "Choose a time zone"),
        ({"parameters": {"number": "many"}}, "parameters.number", "whole number"),
        ({"parameters": {"colour": "red"}}, "parameters.colour", "no such parameter"),
        ({"title": "x" * 201}, "title", "200 characters"),
        ({"title": "\x00"}, "title", "U+0000"),
        ({"colour": "red"}, "colour", "Unknown field"),
    ],
    ids=lambda value: str(value)[:30] if isinstance(value, str) else "",
)
def test_what_cannot_be_used_is_named(program: Program, values: dict[str, Any], field: str, words: str) -> None:
    found = errors_of(program.call("POST", URL, json={**NIGHTLY, **values}))
    assert words in found[field]


def test_a_secret_is_shown_covered_and_stays_when_it_is_sent_back(
    app: APIFlask, alice: Person, program: Program
) -> None:
    key = Parameter("key", "Key", is_required=True, is_secret=True)
    register(double, may_start=MayStart.MEMBER, parameters=(key,))
    created = create(program, parameters={"key": "s3cret"})
    assert created["parameters"] == {"key": MASK}
    changed = program.call("PUT", f"{URL}/{created['id']}", json={**NIGHTLY, "parameters": created["parameters"]})
    assert body_of(changed)["parameters"] == {"key": MASK}
    job_id = body_of(program.call("POST", f"{URL}/{created['id']}/run"))["job_id"]
    with app.app_context(), tenant(alice.organisation_id):
        job = db.session.scalars(select(Job).where(Job.id == UUID(job_id))).one()
        assert job.parameters == {"key": "s3cret"}


def test_another_organisations_are_not_there(app: APIFlask, program: Program, charlie: Person) -> None:
    url = f"{URL}/{create(program)['id']}"
    other = program_of(app, charlie.organisation_id)
    assert body_of(other.call("GET", URL)) == {"data": []}
    for method, path in (("GET", url), ("PUT", url), ("DELETE", url), ("POST", f"{url}/run")):
        assert other.call(method, path, json=NIGHTLY if method == "PUT" else None).status_code == 404
