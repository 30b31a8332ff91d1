"""Follow journeys from page to page, keep a funnel under a name, and ask for the weekly report, as a person does."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Installation
from tests.browser.journeys import open_shop, sign_in
from tests.browser_support import WatchedPage

pytestmark = pytest.mark.alone


def test_reports_are_read_and_kept(watched: WatchedPage, installation: Installation) -> None:
    page = watched.page
    sign_in(page, installation.web_url, "demo@example.com")
    open_shop(page, installation.web_url)
    _follow_journeys(page)
    _keep_a_funnel(page)
    _ask_for_the_weekly_report(page)
    watched.assert_clean()


def _follow_journeys(page: Page) -> None:
    """A page of the list leads to the journeys around it, a filter beside one to fewer of them; back takes it back."""
    page.get_by_role("link", name="Journeys").click()
    expect(page.get_by_role("heading", name="From the entry")).to_be_visible()
    first = page.locator(".flow__stage", has=page.get_by_text("First page"))
    first.get_by_role("link", name="/pricing", exact=True).click()
    expect(page.get_by_role("heading", name="Around /pricing")).to_be_visible()
    expect(page).to_have_url(re.compile("page=/pricing"))
    before = page.locator(".flow__stage", has=page.get_by_text("Just before"))
    before.get_by_role("link", name="Filter by google.com").click()
    expect(page.locator(".chip")).to_have_text("Referrer is google.com")
    page.get_by_label("How many steps").get_by_role("link", name="3 steps").click()
    expect(page.locator(".flow__stage", has=page.get_by_text("Three after"))).to_be_visible()
    expect(page.locator(".chip")).to_have_text("Referrer is google.com")
    page.go_back()
    page.go_back()
    expect(page.locator(".chip")).to_have_count(0)
    page.get_by_label("Page to look at").fill("/su*")
    page.get_by_role("button", name="Show").last.click()
    expect(page.get_by_role("heading", name="Around /su*")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV of the journeys").click()
    assert download.value.suggested_filename == "journeys.csv"


def _keep_a_funnel(page: Page) -> None:
    page.get_by_role("link", name="Funnels").click()
    for path in ("/", "/pricing"):
        page.get_by_label("Which").fill(path)
        page.get_by_role("button", name="Add the step").click()
    page.get_by_label("Name of this funnel").fill("To the prices")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("“To the prices” is saved.")).to_be_visible()
    page.get_by_label("Rename “To the prices”").click()
    page.get_by_label("New name of “To the prices”").fill("Prices")
    page.get_by_role("button", name="Save the name").click()
    page.get_by_role("button", name="Delete “Prices”").click()
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("link", name="Prices", exact=True).click()
    expect(page.locator(".funnel tbody tr")).to_have_count(2)


def _ask_for_the_weekly_report(page: Page) -> None:
    page.get_by_role("link", name="Weekly reports").click()
    page.get_by_role("button", name="Send it to me").click()
    expect(page.get_by_text("every Monday morning").first).to_be_visible()
    page.get_by_role("navigation", name="Weeks").get_by_role("link").nth(1).click()
    expect(page.get_by_role("navigation", name="Weeks").get_by_role("link").nth(1)).to_have_attribute(
        "aria-current", "page"
    )
    page.get_by_role("button", name="Stop the mail").click()
    expect(page.get_by_role("button", name="Send it to me")).to_be_visible()
