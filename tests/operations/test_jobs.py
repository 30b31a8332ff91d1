"""Jobs of all organisations in one list, and each one's page with what operators can do there."""

from __future__ import annotations

from uuid import UUID

import pytest
from apiflask import APIFlask

from tests.conftest import Person, add_organisation
from tests.jobs.support import add_job, run_waiting
from tests.operations.support import add_dead_letters, get, read_job, state_of
from webapp.extensions import db
from webapp.jobs.models import JobState
from webapp.operations.queries import JobLine, Wanted, list_jobs


@pytest.fixture
def jobs(app: APIFlask, operator: Person, charlie: Person) -> list[UUID]:
    """Twelve jobs of three organisations in turns, the first four completed."""
    third = add_organisation(app, "third", "Third")
    organisations = [operator.organisation_id, charlie.organisation_id, third]
    with app.app_context():
        ids = [add_job(organisations[number % 3]).id for number in range(4)]
        run_waiting()
        ids += [add_job(organisations[number % 3], "stumble" if number % 2 else "double").id for number in range(4, 12)]
    return ids


def listed(app: APIFlask, wanted: Wanted, **more: object) -> list[JobLine]:
    with app.app_context():
        page = list_jobs(wanted, **more)  # type: ignore[arg-type]
        db.session.rollback()
        return list(page.jobs)


def test_all_organisations_jobs_are_listed_newest_first(app: APIFlask, jobs: list[UUID]) -> None:
    found = listed(app, Wanted())
    assert [job.id for job in found] == jobs[::-1]
    assert {job.organisation_name for job in found} == {"Acme", "Other", "Third"}


@pytest.mark.parametrize(
    ("state", "kind", "count"),
    [
        (None, None, 12),
        (JobState.COMPLETED, None, 4),
        (JobState.PENDING, None, 8),
        (JobState.PENDING, "stumble", 4),
        (None, "stumble", 4),
        (None, "double", 8),
        (JobState.COMPLETED, "stumble", 0),
    ],
)
def test_states_and_kinds_are_filtered_and_stay_in_order(
    app: APIFlask, jobs: list[UUID], state: JobState | None, kind: str | None, count: int
) -> None:
    found = listed(app, Wanted(state=state, kind=kind))
    assert len(found) == count
    assert [job.id for job in found] == sorted((job.id for job in found), reverse=True)
    assert {job.state for job in found} <= ({state} if state else set(JobState))
    assert {job.kind for job in found} <= ({kind} if kind else {"double", "stumble"})


def test_one_organisation_can_be_chosen(app: APIFlask, jobs: list[UUID], charlie: Person) -> None:
    found = listed(app, Wanted(organisation_id=charlie.organisation_id))
    assert [job.id for job in found] == jobs[::-1][1::3]


def test_pages_follow_each_other_and_leave_nothing_out(app: APIFlask, jobs: list[UUID]) -> None:
    seen: list[UUID] = []
    before = None
    while found := listed(app, Wanted(), before=before, limit=5):
        seen += [job.id for job in found]
        before = seen[-1]
    assert seen == jobs[::-1]


def test_the_list_links_to_each_jobs_page_and_keeps_its_filter(
    operator: Person, charlie: Person, jobs: list[UUID]
) -> None:
    page = get(operator, f"/operations/jobs?organisation={charlie.organisation_id}&state=pending&kind=nonsense")
    assert "No job matches" in page
    page = get(operator, f"/operations/jobs?organisation={charlie.organisation_id}&state=completed")
    assert f'href="/operations/organisations/{charlie.organisation_id}/jobs/{jobs[1]}"' in page
    assert str(jobs[0]) not in page
    assert f'value="{charlie.organisation_id}" selected' in page


def test_what_a_form_does_not_ask_for_is_left_out_of_the_address(operator: Person) -> None:
    for page in ("jobs", "dead-letters"):
        url = f"/operations/{page}?organisation=&kind=double"
        answer = operator.client.get(url, headers={"HX-Request": "true"})
        assert answer.headers["HX-Replace-Url"] == f"/operations/{page}?kind=double"


@pytest.mark.parametrize("query", ["organisation=x", "state=tired", "before=yesterday", "kind=" + "x" * 300])
def test_an_address_that_means_nothing_shows_a_list_all_the_same(operator: Person, query: str) -> None:
    get(operator, f"/operations/jobs?{query}")


def test_a_jobs_page_is_that_of_its_organisation_in_the_operators_frame(
    app: APIFlask, operator: Person, charlie: Person
) -> None:
    (job_id,) = add_dead_letters(app, charlie.organisation_id)
    url = f"/operations/organisations/{charlie.organisation_id}/jobs/{job_id}"
    page = get(operator, url)
    assert "A job of Other." in page
    assert "RuntimeError: The shelf is empty." in page
    assert f'action="{url}/retry"' in page
    assert f'action="/jobs/{job_id}' not in page
    assert 'class="switch__name">Acme<' in page
    assert operator.client.get(f"/jobs/{job_id}").status_code == 404
    log = operator.client.get(f"{url}/log.txt")
    assert (log.status_code, log.content_type) == (200, "text/plain; charset=utf-8")


def test_an_operators_own_pages_are_of_their_own_organisation_again_afterwards(
    app: APIFlask, operator: Person, charlie: Person
) -> None:
    (job_id,) = add_dead_letters(app, charlie.organisation_id)
    get(operator, f"/operations/organisations/{charlie.organisation_id}/jobs/{job_id}")
    assert str(job_id) not in get(operator, "/jobs")


def test_operators_retry_cancel_and_discard(app: APIFlask, operator: Person, charlie: Person) -> None:
    theirs = charlie.organisation_id
    first, second = add_dead_letters(app, theirs, 2)
    url = f"/operations/organisations/{theirs}/jobs"
    assert operator.client.post(f"{url}/{first}/retry").headers["Location"] == f"{url}/{first}"
    assert read_job(app, theirs, first).redrive_count == 1
    assert state_of(app, theirs, first) == "pending"
    operator.client.post(f"{url}/{first}/cancel")
    assert state_of(app, theirs, first) == "cancelled"
    operator.client.post(f"{url}/{second}/discard")
    assert state_of(app, theirs, second) == "discarded"


def test_what_cannot_be_done_is_said(app: APIFlask, operator: Person, charlie: Person) -> None:
    (job_id,) = add_dead_letters(app, charlie.organisation_id)
    url = f"/operations/organisations/{charlie.organisation_id}/jobs/{job_id}"
    assert "nothing to stop" in operator.client.post(f"{url}/cancel", follow_redirects=True).text
    assert operator.client.post(f"{url}/explode").status_code == 404
    assert state_of(app, charlie.organisation_id, job_id) == "dead"


def test_a_job_of_another_organisation_than_the_address_says_is_not_there(
    app: APIFlask, operator: Person, charlie: Person
) -> None:
    (job_id,) = add_dead_letters(app, charlie.organisation_id)
    url = f"/operations/organisations/{operator.organisation_id}/jobs/{job_id}"
    assert operator.client.get(url).status_code == 404
    assert operator.client.post(f"{url}/retry").status_code == 404
