"""Start jobs, watch them, stop them, take them up again: in a real browser, on a whole installation."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.browser.conftest import Installation
from tests.browser.journeys import sign_in, start_rehearsal
from tests.browser_support import WatchedPage, new_page

pytestmark = pytest.mark.alone

PATIENT_MILLISECONDS = 90_000
BREAKS = "Every attempt breaks, until it is dead"
PEOPLE = "demo@example.com"


@pytest.fixture(autouse=True)
def signed_in(watched: WatchedPage, installation: Installation) -> None:
    sign_in(watched.page, installation.web_url, PEOPLE)


def expect_state(page: Page, state: str) -> None:
    expect(page.locator("#progress .badge")).to_have_text(state, timeout=PATIENT_MILLISECONDS)


def test_a_job_is_watched_to_its_end_in_two_browsers(
    watched: WatchedPage, browser: Browser, installation: Installation
) -> None:
    page = watched.page
    start_rehearsal(page, installation.web_url, steps=40, milliseconds=200)
    with new_page(browser, own_origins=installation.origins) as second:
        sign_in(second.page, installation.web_url, PEOPLE)
        second.page.goto(page.url)
        for one in (page, second.page):
            expect(one.locator("#progress")).to_contain_text(re.compile(r"[1-9]\d?%"), timeout=PATIENT_MILLISECONDS)
        for one in (page, second.page):
            expect_state(one, "Completed")
            expect(one.get_by_role("link", name="Run again")).to_be_visible()
            expect(one.get_by_role("button", name="Cancel")).to_have_count(0)
            expect(one.locator("#log")).to_contain_text("Done.")
            expect(one.locator("#result")).to_contain_text("40")
            expect(one.get_by_role("img", name=re.compile("What was done a second"))).to_be_visible()
        second.assert_clean()
    watched.assert_clean()


def test_run_again_begins_with_the_same_values(watched: WatchedPage, installation: Installation) -> None:
    page = watched.page
    start_rehearsal(page, installation.web_url, steps=3, milliseconds=20)
    page.get_by_role("link", name="Run again").click(timeout=PATIENT_MILLISECONDS)
    expect(page.get_by_label("Steps", exact=True)).to_have_value("3")
    page.get_by_role("button", name="Start").click()
    expect_state(page, "Completed")
    watched.assert_clean()


def test_what_is_wrong_in_a_form_stands_beside_its_field(watched: WatchedPage, installation: Installation) -> None:
    page = watched.page
    page.goto(f"{installation.web_url}/jobs/new/rehearsal")
    page.get_by_label("Steps", exact=True).fill("0")
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_label("Steps", exact=True)).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_text("This must be at least 1.")).to_be_visible()


def test_a_running_job_stops_when_it_is_cancelled(watched: WatchedPage, installation: Installation) -> None:
    page = watched.page
    start_rehearsal(page, installation.web_url, steps=2_000, milliseconds=200)
    expect_state(page, "Running")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("It stops at its next safe point").first).to_be_visible()
    expect_state(page, "Cancelled")
    expect(page.get_by_role("button", name="Retry")).to_be_visible(timeout=PATIENT_MILLISECONDS)
    watched.assert_clean()


def test_a_planned_job_says_when_it_begins_and_is_cancelled_at_once(
    watched: WatchedPage, installation: Installation
) -> None:
    page = watched.page
    page.goto(f"{installation.web_url}/jobs/new")
    tomorrow = page.evaluate("new Date(Date.now() + 864e5).toISOString().slice(0, 11) + '18:00'")
    start_rehearsal(page, installation.web_url, steps=3, milliseconds=20, begin_at=tomorrow)
    expect(page.get_by_text(re.compile(r"It is planned to begin .*18:00"))).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    expect_state(page, "Cancelled")
    watched.assert_clean()


def test_a_job_that_breaks_dies_and_is_tried_again_and_put_away(
    watched: WatchedPage, installation: Installation
) -> None:
    page = watched.page
    start_rehearsal(page, installation.web_url, steps=2, milliseconds=20, ending=BREAKS)
    expect_state(page, "Retrying")
    expect(page.get_by_text(re.compile("The next attempt begins in"))).to_be_visible(timeout=PATIENT_MILLISECONDS)
    expect_state(page, "Dead")
    expect(page.locator("#attempts")).to_contain_text("Attempt 3")
    page.get_by_text("Traceback").first.click()
    expect(page.locator(".trace").first).to_contain_text("RuntimeError")

    page.get_by_role("button", name="Retry").click()
    expect(page.locator("#attempts")).to_contain_text("Attempt 4", timeout=PATIENT_MILLISECONDS)
    page.get_by_role("button", name="Cancel").click()
    expect_state(page, "Cancelled")
    watched.assert_clean()


def test_an_open_traceback_stays_open_while_the_page_moves(watched: WatchedPage, installation: Installation) -> None:
    page = watched.page
    start_rehearsal(page, installation.web_url, steps=1, milliseconds=10, ending=BREAKS)
    page.get_by_text("Traceback").first.click(timeout=PATIENT_MILLISECONDS)
    first = page.locator("#traceback-1")
    expect_state(page, "Dead")
    expect(page.locator("#attempts")).to_contain_text("Attempt 3", timeout=PATIENT_MILLISECONDS)
    expect(first).to_have_attribute("open", "")
    watched.assert_clean()


def test_ticks_and_focus_stay_while_the_list_moves(watched: WatchedPage, installation: Installation) -> None:
    page, web_url = watched.page, installation.web_url
    start_rehearsal(page, web_url, steps=100, milliseconds=100)
    start_rehearsal(page, web_url, steps=2, milliseconds=10)
    page.goto(f"{web_url}/jobs")
    box = page.get_by_label("Tick Rehearsal of 100 steps").first
    box.check()
    box.focus()
    expect(page.get_by_role("button", name="Discard")).to_be_enabled()
    other = watched.watch(watched.context.new_page())
    start_rehearsal(other, web_url, steps=77, milliseconds=10)
    other.close()
    expect(page.get_by_role("link", name="Rehearsal of 77 steps").first).to_be_visible(timeout=PATIENT_MILLISECONDS)
    expect(box).to_be_checked()
    expect(box).to_be_focused()
    expect(page.locator("[data-selection-count]")).to_have_text("The ticked job")
    watched.assert_clean()


def test_failed_jobs_are_found_by_address_and_put_away_together(
    watched: WatchedPage, installation: Installation
) -> None:
    page, web_url = watched.page, installation.web_url
    for steps in (31, 32, 33):
        start_rehearsal(page, web_url, steps=steps, milliseconds=1, ending="It fails for good")
        expect_state(page, "Failed")
    page.goto(f"{web_url}/jobs?state=failed&text=of+3")
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(3)
    page.get_by_label("Search titles and errors").fill("of 33")
    expect(rows).to_have_count(1)
    expect(page).to_have_url(re.compile(r"/jobs\?state=failed&text=of(%20|\+)33$"))
    rows.first.get_by_role("checkbox").check()
    page.get_by_role("button", name="Discard").click()
    expect(page.get_by_text("One job is discarded.")).to_be_visible()

    page.goto(f"{web_url}/jobs?state=failed&text=of+3")
    page.get_by_label("To which jobs").select_option("matching")
    page.get_by_role("button", name="Discard").click()
    page.get_by_role("button", name="Discard 2 jobs").click()
    expect_state(page, "Completed")
    page.goto(f"{web_url}/jobs?state=failed&text=of+3")
    expect(page.get_by_text("No job matches")).to_be_visible()
    watched.assert_clean()


def test_everything_can_be_done_without_scripts(browser: Browser, installation: Installation) -> None:
    web_url = installation.web_url
    with new_page(browser, own_origins=installation.origins) as signed_in:
        sign_in(signed_in.page, web_url, PEOPLE)
        cookies = signed_in.context.storage_state()
    origins = installation.origins
    with new_page(browser, own_origins=origins, java_script_enabled=False, storage_state=cookies) as watched:
        page = watched.page
        start_rehearsal(page, web_url, steps=41, milliseconds=10, ending="It fails for good")
        _look_again_until(page, "Failed")
        page.goto(f"{web_url}/jobs")
        page.get_by_label("Search titles and errors").fill("of 41")
        page.get_by_role("button", name="Filter").click()
        page.locator("tbody").get_by_role("checkbox").first.check()
        page.get_by_role("button", name="Discard").click()
        expect(page.get_by_text("One job is discarded.")).to_be_visible()


def _look_again_until(page: Page, state: str) -> None:
    while page.locator("#progress .badge").inner_text() != state:
        page.get_by_role("link", name="Look again").click()


def test_a_page_asks_rarely_where_answers_are_slow_and_shows_the_end_all_the_same(
    watched: WatchedPage, installation: Installation
) -> None:
    """As when a thousand look at one job: the stream tells how far it is, the rest of the page can wait."""
    page = watched.page
    asked: list[str] = []

    def answer_slowly(route: Route) -> None:
        if "hx-request" in route.request.headers:
            asked.append(route.request.url)
            page.wait_for_timeout(800)
        route.continue_()

    start_rehearsal(page, installation.web_url, steps=100, milliseconds=200)
    page.route(page.url, answer_slowly)
    expect_state(page, "Completed")
    assert len(asked) <= 5
    expect(page.get_by_role("link", name="Run again")).to_be_visible(timeout=PATIENT_MILLISECONDS)
    watched.assert_clean()
