"""Deleting what matches a comparison, later: the number is asked for, the page says what waits, somebody starts it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Installation
from tests.browser.journeys import drop_file, sign_in
from tests.browser_support import WatchedPage

pytestmark = pytest.mark.alone

IMPORT_MILLISECONDS = 120_000
CITY = "Laterburg"
ROWS = "".join(f"later{number}@example.com,Later {number},{CITY if number < 3 else ''}\n" for number in range(5))


def test_a_deletion_for_later_says_how_many_it_is_about(watched: WatchedPage, installation: Installation) -> None:
    page, url = watched.page, installation.web_url
    sign_in(page, url, "alice@example.com")
    page.goto(f"{url}/bulk-actions")
    drop_file(page, "[data-upload-zone]", "later.csv", f"Email,First name,City\n{ROWS}")
    page.get_by_role("button", name="Start the import").click()
    expect(page.get_by_text("Everything went in")).to_be_visible(timeout=IMPORT_MILLISECONDS)
    page.goto(f"{url}/contacts")
    _compare(page, "is", "")
    expect(page.get_by_text("Say what to compare “City” with.")).to_be_visible()
    _compare(page, "is", CITY)
    expect(page.get_by_text("3 contacts found")).to_be_visible()
    page.get_by_label("All that match, not only ticked ones").check()
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_text("Start later").click()
    page.get_by_label(re.compile("Day and time")).fill(f"{datetime.now(UTC) + timedelta(days=2):%Y-%m-%dT%H:%M}")
    for number in ("4", "3"):
        page.get_by_label(re.compile("Type the number")).fill(number)
        page.get_by_role("button", name="Delete 3 contacts").click()
        if number != "3":
            expect(page.get_by_text("Type the number 3 to delete so many contacts.")).to_be_visible()
    expect(page.get_by_text(re.compile("^Starts on "))).to_be_visible()
    expect(page.locator("#progress")).to_contain_text("Waiting for its time")
    page.get_by_role("button", name="Start now").click()
    expect(page.get_by_text("3 done.")).to_be_visible(timeout=IMPORT_MILLISECONDS)
    page.goto(f"{url}/contacts?where=city:blank:&q=later")
    expect(page.get_by_text("2 contacts found")).to_be_visible()


def _compare(page: Page, operator: str, value: str) -> None:
    page.get_by_text("Filter", exact=True).click()
    page.get_by_label("Field", exact=True).select_option("city")
    page.get_by_label("Comparison").select_option(operator)
    page.get_by_label("Value", exact=True).fill(value)
    page.get_by_role("button", name="Add", exact=True).click()
