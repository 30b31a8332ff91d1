"""Dead letters across organisations: the latest first, and tried again or put away, some or all that match."""

from __future__ import annotations

from uuid import UUID

import pytest
from apiflask import APIFlask

from tests.conftest import Person, owner_connection
from tests.jobs.support import run_waiting
from tests.operations.support import add_dead_letters, get, read_job, state_of
from webapp.config import Settings
from webapp.operations.queries import (
    COUNT_LIMIT,
    Count,
    Wanted,
    capped,
    count_dead_letters,
    list_dead_letters,
)

URL = "/operations/dead-letters"


@pytest.fixture
def letters(app: APIFlask, operator: Person, charlie: Person) -> dict[UUID, list[UUID]]:
    """Three dead jobs in each of two organisations."""
    return {person.organisation_id: add_dead_letters(app, person.organisation_id, 3) for person in (operator, charlie)}


def value(organisation_id: UUID, job_id: UUID) -> str:
    return f"{organisation_id}/{job_id}"


def states(app: APIFlask, letters: dict[UUID, list[UUID]]) -> list[list[str]]:
    return [[state_of(app, owner, job_id) for job_id in ids] for owner, ids in letters.items()]


def test_those_that_died_last_come_first_whosever_they_are(
    app: APIFlask, letters: dict[UUID, list[UUID]], services: Settings
) -> None:
    (mine, theirs) = letters.values()
    with owner_connection(services) as connection:
        for number, job_id in enumerate([mine[0], theirs[0], mine[1], theirs[1], mine[2], theirs[2]]):
            connection.execute(
                "UPDATE jobs SET ended_at = now() - interval '1 hour' * %s WHERE id = %s", [number, job_id]
            )
    expected = [mine[0], theirs[0], mine[1], theirs[1], mine[2], theirs[2]]
    with app.app_context():
        assert [job.id for job in list_dead_letters(Wanted()).jobs] == expected
        first = list_dead_letters(Wanted(), limit=4)
        last = first.jobs[-1]
        assert last.ended_at is not None
        second = list_dead_letters(Wanted(), before=(last.ended_at, last.id), limit=4)
        assert [job.id for job in (*first.jobs, *second.jobs)] == expected
        assert (first.has_more, second.has_more) == (True, False)


def test_the_page_shows_error_attempts_and_organisation(operator: Person, letters: dict[UUID, list[UUID]]) -> None:
    page = get(operator, URL)
    assert page.count("The shelf is empty.") == 6
    assert "All 6" in page
    assert {"Acme", "Other"} <= set(page.replace("<", ">").split(">"))


def test_the_ticked_ones_begin_again_in_both_organisations(
    app: APIFlask, operator: Person, letters: dict[UUID, list[UUID]]
) -> None:
    ticked = [value(owner, ids[0]) for owner, ids in letters.items()]
    answer = operator.client.post(f"{URL}/change", data={"verb": "retry", "job": ticked}, follow_redirects=True)
    assert "2 jobs are begun again." in answer.text
    assert states(app, letters) == [["pending", "dead", "dead"]] * 2
    with app.app_context():
        run_waiting()
    again = [read_job(app, owner, ids[0]) for owner, ids in letters.items()]
    assert [(job.attempt_count, job.redrive_count) for job in again] == [(2, 1)] * 2


def test_the_ticked_ones_are_discarded(app: APIFlask, operator: Person, letters: dict[UUID, list[UUID]]) -> None:
    (mine, _) = letters.values()
    data = {"verb": "discard", "job": value(operator.organisation_id, mine[1])}
    assert "One job is discarded." in operator.client.post(f"{URL}/change", data=data, follow_redirects=True).text
    assert states(app, letters) == [["dead", "discarded", "dead"], ["dead"] * 3]


def test_all_that_match_begin_again_by_a_job_in_each_organisation(
    app: APIFlask, operator: Person, letters: dict[UUID, list[UUID]]
) -> None:
    asked = operator.client.post(f"{URL}/change", data={"verb": "retry", "scope": "matching"})
    assert asked.headers["Location"] == f"{URL}/change?verb=retry"
    assert "6 jobs in 2 organisations." in get(operator, asked.headers["Location"])
    answer = operator.client.post(f"{URL}/change-matching", data={"verb": "retry"}, follow_redirects=True)
    assert "started in 2 organisations" in answer.text
    assert states(app, letters) == [["dead"] * 3] * 2
    with app.app_context():
        run_waiting()
    assert states(app, letters) == [["pending"] * 3] * 2


def test_the_question_names_whose_and_which_they_are(
    operator: Person, charlie: Person, letters: dict[UUID, list[UUID]]
) -> None:
    data = {"verb": "discard", "scope": "matching", "organisation": charlie.organisation_id, "kind": "stumble"}
    page = get(operator, operator.client.post(f"{URL}/change", data=data).headers["Location"])
    assert "Discard all dead letters of Other of the kind “Stumble”?" in page
    assert "3 jobs in one organisation." in page


def test_all_of_one_organisation_leave_the_others(
    app: APIFlask, operator: Person, charlie: Person, letters: dict[UUID, list[UUID]]
) -> None:
    data = {"verb": "discard", "organisation": charlie.organisation_id, "kind": "stumble"}
    operator.client.post(f"{URL}/change-matching", data=data)
    with app.app_context():
        run_waiting()
    assert states(app, letters) == [["dead"] * 3, ["discarded"] * 3]


def test_a_kind_that_none_has_matches_none(app: APIFlask, operator: Person, letters: dict[UUID, list[UUID]]) -> None:
    assert "No dead letter matches" in get(operator, f"{URL}?kind=double")
    answer = operator.client.post(
        f"{URL}/change-matching", data={"verb": "retry", "kind": "double"}, follow_redirects=True
    )
    assert "There are none any more." in answer.text


def test_nothing_ticked_and_nonsense_change_nothing(
    app: APIFlask, operator: Person, letters: dict[UUID, list[UUID]]
) -> None:
    assert (
        "Tick some jobs first."
        in operator.client.post(f"{URL}/change", data={"verb": "retry", "job": ["", "x/y"]}, follow_redirects=True).text
    )
    assert operator.client.post(f"{URL}/change", data={"verb": "cancel"}).status_code == 400
    assert get(operator, f"{URL}?before=yesterday_x")
    assert states(app, letters) == [["dead"] * 3] * 2


def test_what_somebody_retried_meanwhile_is_left(
    app: APIFlask, operator: Person, letters: dict[UUID, list[UUID]]
) -> None:
    (mine, _) = letters.values()
    data = {"verb": "retry", "job": value(operator.organisation_id, mine[0])}
    operator.client.post(f"{URL}/change", data=data)
    assert "0 jobs are begun again." in operator.client.post(f"{URL}/change", data=data, follow_redirects=True).text


def test_they_are_counted_by_organisation_and_up_to_a_limit(app: APIFlask, letters: dict[UUID, list[UUID]]) -> None:
    with app.app_context():
        assert count_dead_letters(Wanted()) == dict.fromkeys(letters, 3)
    assert str(capped(COUNT_LIMIT)) == "100,000"
    assert capped(COUNT_LIMIT + 1) == Count(COUNT_LIMIT, is_exact=False)
    assert str(capped(COUNT_LIMIT + 1)) == "over 100,000"
