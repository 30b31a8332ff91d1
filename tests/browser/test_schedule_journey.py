"""An import that begins later: its time is kept while columns are matched, its page goes on by itself."""

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
FILE = "Email,First name\nada.later@example.com,Ada\n"


def test_an_import_for_later_keeps_its_time_and_begins_when_somebody_says_so(
    watched: WatchedPage, installation: Installation
) -> None:
    page = watched.page
    _prepare(page, installation, datetime.now(UTC) + timedelta(days=2))
    page.get_by_role("button", name="Start the import").click()
    expect(page.get_by_text(re.compile("^Starts on "))).to_be_visible()
    expect(page.locator("#progress")).to_contain_text("Waiting for its time")
    page.get_by_role("button", name="Start now").click()
    expect(page.get_by_text("Everything went in")).to_be_visible(timeout=IMPORT_MILLISECONDS)
    watched.assert_clean()


def test_the_page_of_an_import_for_later_goes_on_when_its_time_has_come(
    watched: WatchedPage, installation: Installation
) -> None:
    page = watched.page
    soon = (datetime.now(UTC) + timedelta(seconds=75)).replace(second=0)
    _prepare(page, installation, soon)
    page.get_by_role("button", name="Start the import").click()
    expect(page.get_by_text(re.compile("^Starts on "))).to_be_visible()
    expect(page.get_by_role("button", name="Start now")).to_have_count(0, timeout=IMPORT_MILLISECONDS)
    expect(page.get_by_text("Everything went in")).to_be_visible(timeout=IMPORT_MILLISECONDS)
    watched.assert_clean()


def _prepare(page: Page, installation: Installation, moment: datetime) -> None:
    """The mapping page with a time that was filled in before a column was changed."""
    sign_in(page, installation.web_url, "alice@example.com")
    page.goto(f"{installation.web_url}/bulk-actions")
    drop_file(page, "[data-upload-zone]", "later.csv", FILE)
    text = f"{moment:%Y-%m-%dT%H:%M}"
    page.get_by_label(re.compile("Start later")).fill(text)
    page.get_by_label("First name", exact=True).select_option(label="Last name")
    expect(page.get_by_label("First name", exact=True)).to_have_value("last_name")
    page.get_by_label("First name", exact=True).select_option(label="First name")
    expect(page.get_by_text("2 of 2 matched")).to_be_visible()
    expect(page.get_by_label(re.compile("Start later"))).to_have_value(text)
