"""Sign in, drop a file, watch it go in, find a contact: in a real browser, on a whole installation."""

from __future__ import annotations

import csv
import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Installation
from tests.browser.journeys import contacts_csv, drop_file, sign_in
from tests.browser_support import WatchedPage, new_page

pytestmark = pytest.mark.alone

ROWS = 50_000
IMPORT_MILLISECONDS = 120_000

RECORD_BAR = """() => {
    window.barValues = new Set();
    const note = () => {
        const bar = document.querySelector("#bulk-action-bar");
        if (bar) window.barValues.add(bar.value ?? bar.getAttribute("aria-valuenow"));
    };
    new MutationObserver(note).observe(document.body, {subtree: true, childList: true, attributes: true});
    note();
}"""


def test_a_dropped_file_goes_in_live_and_its_contacts_are_found(
    watched: WatchedPage, browser: Browser, installation: Installation
) -> None:
    page = watched.page
    sign_in(page, installation.web_url, "charlie@example.com")
    page.get_by_role("link", name="Contacts").first.click()
    text = contacts_csv(ROWS, seed=7)
    drop_file(page, "[data-upload-zone]", "people.csv", text)

    expect(page.get_by_role("heading", name="Where each column goes")).to_be_visible(timeout=IMPORT_MILLISECONDS)
    expect(page.get_by_text("8 of 8 matched")).to_be_visible()
    page.get_by_role("button", name="Start the import").click()

    expect(page.locator("#progress")).to_be_visible()
    page.evaluate(RECORD_BAR)
    _a_second_browser_sees_the_same(browser, page, installation)
    expect(page.get_by_text("Everything went in")).to_be_visible(timeout=IMPORT_MILLISECONDS)
    assert len(page.evaluate("[...window.barValues]")) >= 5, "the bar moved fewer than five times"
    expect(page.locator("#progress")).to_contain_text(re.compile(r"Created\s*50,000"))

    _find_by_search(page, text)
    watched.assert_clean()


def _a_second_browser_sees_the_same(browser: Browser, page: Page, installation: Installation) -> None:
    """Somebody of the same organisation opens the page half-way, with cookies of their own."""
    with new_page(browser, own_origins=installation.origins) as second:
        sign_in(second.page, installation.web_url, "charlie@example.com")
        second.page.goto(page.url)
        expect(second.page.get_by_text("Everything went in")).to_be_visible(timeout=IMPORT_MILLISECONDS)
        expect(second.page.locator("#progress")).to_contain_text(re.compile(r"Created\s*50,000"))
        second.assert_clean()


def _find_by_search(page: Page, text: str) -> None:
    row = list(csv.DictReader(text.splitlines()))[ROWS // 2]
    page.get_by_role("link", name="To the contacts").click()
    page.get_by_label("Search contacts").fill(row["Email"])
    expect(page.get_by_role("row")).to_have_count(2)
    page.get_by_role("row").nth(1).get_by_role("link").first.click()
    expect(page.get_by_text(row["Email"]).first).to_be_visible()


def test_a_file_that_is_no_csv_is_refused_in_plain_words(watched: WatchedPage, installation: Installation) -> None:
    page = watched.page
    sign_in(page, installation.web_url, "bob@example.com")
    page.goto(f"{installation.web_url}/bulk-actions")
    drop_file(page, "[data-upload-zone]", "picture.csv", "\x00\x01\x02 not a table")
    expect(page.locator("[data-upload-problem]")).to_contain_text("drop it again")


def test_rejected_rows_come_back_with_their_reasons(watched: WatchedPage, installation: Installation) -> None:
    page = watched.page
    sign_in(page, installation.web_url, "bob@example.com")
    page.goto(f"{installation.web_url}/bulk-actions")
    drop_file(page, "[data-upload-zone]", "few.csv", "Email,First name\nada@example.com,Ada\nnobody,Nobody\n")
    page.get_by_role("button", name="Start the import").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download rejected rows (1)").click(timeout=IMPORT_MILLISECONDS)
    rows = list(csv.DictReader(download.value.path().read_text("utf-8-sig").splitlines()))
    assert [(row["Email"], row["Row number"]) for row in rows] == [("nobody", "3")]
    assert "is not an e-mail address" in rows[0]["Reason"]
    watched.assert_clean()
