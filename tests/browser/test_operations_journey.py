"""Schedules, and the operators' pages: in a real browser, on a whole installation."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Installation
from tests.browser.journeys import sign_in, start_rehearsal
from tests.browser_support import WatchedPage, new_page

pytestmark = pytest.mark.alone

PATIENT_MILLISECONDS = 90_000
OPERATOR = "demo@example.com"


@pytest.fixture(autouse=True)
def signed_in(watched: WatchedPage, installation: Installation) -> None:
    sign_in(watched.page, installation.web_url, OPERATOR)


def fill_in_schedule(page: Page, web_url: str, title: str) -> None:
    page.goto(f"{web_url}/jobs/recurring/new?kind=rehearsal")
    page.get_by_label("Title").fill(title)
    page.get_by_label("Steps", exact=True).fill("2")
    page.get_by_label("Milliseconds for a step").fill("10")


def test_a_schedule_is_made_by_a_form_that_says_what_it_comes_to(
    watched: WatchedPage, installation: Installation
) -> None:
    page = watched.page
    fill_in_schedule(page, installation.web_url, "Twice a week")
    preview = page.locator("#preview")
    expect(preview).to_contain_text("Every day at 03:00")
    page.get_by_text("Friday").check()
    page.get_by_label("Time on these days").fill("18:30")
    expect(page.get_by_label("Every week on")).to_be_checked()
    expect(preview).to_contain_text("Every Monday and Friday at 18:30, Europe/London time")
    expect(preview.locator("time")).to_have_count(5)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="Twice a week")).to_be_visible()
    page.get_by_role("button", name="Run now").click()
    expect(page.locator("#progress .badge")).to_have_text("Completed", timeout=PATIENT_MILLISECONDS)
    page.get_by_role("link", name="Twice a week").click()
    expect(page.locator("#recurring_job .badge")).to_have_text("Completed")
    watched.assert_clean()


def test_a_schedule_is_switched_off_and_deleted_without_scripts(browser: Browser, installation: Installation) -> None:
    with new_page(browser, own_origins=installation.origins, java_script_enabled=False) as watched:
        page = watched.page
        sign_in(page, installation.web_url, OPERATOR)
        fill_in_schedule(page, installation.web_url, "Without scripts")
        page.get_by_label("Every hour at minute").check()
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_text("Every hour, on the hour")).to_be_visible()
        page.get_by_role("button", name="Switch off").click()
        expect(page.get_by_text("It is switched off")).to_be_visible()
        page.get_by_role("link", name="Delete").click()
        expect(page.get_by_role("heading", name="Delete “Without scripts”?")).to_be_visible()
        page.get_by_role("button", name="Delete").click()
        expect(page.get_by_text("“Without scripts” is deleted.")).to_be_visible()
        expect(page.get_by_role("link", name="Without scripts")).to_have_count(0)


def test_a_paused_queue_holds_its_jobs_until_it_is_resumed(
    watched: WatchedPage, browser: Browser, installation: Installation
) -> None:
    page = watched.page
    page.goto(installation.web_url)
    page.get_by_role("link", name="Operations").click()
    page.get_by_role("button", name="Pause jobs").click()
    expect(page.locator("#queue-jobs")).to_contain_text("Paused")
    with new_page(browser, own_origins=installation.origins) as second:
        sign_in(second.page, installation.web_url, OPERATOR)
        start_rehearsal(second.page, installation.web_url, steps=2, milliseconds=10)
        expect(second.page.locator("#wait")).to_contain_text("The operators have paused its queue.")
        waiting = page.locator("#queue-jobs [data-label=Waiting]")
        expect(waiting).to_contain_text("1", timeout=PATIENT_MILLISECONDS)  # it says so by itself
        page.get_by_role("button", name="Resume jobs").click()
        expect(second.page.locator("#progress .badge")).to_have_text("Completed", timeout=PATIENT_MILLISECONDS)
        expect(waiting).to_have_text("0", timeout=PATIENT_MILLISECONDS)
        second.assert_clean()
    watched.assert_clean()


def test_a_dead_letter_shows_up_by_itself_and_stays_ticked_until_it_is_taken_up(
    watched: WatchedPage, browser: Browser, installation: Installation
) -> None:
    page = watched.page
    page.goto(f"{installation.web_url}/operations/dead-letters")
    with new_page(browser, own_origins=installation.origins) as second:
        sign_in(second.page, installation.web_url, OPERATOR)
        ending = "Every attempt breaks, until it is dead"
        start_rehearsal(second.page, installation.web_url, steps=7, milliseconds=1, ending=ending)
        box = page.get_by_label("Tick Rehearsal of 7 steps")
        expect(box).to_be_visible(timeout=PATIENT_MILLISECONDS)
        box.check()
        with page.expect_response(re.compile(r"/operations/dead-letters")):
            pass  # the next sample has the list asked for again
        expect(box).to_be_checked()
        page.get_by_role("button", name="Retry").click()
        expect(page.get_by_text("One job is begun again.")).to_be_visible()
        second.page.reload()
        expect(second.page.locator("#numbers")).to_contain_text("Taken up again")
    watched.assert_clean()


def test_others_are_not_shown_the_way(browser: Browser, installation: Installation) -> None:
    with new_page(browser, own_origins=installation.origins) as watched:
        sign_in(watched.page, installation.web_url, "charlie@example.com")
        expect(watched.page.get_by_role("link", name="Jobs", exact=True)).to_be_visible()
        expect(watched.page.get_by_role("link", name="Operations")).to_have_count(0)
