"""The overview: what to do first, and numbers at a glance."""

from __future__ import annotations

from apiflask import APIFlask

from tests.bulk_actions.support import csv_of, import_file
from tests.conftest import Person
from webapp.extensions import db, tenant
from webapp.jobs.models import Job, JobState
from webapp.jobs.service import create_chunked_job
from webapp.overview.glance import change, first_steps, short_count
from webapp.records.search import RecordCount

HTMX = {"HX-Request": "true"}


def add_failed_job(app: APIFlask, person: Person) -> None:
    with app.app_context(), tenant(person.organisation_id):
        job: Job = create_chunked_job(
            person.organisation_id, "import", "Import broken.csv", parameters={}, subject_path="/", created_by=None
        )
        job.fail("The file ends in the middle.")
        assert job.state is JobState.FAILED
        db.session.commit()


def test_a_new_organisation_sees_what_to_do_first(alice: Person) -> None:
    page = alice.client.get("/").text
    assert "First steps" in page
    assert "0 of 3 done" in page


def test_imported_contacts_tick_the_first_step(app: APIFlask, alice: Person) -> None:
    import_file(app, alice.organisation_id, csv_of([["ada@example.com"]]))
    page = alice.client.get("/").text
    assert "1 of 3 done" in page
    assert "contacts.csv" in page
    assert "1 created" in page


def test_failed_jobs_ask_for_a_look(app: APIFlask, alice: Person) -> None:
    assert "Needs a look" not in alice.client.get("/").text
    add_failed_job(app, alice)
    page = alice.client.get("/").text
    assert "Needs a look" in page
    assert "The file ends in the middle." in page


def test_charlie_sees_nothing_of_it(app: APIFlask, alice: Person, charlie: Person) -> None:
    add_failed_job(app, alice)
    import_file(app, alice.organisation_id, csv_of([["ada@example.com"]]))
    page = charlie.client.get("/").text
    assert "Needs a look" not in page
    assert "contacts.csv" not in page


def test_htmx_gets_the_moving_part_alone(alice: Person) -> None:
    part = alice.client.get("/", headers=HTMX).text
    assert "<html" not in part
    assert "Pageviews today" in part


def test_steps_are_gone_once_all_are_done() -> None:
    assert first_steps(has_contacts=True, has_site=True, has_pageviews=True) == []
    assert len(first_steps(has_contacts=True, has_site=True, has_pageviews=False)) == 3


def test_a_change_against_nothing_is_not_said() -> None:
    assert change(5, 0) is None
    assert change(15, 10) == 0.5


def test_a_count_beyond_the_limit_has_a_plus() -> None:
    assert short_count(RecordCount(1234, is_exact=True)) == "1,234"
    assert short_count(RecordCount(100_000, is_exact=False)) == "100,000+"
