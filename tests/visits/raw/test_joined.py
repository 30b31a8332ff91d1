"""Filters find all that belongs to a visit, whatever was counted apart at first."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from apiflask import APIFlask

from tests.conftest import Person
from tests.visits.support import ORIGIN, add_rows, add_site, count_all, make_row, scalar, utc
from webapp.config import Settings
from webapp.extensions import tenant
from webapp.visits.backlog import Kind
from webapp.visits.models import Site
from webapp.visits.questions import Filter, Operator, Question
from webapp.visits.raw import engine, tasks

AT = utc("2026-11-20T10:00:00")
MINUTE = timedelta(minutes=1)
NEWS = {"referrer": "https://news.example/"}
ENGAGED = {"kind": int(Kind.ENGAGEMENT), "engaged_ms": 7_000}
Asked = tuple[int, int, int]
Ask = Callable[..., Asked]


@pytest.fixture
def site(app: APIFlask, alice: Person) -> Site:
    return add_site(app, alice.organisation_id)


@pytest.fixture
def count(app: APIFlask, services: Settings, site: Site) -> Callable[..., None]:
    """Count rows in a batch of their own, each (moment, changes)."""

    def count(at: datetime, **changes: object) -> None:
        add_rows(services, [make_row(site, at, **changes)])
        count_all(app, services)

    return count


@pytest.fixture(params=["in chunks", "sealed"])
def ask(request: pytest.FixtureRequest, app: APIFlask, services: Settings, site: Site) -> Ask:
    """Pageviews, engaged time and visits of the day that pass a filter."""

    def ask(field: str, value: str, operator: Operator = Operator.IS) -> Asked:
        with app.app_context():
            if request.param == "sealed":
                tasks.seal_chunks()
                assert scalar(services, "SELECT count(*) FROM raw_chunks") == 0
            question = Question(
                site.organisation_id, (site.id,), AT - 10 * 60 * MINUTE, AT + 10 * 60 * MINUTE,
                (Filter(field, operator, (value,)),),
            )  # fmt: skip
            with tenant(site.organisation_id):
                found = engine.totals(question)
            return found.pageview_count, found.engaged_ms, found.visit_count

    return ask


def test_a_visit_that_was_joined_later_keeps_its_pageviews(count: Callable[..., None], ask: Ask) -> None:
    count(AT, page_url=f"{ORIGIN}/a", **NEWS)
    count(AT + 50 * MINUTE, page_url=f"{ORIGIN}/b")
    count(AT + 25 * MINUTE, page_url=f"{ORIGIN}/late")
    assert ask("referrer", "news.example") == (3, 0, 1)
    assert ask("entry_page", f"{ORIGIN}/a") == (3, 0, 1)
    assert ask("entry_page", f"{ORIGIN}/b") == (0, 0, 0)
    assert ask("page", f"{ORIGIN}/b") == (1, 0, 1)


def test_a_joined_visit_is_found_by_what_it_saw_besides_a_page_that_is_not_wanted(
    count: Callable[..., None], ask: Ask
) -> None:
    count(AT, page_url=f"{ORIGIN}/a")
    count(AT + 50 * MINUTE, page_url=f"{ORIGIN}/b")
    count(AT + 25 * MINUTE, page_url=f"{ORIGIN}/a")
    count(AT, page_url=f"{ORIGIN}/a", visitor="somebody-else")
    assert ask("page", f"{ORIGIN}/a", Operator.IS_NOT) == (1, 0, 1)
    assert ask("page", f"{ORIGIN}/b", Operator.IS_NOT) == (3, 0, 2)
    count(AT - 10 * MINUTE, page_url=f"{ORIGIN}/b")
    assert ask("page", f"{ORIGIN}/a", Operator.IS_NOT) == (2, 0, 1)
    assert ask("page", f"{ORIGIN}/b", Operator.IS_NOT) == (3, 0, 2)


def test_visits_that_were_joined_again_and_again_do_too(count: Callable[..., None], ask: Ask) -> None:
    for minutes in (150, 100, 50, 0, 125, 75, 25):
        count(AT + minutes * MINUTE, page_url=f"{ORIGIN}/{minutes}")
    count(AT - 10 * MINUTE, page_url=f"{ORIGIN}/first", **NEWS)
    assert ask("entry_page", f"{ORIGIN}/first") == (8, 0, 1)
    assert ask("referrer", "news.example") == (8, 0, 1)
    assert ask("entry_page", f"{ORIGIN}/0") == (0, 0, 0)
    assert ask("page", f"{ORIGIN}/150") == (1, 0, 1)


def test_however_often_they_were_joined(count: Callable[..., None], ask: Ask) -> None:
    """Each late page joins a visit, which was joined before, with the one before it."""
    late = range(11)
    for minutes in [*(50 * number for number in reversed(late)), *(50 * number + 25 for number in reversed(late[:-1]))]:
        count(AT + minutes * MINUTE, page_url=f"{ORIGIN}/{minutes}")
    count(AT - 10 * MINUTE, page_url=f"{ORIGIN}/first", **NEWS)
    assert ask("referrer", "news.example") == (22, 0, 1)
    assert ask("page", f"{ORIGIN}/500") == (1, 0, 1)


def test_engagement_that_was_counted_before_its_visit_belongs_to_it(count: Callable[..., None], ask: Ask) -> None:
    count(AT + 5 * MINUTE, page_url=f"{ORIGIN}/a", **ENGAGED)
    count(AT, page_url=f"{ORIGIN}/a", **NEWS)
    assert ask("referrer", "news.example") == (1, 7_000, 1)


def test_engagement_whose_visit_already_had_a_beginning_does_too(count: Callable[..., None], ask: Ask) -> None:
    count(AT + 45 * MINUTE, page_url=f"{ORIGIN}/a", **ENGAGED)
    count(AT, page_url=f"{ORIGIN}/a", **NEWS)
    count(AT + 20 * MINUTE, page_url=f"{ORIGIN}/b")
    assert ask("entry_page", f"{ORIGIN}/a") == (2, 7_000, 1)


def test_two_visits_that_stay_apart_are_two(count: Callable[..., None], ask: Ask) -> None:
    count(AT, page_url=f"{ORIGIN}/a", **NEWS)
    count(AT + 31 * MINUTE, page_url=f"{ORIGIN}/b")
    assert ask("referrer", "news.example") == (1, 0, 1)
    assert ask("entry_page", f"{ORIGIN}/b") == (1, 0, 1)


SIGN_UP = {"kind": int(Kind.EVENT), "name": "sign-up"}


def test_what_was_done_in_any_part_of_a_joined_visit_was_done_in_all_of_it(
    count: Callable[..., None], ask: Ask
) -> None:
    count(AT, page_url=f"{ORIGIN}/a")
    count(AT + 50 * MINUTE, page_url=f"{ORIGIN}/b", **SIGN_UP)
    count(AT + 52 * MINUTE, page_url=f"{ORIGIN}/c")
    count(AT + 25 * MINUTE, page_url=f"{ORIGIN}/late")
    count(AT, page_url=f"{ORIGIN}/other", visitor="somebody-else")
    assert ask("event", "sign-up") == (3, 0, 1)
    assert ask("event", "sign-up", Operator.IS_NOT) == (1, 0, 1)


def test_visits_that_were_joined_again_and_again_did_it_however_far_away(count: Callable[..., None], ask: Ask) -> None:
    for minutes in (150, 100, 50, 0, 125, 75, 25):
        count(AT + minutes * MINUTE, page_url=f"{ORIGIN}/{minutes}", **(SIGN_UP if minutes == 125 else {}))
    assert ask("event", "sign-up") == (6, 0, 1)
    assert ask("event", "sign-up", Operator.IS_NOT) == (0, 0, 0)


def test_a_visit_that_took_up_another_behind_the_end_of_the_range_did_what_was_done_there(
    count: Callable[..., None], ask: Ask
) -> None:
    end = AT + 10 * 60 * MINUTE
    count(end - 10 * MINUTE, page_url=f"{ORIGIN}/a")
    count(end + 25 * MINUTE, page_url=f"{ORIGIN}/b", **SIGN_UP)
    count(end + 10 * MINUTE, page_url=f"{ORIGIN}/late")
    assert ask("event", "sign-up") == (1, 0, 1)
