"""Filter a list, keep the filter, choose columns, then act on some records and on all that match; in a real browser."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Installation
from tests.browser.journeys import drop_file, sign_in
from tests.browser_support import WatchedPage

pytestmark = pytest.mark.alone

WORK_MILLISECONDS = 60_000
COMPANY = "Journey Ltd"
WITH_CITY, WITHOUT_CITY = 70, 20


def people() -> str:
    """Contacts of one company; some have no city."""
    lines = [
        f"r{number}@records.example,Rosa {number},{COMPANY},{'Nuuk' if number < WITH_CITY else ''},=1+{number}"
        for number in range(WITH_CITY + WITHOUT_CITY)
    ]
    return "\n".join(["Email,First name,Company,City,Notes", *lines, ""])


def test_records_are_filtered_changed_deleted_and_restored(watched: WatchedPage, installation: Installation) -> None:
    page = watched.page
    sign_in(page, installation.web_url, "bob@example.com")
    _import(page, installation)
    page.goto(f"{installation.web_url}/contacts")
    _filter(page)
    _keep_the_filter(page)
    _choose_columns(page)
    _tag_some(page)
    _undo(page)
    page.goto(f"{installation.web_url}/contacts")
    _delete_all_that_match(page)
    _restore_one(page, installation)
    (refused,) = watched.console_errors  # the wrong number, which Chromium notes by itself
    assert "422" in refused
    assert watched.foreign_requests == []


def _import(page: Page, installation: Installation) -> None:
    page.goto(f"{installation.web_url}/bulk-actions")
    drop_file(page, "[data-upload-zone]", "records.csv", people())
    page.get_by_role("button", name="Start the import").click()
    expect(page.get_by_text("Everything went in")).to_be_visible(timeout=WORK_MILLISECONDS)


def _compare(page: Page, field: str, operator: str, value: str = "") -> None:
    page.locator("summary", has_text="Filter").first.click()
    page.get_by_label("Field", exact=True).select_option(label=field)
    page.get_by_label("Comparison").select_option(label=operator)
    if value:
        page.get_by_label("Value", exact=True).fill(value)
    page.get_by_role("button", name="Add", exact=True).click()


def _filter(page: Page) -> None:
    """Two comparisons combine, and one of them needs no value."""
    _compare(page, "Company", "is", COMPANY)
    _compare(page, "City", "is blank")
    expect(page.locator(".chip")).to_have_count(2)
    expect(page.locator("table.records tbody tr")).to_have_count(WITHOUT_CITY)
    page.get_by_label("Remove the filter “City").click()
    expect(page.locator("table.records tbody tr")).to_have_count(50)


def _keep_the_filter(page: Page) -> None:
    page.locator("summary", has_text="Saved filters").click()
    page.get_by_label("Name of this filter").fill("Of the journey")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("link", name="Remove all").click()
    expect(page.locator(".chip")).to_have_count(0)
    page.locator("summary", has_text="Saved filters (1)").click()
    page.get_by_role("link", name="Of the journey").click()
    expect(page.locator(".chip")).to_have_count(1)


def _choose_columns(page: Page) -> None:
    page.locator("summary", has_text="Columns").click()
    page.locator("details", has_text="Columns").get_by_label("Notes").check()
    page.get_by_role("button", name="Show these").click()
    expect(page.get_by_role("columnheader", name="Notes")).to_be_visible()
    expect(page.locator(".chip")).to_have_count(1)


def _tag_some(page: Page) -> None:
    """The first and, with the shift key, all up to the fifth."""
    ticks = page.locator("[data-tick]")
    ticks.nth(0).click()
    ticks.nth(4).click(modifiers=["Shift"])
    expect(page.get_by_text("5 ticked")).to_be_visible()
    page.get_by_role("button", name="Add tags").click()
    expect(page.get_by_role("heading", name="Add tags to 5 contacts")).to_be_visible()
    page.get_by_label("Tags").fill("chosen, vip")
    page.get_by_role("button", name="Add tags to 5 contacts").click()
    expect(page.get_by_role("heading", name="Add the tags “chosen”, “vip” to contacts")).to_be_visible()
    expect(page.locator("#progress")).to_contain_text(re.compile(r"Done\s*5\b"), timeout=WORK_MILLISECONDS)
    page.locator("#progress").get_by_role("link", name="5", exact=True).click()
    expect(page.locator("tbody tr")).to_have_count(5)
    page.locator("tbody").get_by_role("link").first.click()
    expect(page.get_by_role("link", name="chosen")).to_be_visible()
    page.go_back()
    page.go_back()


def _undo(page: Page) -> None:
    page.get_by_role("button", name="Undo", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Undo").click()
    expect(page.locator("#progress")).to_contain_text(re.compile(r"Done\s*5\b"), timeout=WORK_MILLISECONDS)


def _delete_all_that_match(page: Page) -> None:
    """A wrong number deletes nothing; the right one all of them, and their report can be undone."""
    count = WITH_CITY + WITHOUT_CITY
    _compare(page, "Company", "is", COMPANY)
    page.get_by_label("All that match, not only ticked ones").check()
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_label("Type the number of records to delete").fill("50")
    page.get_by_role("button", name=f"Delete {count} contacts").click()
    expect(page.get_by_text("Not started yet")).to_be_visible()
    page.get_by_label("Type the number of records to delete").fill(str(count))
    page.get_by_role("button", name=f"Delete {count} contacts").click()
    expect(page.locator("#progress")).to_contain_text(re.compile(rf"Done\s*{count}\b"), timeout=WORK_MILLISECONDS)


def _restore_one(page: Page, installation: Installation) -> None:
    page.goto(f"{installation.web_url}/contacts/deleted?q=r7@records.example")
    expect(page.locator("[data-tick]")).to_have_count(1)
    page.locator("[data-tick]").check()
    page.get_by_role("button", name="Restore ticked ones").click()
    page.get_by_role("button", name="Restore 1 contact").click()
    expect(page.locator("#progress")).to_contain_text(re.compile(r"Done\s*1\b"), timeout=WORK_MILLISECONDS)
    page.goto(f"{installation.web_url}/contacts?q=r7@records.example")
    expect(page.locator("table.records tbody tr")).to_have_count(1)
