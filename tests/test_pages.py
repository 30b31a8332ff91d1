"""Filters, errors and headers of every page."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from apiflask import APIFlask
from flask import abort, g
from flask.testing import FlaskClient
from werkzeug.routing import BuildError

from tests.conftest import Person
from webapp import pages
from webapp.accounts.models import Organisation
from webapp.pages import ERRORS, byte_size, duration, local_time, number, render_block

HTMX = {"HX-Request": "true"}


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1536, "1.5 KB"), (2 * 1024**3, "2 GB"), (150 * 1024**2 + 1, "150 MB")],
)
def test_sizes_are_short(count: int, text: str) -> None:
    assert byte_size(count) == text


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (0, "under 1 s"),
        (42, "42 s"),
        (185, "3 min 05 s"),
        (7500, "2 h 05 min"),
        (timedelta(days=3, hours=4), "3 d 4 h"),
    ],
)
def test_lengths_of_time_have_two_units(length: float | timedelta, text: str) -> None:
    assert duration(length) == text


def test_numbers_have_separators() -> None:
    assert number(1234567) == "1,234,567"


def test_times_are_the_organisations_own(app_context: APIFlask) -> None:
    g.organisation = Organisation(slug="a", name="A", time_zone="Asia/Kathmandu")
    moment = datetime(2026, 1, 31, 20, 0, tzinfo=UTC)
    assert local_time(moment) == "1 Feb 2026, 01:45"
    assert local_time(moment, "date") == "1 Feb 2026"
    assert local_time(moment, "long").startswith("Sunday 1 February 2026, 01:45:00")


def test_times_outside_of_any_organisation_are_utc() -> None:
    assert local_time(datetime(2026, 1, 31, 20, 0, tzinfo=UTC)) == "31 Jan 2026, 20:00"


def test_a_block_that_is_not_there_is_an_error(app_context: APIFlask) -> None:
    with app_context.test_request_context(), pytest.raises(KeyError):
        render_block("errors/page.html", "nothing")


@pytest.fixture
def broken_app(app: APIFlask) -> Iterator[APIFlask]:
    """The app with its one public page replaced by one that fails as its query says."""
    before = app.view_functions["accounts.sign_in"]

    def fail() -> str:
        from flask import request

        status = int(request.args["status"])
        if status == 500:
            raise ValueError("a secret detail")
        abort(status)

    app.view_functions["accounts.sign_in"] = fail
    app.config["PROPAGATE_EXCEPTIONS"] = False
    yield app
    app.view_functions["accounts.sign_in"] = before
    app.config["PROPAGATE_EXCEPTIONS"] = None


@pytest.mark.parametrize("status", [400, 403, 404, 405, 413, 422, 429, 500, 503])
def test_errors_are_pages_in_plain_words_with_a_remedy(broken_app: APIFlask, status: int) -> None:
    answer = broken_app.test_client().get(f"/sign-in?status={status}")
    title, remedy = ERRORS[status]
    assert answer.status_code == status
    assert title in answer.text.replace("&#39;", "'")
    assert remedy in answer.text.replace("&#39;", "'")
    assert "secret" not in answer.text


def test_an_error_in_a_part_of_a_page_is_a_part(broken_app: APIFlask) -> None:
    answer = broken_app.test_client().get("/sign-in?status=404", headers=HTMX)
    assert answer.status_code == 404
    assert "<html" not in answer.text
    assert 'role="alert"' in answer.text


def test_a_wrong_method_says_which_are_right(alice: Person) -> None:
    answer = alice.client.post("/contacts")
    assert answer.status_code == 405
    assert "GET" in answer.headers["Allow"]


def test_an_address_that_leads_nowhere_is_a_page_for_people_and_a_problem_for_programs(client: FlaskClient) -> None:
    assert "There is nothing here" in client.get("/nowhere").text
    answer = client.get("/api/v1/nowhere")
    assert answer.mimetype == "application/problem+json"


def test_pages_run_no_scripts_but_our_own(app: APIFlask, alice: Person) -> None:
    policy = alice.client.get("/contacts").headers["Content-Security-Policy"]
    assert "script-src 'self';" in policy
    assert f"connect-src 'self' {app.extensions['settings'].edge_url};" in policy
    assert "frame-ancestors 'none'" in policy
    assert "form-action 'self'" in policy
    assert alice.client.get("/api-docs").headers["Content-Security-Policy"] == policy


def test_a_side_bars_line_that_leads_nowhere_is_an_error(
    app: APIFlask, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "NAVIGATION", (pages.NavigationItem("nowhere.index", "Nowhere", "jobs"),))
    with pytest.raises(BuildError):
        alice.client.get("/jobs")


def test_pages_have_no_scripts_and_no_styles_of_another_site(alice: Person) -> None:
    for path in ("/", "/contacts", "/bulk-actions", "/jobs"):
        page = alice.client.get(path).text
        assert "<script>" not in page
        assert 'src="http' not in page
        assert 'rel="stylesheet" href="http' not in page


def test_the_side_bar_marks_where_one_is(alice: Person) -> None:
    page = alice.client.get("/jobs").text
    assert '<a class="navigation__link" href="/jobs" aria-current="page">' in page
    assert page.count('aria-current="page"') >= 2  # the side bar and the menu of small screens


def test_every_page_has_a_skip_link_a_heading_and_a_language(alice: Person) -> None:
    for path in ("/", "/contacts", "/contacts/new", "/bulk-actions", "/jobs"):
        page = alice.client.get(path).text
        assert '<html lang="en-GB">' in page
        assert '<a class="skip-link" href="#main">' in page
        assert page.count("<h1>") == 1
