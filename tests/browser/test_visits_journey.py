"""Open the demo website on its own origin and see the visit in the chart."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Installation
from tests.browser.journeys import find_demo_site, sign_in
from tests.browser_support import WatchedPage, new_page

pytestmark = pytest.mark.alone

WITHIN_SECONDS = 5.0
"""What the page promises, not a limit on this machine's speed: a visit shows within five seconds."""

TODAYS_PAGEVIEWS = """() => {
    const figure = JSON.parse(document.querySelector("#visits-chart script[type='application/json']").textContent);
    const trace = figure.data.find((one) => one.name === "Pageviews");
    return trace.y.reduce((sum, count) => sum + count, 0);
}"""


def test_a_visit_to_the_demo_website_shows_in_the_chart_at_once(
    watched: WatchedPage, browser: Browser, installation: Installation
) -> None:
    page = watched.page
    sign_in(page, installation.web_url, "demo@example.com")
    _show_the_demo_site(page, installation)
    expect(page.locator("#visits-chart .main-svg").first).to_be_visible()
    before = page.evaluate(TODAYS_PAGEVIEWS)

    with new_page(browser, own_origins=installation.origins) as visitor:
        _visit_two_pages(visitor, installation)
        _wait_until_counted(page, before + 2)
        visitor.assert_clean()
    expect(page.locator("#visits-chart .main-svg").first).to_be_visible()
    watched.assert_clean()


def _show_the_demo_site(page: Page, installation: Installation) -> None:
    site_id = find_demo_site(page, installation.web_url)
    page.goto(f"{installation.web_url}/visits?range=today&site={site_id}")
    page.get_by_role("link", name="Pageviews").click()
    expect(page).to_have_url(re.compile("metric=pageviews"))


def _wait_until_counted(page: Page, count: int) -> None:
    """Looks from outside: the page's policy lets nobody evaluate texts inside it."""
    deadline = time.monotonic() + WITHIN_SECONDS
    while page.evaluate(TODAYS_PAGEVIEWS) < count:
        assert time.monotonic() < deadline, "the visit is not in the chart"
        page.wait_for_timeout(50)


def _visit_two_pages(visitor: WatchedPage, installation: Installation) -> None:
    with visitor.page.expect_response(f"{installation.edge_url}/collect") as first:
        visitor.page.goto(f"{installation.demo_url}/")
    with visitor.page.expect_response(f"{installation.edge_url}/collect") as second:
        visitor.page.goto(f"{installation.demo_url}/pricing")
    assert (first.value.status, second.value.status) == (202, 202)


def test_signing_out_ends_what_the_browser_may_see(watched: WatchedPage, installation: Installation) -> None:
    page: Page = watched.page
    sign_in(page, installation.web_url, "demo@example.com")
    page.locator(".sidebar").get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.goto(f"{installation.web_url}/visits")
    expect(page).to_have_url(f"{installation.web_url}/sign-in?next=/visits")
    watched.assert_clean()
