"""The list of jobs, its filters in the address, and what can be done to several jobs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from apiflask import APIFlask
from sqlalchemy import select

from tests.conftest import Person
from tests.jobs.support import add_job, register, reread, run_waiting, write_outcomes
from webapp.extensions import db, tenant
from webapp.jobs.kinds import PermanentError, Result, Run
from webapp.jobs.models import Job, JobState
from webapp.jobs.queries import PAGE_SIZE
from webapp.lib.clock import utc_now
from webapp.lib.ids import uuid7


def refuse(run: Run) -> Result:
    raise PermanentError("The oven is cold.\nLight it.")


@pytest.fixture(autouse=True)
def kinds() -> None:
    register(refuse)


def titles(html: str) -> list[str]:
    return re.findall(r'<a class="table__link"[^>]*>([^<]*)</a>', html)


def look(person: Person, query: str = "", **more: Any) -> str:
    answer = person.client.get(f"/jobs{query}", **more)
    assert answer.status_code == 200
    return answer.text


def add_many(organisation_id: UUID, count: int, **more: Any) -> list[UUID]:
    """Jobs of one minute each, the oldest first, without sending any."""
    began = utc_now() - timedelta(minutes=count + 5)
    given: dict[str, Any] = {"kind": "double", "state": JobState.COMPLETED, "parameters": {}, **more}
    with tenant(organisation_id):
        moments = [began + timedelta(minutes=number) for number in range(count)]
        jobs = [
            Job(organisation_id=organisation_id, id=uuid7(at), title=f"Job {number}", created_at=at, **given)
            for number, at in enumerate(moments)
        ]
        db.session.add_all(jobs)
        db.session.commit()
        return [job.id for job in jobs]


def jobs_in(organisation_id: UUID, state: JobState) -> Sequence[str]:
    db.session.rollback()
    with tenant(organisation_id):
        return sorted(db.session.scalars(select(Job.title).where(Job.state == state)))


def test_an_empty_list_says_what_to_do(organisation: UUID, alice: Person) -> None:
    html = look(alice)
    assert "No jobs yet" in html
    assert 'href="/jobs/new"' in html


def test_the_list_shows_the_newest_first_and_only_ones_own(organisation: UUID, charlie: Person, alice: Person) -> None:
    add_many(charlie.organisation_id, 1)
    add_many(organisation, 3)
    assert titles(look(alice)) == ["Job 2", "Job 1", "Job 0"]


def test_another_organisation_sees_nothing(organisation: UUID, charlie: Person) -> None:
    add_many(organisation, 3)
    assert "No jobs yet" in look(charlie)


def test_filters_stand_in_the_address_and_stay_in_every_link(organisation: UUID, alice: Person) -> None:
    add_many(organisation, 2, state=JobState.DEAD, error="The shelf is empty.")
    add_many(organisation, 1, state=JobState.DEAD, kind="stumble")
    add_many(organisation, 1, state=JobState.COMPLETED)
    html = look(alice, "?state=dead&kind=double&text=shelf")
    assert len(titles(html)) == 2
    assert '<option value="double" selected>' in html
    assert 'name="text" value="shelf"' in html
    assert "/jobs?kind=double&amp;text=shelf&amp;state=completed" in html
    assert re.search(r'aria-current="page">Dead <span[^>]*>2</span>', html)
    assert 'name="kind" value="double"' in html


def test_filters_by_queue_and_days(organisation: UUID, alice: Person) -> None:
    add_many(organisation, 1, queue="imports", kind="import")
    add_many(organisation, 1)
    today = utc_now().date()
    assert len(titles(look(alice, "?queue=imports"))) == 1
    assert len(titles(look(alice, f"?since={today - timedelta(days=1)}&until={today}"))) == 2
    assert titles(look(alice, f"?since={today + timedelta(days=2)}")) == []


def test_what_matches_nothing_offers_to_clear_the_filters(organisation: UUID, alice: Person) -> None:
    add_many(organisation, 1)
    html = look(alice, "?state=cancelled")
    assert "No job matches" in html
    assert "Clear filters" in html


@pytest.mark.parametrize("query", ["?state=nonsense", "?before=nonsense", "?since=nonsense", "?queue=x"])
def test_what_means_nothing_in_an_address_is_left_out(organisation: UUID, alice: Person, query: str) -> None:
    add_many(organisation, 2)
    assert len(titles(look(alice, query))) == 2


def test_pages_follow_one_another_without_gap_or_repetition(organisation: UUID, alice: Person) -> None:
    add_many(organisation, 90)
    seen, query = [], ""
    for _ in range(4):
        html = look(alice, query)
        seen += titles(html)
        following = re.search(r'href="/jobs(\?[^"]*)" rel="next"', html)
        if following is None:
            break
        query = following[1].replace("&amp;", "&")
    assert seen == [f"Job {number}" for number in reversed(range(90))]
    assert 'rel="prev"' in html


def test_a_text_that_was_not_found_so_far_can_be_looked_for_further_back(
    organisation: UUID, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webapp.jobs.matching.LOOK_LIMIT", 5)
    oldest = add_many(organisation, 7)[0]
    with tenant(organisation):
        db.session.get_one(Job, (organisation, oldest)).error = "needle"
        db.session.commit()
    html = look(alice, "?text=needle")
    further = re.search(r'id="further" href="([^"]+)"', html)
    assert "Nothing found so far" in html
    assert further is not None
    answer = alice.client.get(further[1].replace("&amp;", "&"))
    assert titles(answer.text) == ["Job 0"]


def test_counts_over_a_thousand_are_not_counted_out(
    organisation: UUID, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_many(organisation, 1_002)
    html = look(alice)
    assert re.search(r"Completed <span[^>]*>over 1,000</span>", html)


def test_a_failed_job_shows_the_first_line_of_its_error_and_a_planned_one_its_time(
    organisation: UUID, alice: Person
) -> None:
    add_job(organisation, "refuse")
    run_waiting()
    add_job(organisation, "double", run_at=utc_now() + timedelta(minutes=10, seconds=20))
    html = look(alice)
    assert "The oven is cold." in html
    assert "Light it." not in html
    assert "Begins in 10 min" in html


def test_htmx_gets_the_list_alone_and_a_clean_address(organisation: UUID, alice: Person) -> None:
    add_many(organisation, 1)
    answer = alice.client.get("/jobs?text=Job&kind=&queue=&since=&until=", headers={"HX-Request": "true"})
    assert "<html" not in answer.text
    assert answer.headers["HX-Replace-Url"] == "/jobs?text=Job"
    assert 'hx-get="/jobs?text=Job"' in answer.text


def test_ticked_jobs_are_changed_and_others_are_not(organisation: UUID, alice: Person) -> None:
    dead = add_many(organisation, 3, state=JobState.DEAD)
    done = add_many(organisation, 1, state=JobState.COMPLETED)
    given = {"verb": "discard", "scope": "ticked", "job": [str(dead[0]), str(dead[1]), str(done[0])], "state": "dead"}
    answer = alice.client.post("/jobs/change", data=given)
    assert (answer.status_code, answer.location) == (303, "/jobs?state=dead")
    assert jobs_in(organisation, JobState.DISCARDED) == ["Job 0", "Job 1"]
    assert jobs_in(organisation, JobState.DEAD) == ["Job 2"]
    html = look(alice)
    assert "2 jobs are discarded. One was left as before" in html


def test_ticked_jobs_of_others_stay_as_they_are(organisation: UUID, charlie: Person) -> None:
    job = add_job(organisation)
    charlie.client.post("/jobs/change", data={"verb": "cancel", "scope": "ticked", "job": [str(job.id)]})
    assert reread(job).state is JobState.PENDING


def test_nothing_ticked_is_said(organisation: UUID, alice: Person) -> None:
    answer = alice.client.post("/jobs/change", data={"verb": "cancel", "scope": "ticked"}, follow_redirects=True)
    assert "Tick some jobs first." in answer.text


def test_no_more_are_changed_than_a_page_shows(organisation: UUID, alice: Person) -> None:
    ids = add_many(organisation, PAGE_SIZE + 5, state=JobState.DEAD)
    alice.client.post("/jobs/change", data={"verb": "discard", "job": [str(job_id) for job_id in ids]})
    assert len(jobs_in(organisation, JobState.DISCARDED)) == PAGE_SIZE


@pytest.mark.parametrize("path", ["/jobs/change", "/jobs/change-matching"])
def test_an_unknown_verb_is_refused(organisation: UUID, alice: Person, path: str) -> None:
    assert alice.client.post(path, data={"verb": "explode"}).status_code == 400


def test_all_that_match_are_changed_by_a_job_after_a_question(organisation: UUID, alice: Person) -> None:
    add_many(organisation, 60, state=JobState.DEAD)
    add_many(organisation, 1, state=JobState.DEAD, kind="stumble")
    asked = alice.client.post("/jobs/change", data={"verb": "discard", "scope": "matching", "kind": "double"})
    assert (asked.status_code, asked.location) == (303, "/jobs/change?verb=discard&kind=double")
    question = alice.client.get(asked.location).text
    assert "Discard 60 jobs" in question
    assert jobs_in(organisation, JobState.DISCARDED) == []

    begun = alice.client.post("/jobs/change-matching", data={"verb": "discard", "kind": "double"})
    assert begun.status_code == 303
    run_waiting()
    write_outcomes()
    assert len(jobs_in(organisation, JobState.DISCARDED)) == 60
    assert len(jobs_in(organisation, JobState.DEAD)) == 1
    assert "Discard all jobs of the kind" in alice.client.get(begun.location).text


def test_a_question_about_nothing_says_so(organisation: UUID, alice: Person) -> None:
    add_many(organisation, 3)
    html = alice.client.get("/jobs/change?verb=cancel&state=completed").text
    assert "There is nothing to cancel" in html
    assert "<form" not in html.partition('aria-label="Confirmation"')[2].partition("</section>")[0]


def test_a_discard_is_undone_at_once(alice: Person, app: APIFlask) -> None:
    with app.app_context(), tenant(alice.organisation_id):
        job = add_job(alice.organisation_id, "give_up")
        run_waiting()
    page = alice.client.post("/jobs/change", data={"verb": "discard", "job": str(job.id)}, follow_redirects=True).text
    assert "Undo" in page
    alice.client.post("/jobs/put-back", data={"undo": job.id.hex})
    with app.app_context():
        assert reread(job).state is JobState.FAILED


def test_nobody_undoes_what_belongs_to_others(alice: Person, charlie: Person, app: APIFlask) -> None:
    with app.app_context(), tenant(alice.organisation_id):
        job = add_job(alice.organisation_id, "give_up")
        run_waiting()
        reread(job).discard()
        db.session.commit()
    charlie.client.post("/jobs/put-back", data={"undo": job.id.hex})
    with app.app_context():
        assert reread(job).state is JobState.DISCARDED
