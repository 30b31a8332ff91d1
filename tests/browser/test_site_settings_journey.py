"""Change a site's settings by keyboard, on a telephone's width, and read beside a field what is wrong."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Installation
from tests.browser.journeys import sign_in
from tests.browser_support import WatchedPage

pytestmark = pytest.mark.alone


def test_settings_are_changed_by_keyboard_on_a_telephone(watched: WatchedPage, installation: Installation) -> None:
    page = watched.page
    page.set_viewport_size({"width": 390, "height": 844})
    sign_in(page, installation.web_url, "demo@example.com")
    _add_site(page, installation)
    page.get_by_role("link", name="Settings", exact=True).and_(page.locator(".button")).click()
    respects = page.get_by_label("Leave out browsers that ask not to be tracked")
    respects.focus()
    page.keyboard.press("Space")
    page.get_by_label("Pages", exact=True).fill("/admin/*")
    _save_by_keyboard(page)
    expect(page.get_by_text("The settings are saved.")).to_be_visible()
    expect(respects).to_be_checked()
    expect(page.get_by_label("Pages", exact=True)).to_have_value("/admin/*")
    page.get_by_role("link", name="Show the secret").click()
    expect(page.locator("#secret code").last).to_contain_text("fis_")
    watched.assert_clean()
    page.get_by_label("Pages", exact=True).fill("admin")
    _save_by_keyboard(page)
    expect(page.locator("#excluded_pages-error")).to_contain_text("'admin' is no path.")
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def _add_site(page: Page, installation: Installation) -> None:
    page.goto(f"{installation.web_url}/visits/sites/new")
    page.get_by_label("Name").fill("Letters")
    page.get_by_label("Address").fill("https://letters.example")
    page.get_by_role("button", name="Add the site").click()


def _save_by_keyboard(page: Page) -> None:
    page.get_by_role("button", name="Save").focus()
    page.keyboard.press("Enter")
