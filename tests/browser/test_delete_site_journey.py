"""Delete a site by its typed name, on a telephone's width and by keyboard, and bring it back."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Installation
from tests.browser.journeys import sign_in
from tests.browser_support import WatchedPage

pytestmark = pytest.mark.alone


def test_a_site_is_deleted_by_its_name_and_comes_back(watched: WatchedPage, installation: Installation) -> None:
    page = watched.page
    page.set_viewport_size({"width": 390, "height": 844})
    sign_in(page, installation.web_url, "demo@example.com")
    _add_site(page, installation)
    page.get_by_role("link", name="Settings", exact=True).and_(page.locator(".button")).click()
    page.get_by_role("link", name="Delete Short-lived").click()
    expect(page.get_by_label("Type the site’s name")).to_be_focused()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.keyboard.type("Short-lived")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Short-lived is deleted. It can be restored for 30 days.")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.goto(f"{installation.web_url}/visits")
    expect(page.get_by_text("Short-lived")).to_have_count(0)
    page.goto(f"{installation.web_url}/visits/sites/deleted")
    page.get_by_role("button", name="Restore Short-lived").click()
    expect(page.get_by_text("Short-lived is back.")).to_be_visible()
    watched.assert_clean()


def test_another_name_deletes_nothing_and_is_told_beside_the_field(
    watched: WatchedPage, installation: Installation
) -> None:
    page = watched.page
    sign_in(page, installation.web_url, "demo@example.com")
    _add_site(page, installation)
    page.goto(page.url.partition("?")[0] + "/delete")
    page.keyboard.type("Something else")
    page.keyboard.press("Enter")
    expect(page.locator("#typed_name-error")).to_contain_text("Type the site's name")
    expect(page.get_by_text("Nothing was deleted")).to_be_visible()


def _add_site(page: Page, installation: Installation) -> None:
    page.goto(f"{installation.web_url}/visits/sites/new")
    page.get_by_label("Name").fill("Short-lived")
    page.get_by_label("Address").fill("https://short.example")
    page.get_by_role("button", name="Add the site").click()
    page.wait_for_url("**/visits/sites/*")
