"""Starting jobs by hand."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select

from tests.conftest import Person
from tests.jobs.support import add_job, register
from webapp.accounts.models import Organisation
from webapp.config import Settings
from webapp.extensions import db, tenant
from webapp.jobs.kinds import MayStart, Result, Run
from webapp.jobs.models import Job
from webapp.jobs.parameters import Parameter
from webapp.lib.clock import utc_now


def bake(run: Run) -> Result:
    return {}


def demolish(run: Run) -> Result:
    return {}


def telephone(run: Run) -> Result:
    return {}


def hide(run: Run) -> Result:
    return {}


def name_bread(parameters: Mapping[str, Any]) -> str:
    return f"{parameters['loaf_count']} loaves"


def why_not(settings: Settings) -> str | None:
    return "Set TELEPHONE_NUMBER, and restart."


@pytest.fixture(autouse=True)
def kinds() -> None:
    parameters = (
        Parameter("loaf_count", "Loaves", "integer", is_required=True, minimum=1, maximum=10),
        Parameter("flour", "Flour", "choice", default="rye", choices=(("rye", "Rye"), ("oat", "Oat"))),
        Parameter("is_sour", "Sour", "boolean", default=True),
        Parameter("note", "Note", maximum=20),
    )
    register(bake, parameters=parameters, may_start=MayStart.MEMBER, title=name_bread)
    register(demolish, may_start=MayStart.OWNER)
    register(telephone, may_start=MayStart.MEMBER, why_unavailable=why_not)
    register(hide)


def list_jobs_of(person: Person) -> Sequence[Job]:
    """The newest first. Each look has an app context of its own, which would keep who asked last otherwise."""
    with person.client.application.app_context(), tenant(person.organisation_id):
        return db.session.scalars(select(Job).order_by(Job.id.desc())).all()


def add_earlier_job(person: Person, kind: str, given: dict[str, Any]) -> UUID:
    with person.client.application.app_context():
        return add_job(person.organisation_id, kind, given=given).id


def test_people_see_the_kinds_of_their_role_and_how_to_set_up_what_is_not(alice: Person, bob: Person) -> None:
    owner, member = (person.client.get("/jobs/new").text for person in (alice, bob))
    assert "/jobs/new/bake" in owner
    assert "/jobs/new/bake" in member
    assert "/jobs/new/demolish" in owner
    assert "/jobs/new/demolish" not in member
    assert "/jobs/new/hide" not in owner
    assert "/jobs/new/telephone" not in owner
    assert "Set TELEPHONE_NUMBER" in member


def test_a_form_has_a_field_for_each_parameter(bob: Person) -> None:
    html = bob.client.get("/jobs/new/bake").text
    assert re.search(r'name="parameter-loaf_count" type="number"[^>]* required', html)
    assert re.search(r'<option value="rye" selected>Rye', html)
    assert re.search(r'type="checkbox"[^>]*name="parameter-is_sour"[^>]* checked', html)
    assert "From 1 to 10." in html


def test_starting_makes_a_job_and_leads_to_its_page(bob: Person) -> None:
    given = {"parameter-loaf_count": "3", "parameter-flour": "oat", "parameter-is_sour": "0", "parameter-note": ""}
    answer = bob.client.post("/jobs/new/bake", data=given)
    (job,) = list_jobs_of(bob)
    assert (answer.status_code, answer.location) == (303, f"/jobs/{job.id}")
    assert (job.title, job.created_by) == ("3 loaves", bob.user_id)
    assert job.parameters == {"loaf_count": 3, "flour": "oat", "is_sour": False, "note": None}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "This is needed."),
        ({"parameter-loaf_count": "eleven"}, "This must be a whole number."),
        ({"parameter-loaf_count": "11"}, "This must be at most 10."),
        ({"parameter-loaf_count": "3", "parameter-flour": "sand"}, "This must be one of"),
        ({"parameter-loaf_count": "3", "parameter-note": "x" * 21}, "up to 20 characters"),
        ({"parameter-loaf_count": "3", "run_at": "tomorrow"}, "Give a day and a time"),
        ({"parameter-loaf_count": "3", "run_at": "2020-01-01T12:00"}, "This is in the past."),
        ({"parameter-loaf_count": "3", "run_at": "9999-12-31T23:59"}, "up to a year ahead"),
    ],
)
def test_what_is_wrong_stands_beside_its_field_and_nothing_begins(
    bob: Person, given: dict[str, str], words: str
) -> None:
    answer = bob.client.post("/jobs/new/bake", data=given)
    assert answer.status_code == 422
    assert words in answer.text
    assert 'aria-invalid="true"' in answer.text
    if "parameter-loaf_count" in given:
        assert f'value="{given["parameter-loaf_count"]}"' in answer.text
    assert list_jobs_of(bob) == []


def test_a_time_is_one_of_the_organisations_zone(bob: Person) -> None:
    with bob.client.application.app_context():
        db.session.get_one(Organisation, bob.organisation_id).time_zone = "Asia/Kathmandu"
        db.session.commit()
    wall = (utc_now() + timedelta(days=3)).astimezone(ZoneInfo("Asia/Kathmandu")).replace(second=0, microsecond=0)
    bob.client.post("/jobs/new/bake", data={"parameter-loaf_count": "1", "run_at": f"{wall:%Y-%m-%dT%H:%M}"})
    (job,) = list_jobs_of(bob)
    assert job.run_at == wall


def test_a_member_may_not_start_what_is_for_owners(bob: Person, alice: Person) -> None:
    assert bob.client.get("/jobs/new/demolish").status_code == 403
    assert bob.client.post("/jobs/new/demolish").status_code == 403
    assert list_jobs_of(bob) == []
    assert alice.client.post("/jobs/new/demolish").status_code == 303


@pytest.mark.parametrize("name", ["hide", "nonsense"])
def test_what_nobody_may_start_is_not_there(alice: Person, name: str) -> None:
    assert alice.client.get(f"/jobs/new/{name}").status_code == 404
    assert alice.client.post(f"/jobs/new/{name}").status_code == 404
    assert list_jobs_of(alice) == []


def test_what_is_not_set_up_cannot_be_started(bob: Person) -> None:
    answer = bob.client.post("/jobs/new/telephone")
    assert answer.status_code == 422
    assert "Set TELEPHONE_NUMBER" in answer.text
    assert list_jobs_of(bob) == []


def test_running_again_begins_with_the_same_values(bob: Person) -> None:
    job_id = add_earlier_job(bob, "bake", {"loaf_count": 7, "flour": "oat", "is_sour": False})
    html = bob.client.get(f"/jobs/new/bake?from={job_id}").text
    assert 'value="7"' in html
    assert '<option value="oat" selected>' in html
    assert not re.search(r'type="checkbox"[^>]*name="parameter-is_sour"[^>]* checked', html)


@pytest.mark.parametrize("earlier", ["nonsense", "00000000-0000-7000-8000-000000000000", ""])
def test_an_earlier_job_that_is_not_there_leaves_the_form_as_it_is(bob: Person, earlier: str) -> None:
    assert bob.client.get(f"/jobs/new/bake?from={earlier}").status_code == 200


def test_another_organisations_job_is_not_copied(charlie: Person, bob: Person) -> None:
    job_id = add_earlier_job(bob, "bake", {"loaf_count": 7, "note": "our own secret"})
    assert "our own secret" not in charlie.client.get(f"/jobs/new/bake?from={job_id}").text
