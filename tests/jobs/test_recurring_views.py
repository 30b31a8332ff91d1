"""The pages of recurring jobs: owners set them up and change them, members look, others see nothing."""

from __future__ import annotations

from typing import Any

import pytest
from apiflask import APIFlask
from sqlalchemy import select
from werkzeug.test import TestResponse

from tests.conftest import Person
from tests.jobs.support import double, register
from webapp.accounts.models import Organisation
from webapp.extensions import db, tenant
from webapp.jobs.kinds import MayStart
from webapp.jobs.models import Job, RecurringJob
from webapp.jobs.recurring import STILL_AT_WORK
from webapp.lib.clock import utc_now

URL = "/jobs/recurring"
NEW = f"{URL}/new?kind=double"
NIGHTLY: dict[str, Any] = {
    "title": "Every night",
    "parameter-number": "21",
    "rhythm": "daily",
    "daily_time": "03:00",
    "time_zone": "Europe/Vienna",
}


@pytest.fixture(autouse=True)
def kinds(test_kinds: None) -> None:
    """Those of the tests, started by people."""
    register(double, may_start=MayStart.MEMBER)


def create(person: Person, **values: Any) -> str:
    """The address of a new one's page."""
    answer = person.client.post(NEW, data={**NIGHTLY, **values})
    assert answer.status_code == 303, answer.text
    return answer.headers["Location"]


def rows(app: APIFlask, person: Person, model: type[Any] = RecurringJob) -> list[Any]:
    with app.app_context(), tenant(person.organisation_id):
        return list(db.session.scalars(select(model)))


def get(person: Person, url: str) -> str:
    answer = person.client.get(url)
    assert answer.status_code == 200, answer.text
    return answer.text


def test_an_empty_list_says_what_could_be_there(alice: Person, bob: Person) -> None:
    assert f'href="{URL}/new"' in get(alice, URL)
    page = get(bob, URL)
    assert "An owner of your organisation can set one up" in page
    assert f'href="{URL}/new"' not in page


def test_one_is_chosen_filled_in_and_shown(app: APIFlask, alice: Person) -> None:
    assert "/jobs/recurring/new?kind=double" in get(alice, f"{URL}/new")
    assert 'name="parameter-number"' in get(alice, NEW)
    url = create(alice)
    page = get(alice, url)
    assert "Every day at 03:00, Europe/Vienna time" in page
    assert "Every night" in get(alice, URL)
    (recurring_job,) = rows(app, alice)
    assert (recurring_job.parameters, recurring_job.schedule) == ({"number": 21}, "0 3 * * *")
    assert recurring_job.created_by == alice.user_id


def test_a_kind_that_nobody_may_start_cannot_recur(alice: Person) -> None:
    assert alice.client.get(f"{URL}/new?kind=stumble").status_code == 404
    assert alice.client.post(f"{URL}/new?kind=stumble", data=NIGHTLY).status_code == 404
    assert alice.client.post(f"{URL}/new", data=NIGHTLY).status_code == 404


def test_a_kind_that_is_not_set_up_says_how(alice: Person) -> None:
    register(double, may_start=MayStart.MEMBER, why_unavailable=lambda settings: "Set FOO first.")
    assert "Set FOO first." in get(alice, f"{URL}/new")
    assert "Set FOO first." in get(alice, NEW)


def test_days_of_the_week_are_ticked(app: APIFlask, alice: Person) -> None:
    url = create(alice, rhythm="weekly", weekdays=["1", "5"], weekly_time="18:30")
    assert "Every Monday and Friday at 18:30" in get(alice, url)
    assert rows(app, alice)[0].schedule == "30 18 * * 1,5"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"rhythm": "cron", "cron": "every night"}, "Write five fields"),
        ({"rhythm": "weekly", "weekly_time": "03:00"}, "Choose at least one day"),
        ({"rhythm": ""}, "Choose how often it runs"),
        ({"parameter-number": "many"}, "This must be a whole number"),
        ({"time_zone": "Nowhere"}, "Choose a time zone from the list"),
        ({"title": "x" * 201}, "up to 200 characters"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_form_that_cannot_be_used_comes_back_with_the_reason(
    app: APIFlask, alice: Person, values: dict[str, Any], words: str
) -> None:
    answer = alice.client.post(NEW, data={**NIGHTLY, **values})
    assert answer.status_code == 422
    assert words in answer.text
    assert "Not saved yet" in answer.text
    assert rows(app, alice) == []


def test_an_empty_form_is_refused_like_any_other(alice: Person) -> None:
    assert alice.client.post(NEW, data={}).status_code == 422


def test_the_form_shows_the_next_times_while_it_is_filled_in(alice: Person) -> None:
    query = {"kind": "double", "rhythm": "weekly", "weekdays": ["1", "3"], "weekly_time": "18:00", "time_zone": "UTC"}
    answer = alice.client.get(f"{URL}/new", query_string=query, headers={"HX-Request": "true"})
    assert "Every Monday and Wednesday at 18:00, UTC" in answer.text
    assert answer.text.count("<time") == 5
    assert "<form" not in answer.text
    query |= {"rhythm": "cron", "cron": "x"}
    wrong = alice.client.get(f"{URL}/new", query_string=query, headers={"HX-Request": "true"})
    assert "Write five fields" in wrong.text


def test_it_is_changed(app: APIFlask, alice: Person) -> None:
    url = create(alice)
    page = get(alice, f"{url}/edit")
    assert 'value="03:00"' in page
    assert 'value="21"' in page
    answer = alice.client.post(f"{url}/edit", data={**NIGHTLY, "title": "", "daily_time": "04:30"})
    assert answer.status_code == 303
    (recurring_job,) = rows(app, alice)
    assert (recurring_job.title, recurring_job.schedule) == ("Double", "30 4 * * *")
    refused = alice.client.post(f"{url}/edit", data={**NIGHTLY, "daily_time": ""})
    assert (refused.status_code, "Write a time of day" in refused.text) == (422, True)


def test_an_edit_leaves_what_is_switched_off_off(app: APIFlask, alice: Person) -> None:
    url = create(alice)
    assert alice.client.post(f"{url}/switch", data={"is_enabled": "0"}).headers["Location"] == url
    alice.client.post(f"{url}/edit", data=NIGHTLY)
    (recurring_job,) = rows(app, alice)
    assert (recurring_job.is_enabled, recurring_job.next_run_at) == (False, None)
    assert "It is switched off" in get(alice, url)
    assert alice.client.post(f"{url}/switch", data={"is_enabled": "1", "from": "list"}).headers["Location"] == URL
    assert rows(app, alice)[0].next_run_at is not None


def test_run_now_leads_to_the_job(app: APIFlask, alice: Person) -> None:
    url = create(alice)
    answer = alice.client.post(f"{url}/run")
    (job,) = rows(app, alice, Job)
    assert answer.headers["Location"] == f"/jobs/{job.id}"
    assert job.created_by == alice.user_id
    for page in (get(alice, url), get(alice, URL)):
        assert f"/jobs/{job.id}" in page


def test_run_now_says_why_it_cannot(app: APIFlask, alice: Person) -> None:
    url = create(alice)
    register(double, may_start=MayStart.MEMBER, why_unavailable=lambda settings: "Set FOO first.")
    assert alice.client.post(f"{url}/run").headers["Location"] == url
    assert "Set FOO first." in get(alice, url)
    assert rows(app, alice, Job) == []


def test_a_run_that_was_left_out_is_said(app: APIFlask, alice: Person) -> None:
    url = create(alice)
    with app.app_context(), tenant(alice.organisation_id):
        db.session.scalars(select(RecurringJob)).one().skip(utc_now(), STILL_AT_WORK)
        db.session.commit()
    for page in (get(alice, url), get(alice, URL)):
        assert STILL_AT_WORK in page


def test_it_is_deleted_after_a_question(app: APIFlask, alice: Person) -> None:
    url = create(alice)
    assert "The jobs that it started stay" in get(alice, f"{url}/delete")
    assert len(rows(app, alice)) == 1
    assert alice.client.post(f"{url}/delete").headers["Location"] == URL
    assert rows(app, alice) == []
    assert alice.client.get(url).status_code == 404


def test_a_kind_that_is_gone_can_be_looked_at_and_deleted(app: APIFlask, alice: Person) -> None:
    url = create(alice)
    with app.app_context(), tenant(alice.organisation_id):
        db.session.scalars(select(RecurringJob)).one().kind = "of_yesterday"
        db.session.commit()
    assert "Of yesterday" in get(alice, url)
    assert alice.client.get(f"{url}/edit").status_code == 409
    assert alice.client.post(f"{url}/run").status_code == 303
    assert alice.client.post(f"{url}/delete").status_code == 303


def test_members_see_and_do_not_change(alice: Person, bob: Person) -> None:
    url = create(alice)
    page = get(bob, url) + get(bob, URL)
    assert "Every night" in page
    assert "Run now" not in page
    for path in (f"{url}/edit", f"{url}/delete", NEW):
        assert bob.client.get(path).status_code == 403
    refused: list[TestResponse] = [
        bob.client.post(NEW, data=NIGHTLY),
        *(bob.client.post(f"{url}/{verb}", data=NIGHTLY) for verb in ("edit", "switch", "run", "delete")),
    ]
    assert [answer.status_code for answer in refused] == [403] * 5


def test_others_see_nothing(alice: Person, charlie: Person) -> None:
    url = create(alice)
    assert "Every night" not in get(charlie, URL)
    assert charlie.client.get(url).status_code == 404


def test_times_are_foreseen_in_the_zone_of_the_schedule(app: APIFlask, alice: Person) -> None:
    with app.app_context():
        organisation = db.session.scalars(select(Organisation).where(Organisation.slug == "acme")).one()
        organisation.time_zone = "Asia/Tokyo"
        db.session.commit()
    page = get(alice, f"{NEW}&rhythm=daily&daily_time=03:00&time_zone=UTC")
    assert "12:00</time>" in page
    assert "These times are those of Asia/Tokyo" in page
