"""Look at a site's visits as a person does: choose a number, filter, search a list, see who is there, keep a goal."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import Installation
from tests.browser.journeys import show_demo_site, sign_in
from tests.browser_support import WatchedPage, new_page
from webapp.lib.clock import utc_now

pytestmark = pytest.mark.alone

COUNTED_MILLISECONDS = 20_000


def test_a_sites_visits_are_looked_at_from_all_sides(
    watched: WatchedPage, browser: Browser, installation: Installation
) -> None:
    page = watched.page
    sign_in(page, installation.web_url, "demo@example.com")
    show_demo_site(page, installation.web_url)
    _choose_a_number(page)
    _filter_by_a_line(page)
    _filter_by_the_form(page)
    _keep_a_segment(page)
    _search_a_list(page)
    _see_who_is_there(page, browser, installation)
    _keep_a_goal(page, installation)
    watched.assert_clean()


def test_dates_are_chosen_with_nothing_but_the_keyboard(watched: WatchedPage, installation: Installation) -> None:
    page = watched.page
    sign_in(page, installation.web_url, "demo@example.com")
    page.goto(f"{installation.web_url}/visits")
    among_others = page.get_by_role("heading", name="Harbour Coffee", level=2).get_by_role("link")
    if among_others.count():
        among_others.click()
    first, last = (utc_now().date() - timedelta(days=back) for back in (20, 11))
    _tab_to(page, page.locator("#dates > summary"))
    page.keyboard.press("Enter")
    for label, day in (("First day", first), ("Last day", last)):
        _tab_to(page, page.get_by_label(label))
        page.keyboard.type(day.strftime("%m%d%Y"))
        expect(page.get_by_label(label)).to_have_value(day.isoformat())
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(f"from={first}&to={last}"))
    expect(page.locator("#dates > summary")).to_contain_text(f"{first.day} ")
    expect(page.locator("#visits-chart")).to_have_attribute("aria-label", re.compile("by day"))
    watched.assert_clean()


def test_the_keyboard_keeps_its_place_when_filters_change(watched: WatchedPage, installation: Installation) -> None:
    page = watched.page
    sign_in(page, installation.web_url, "demo@example.com")
    show_demo_site(page, installation.web_url)
    page.get_by_role("link", name="Germany").press("Enter")
    expect(page.get_by_role("group", name="Filters")).to_contain_text("Country is Germany")
    expect(page.get_by_role("link", name="Germany", exact=True)).to_be_focused()
    page.get_by_label("Remove the filter “Country is Germany”").press("Enter")
    expect(page.get_by_role("group", name="Filters")).to_have_count(0)
    expect(page.locator("#add-filter > summary")).to_be_focused()


def test_on_a_telephone_the_chosen_page_and_days_are_in_sight(watched: WatchedPage, installation: Installation) -> None:
    page = watched.page
    sign_in(page, installation.web_url, "demo@example.com")
    page.set_viewport_size({"width": 390, "height": 844})
    show_demo_site(page, installation.web_url)
    page.get_by_role("link", name="Retention").click()
    page.get_by_role("link", name="12 months").click()
    expect(page.locator("#range-12m")).to_have_attribute("aria-current", "true")
    for chosen in ("#range-12m", ".site-nav [aria-current]"):
        expect(page.locator(chosen)).to_be_in_viewport(ratio=1)


def _tab_to(page: Page, wanted: Locator) -> None:
    """With as many presses as it takes; a page that does not lead there leads around."""
    for _ in range(80):
        if wanted.evaluate("one => one === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"the keyboard does not come to {wanted}")


def _choose_a_number(page: Page) -> None:
    """By keyboard, and the keyboard stays where it was."""
    number = page.get_by_role("navigation", name="Numbers").get_by_role("link", name="Pageviews")
    number.focus()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("metric=pageviews"))
    expect(number).to_have_attribute("aria-current", "true")
    expect(number).to_be_focused()
    expect(page.locator("#visits-chart")).to_have_attribute("aria-label", re.compile("^Pageviews by day"))
    expect(page.locator("#visits-chart .main-svg").first).to_be_visible()


def _filter_by_a_line(page: Page) -> None:
    """A click filters by it, the back button takes it back."""
    page.locator("#figures").get_by_role("link", name="/pricing", exact=True).click()
    expect(page.locator(".chip")).to_have_text("Page is /pricing")
    expect(page).to_have_url(re.compile("where=page:is:/pricing"))
    page.go_back()
    expect(page.locator(".chip")).to_have_count(0)
    page.go_forward()
    expect(page.locator(".chip")).to_have_count(1)


def _filter_by_the_form(page: Page) -> None:
    page.locator("summary", has_text="Filter").click()
    page.get_by_label("What is compared").select_option(label="Referrer")
    page.get_by_label("Comparison").select_option(label="contains")
    page.get_by_label("Value").fill("google")
    page.keyboard.press("Enter")
    expect(page.locator(".chip")).to_have_count(2)
    page.get_by_role("link", name="Remove the filter “Page is /pricing”").click()
    expect(page.locator(".chip")).to_have_text(["Referrer contains google"])


def _keep_a_segment(page: Page) -> None:
    page.locator("summary", has_text="Filter").click()
    page.get_by_label("Name of a segment for these filters").fill("From Google")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("link", name="Remove the filter “Referrer contains google”").click()
    expect(page.locator(".chip")).to_have_count(0)
    page.locator("summary", has_text="Filter").click()
    page.get_by_role("link", name="From Google", exact=True).click()
    expect(page.locator(".chip")).to_have_text(["Referrer contains google"])


def _search_a_list(page: Page) -> None:
    page.get_by_role("link", name="of Pages: Top").first.click()
    expect(page.get_by_role("heading", name="Pages", level=1)).to_be_visible()
    page.get_by_label("Search this list").fill("pric")
    expect(page.locator("#lines tbody tr")).to_have_count(1)
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    assert download.value.suggested_filename == "pages.csv"


def _see_who_is_there(page: Page, browser: Browser, installation: Installation) -> None:
    """Who opens a page meanwhile shows up by themselves."""
    show_demo_site(page, installation.web_url)
    page.get_by_role("link", name="Right now").click()
    expect(page.locator(".now__there")).to_contain_text("in the last 5 minutes")
    with new_page(browser, own_origins=installation.origins) as visitor:
        visitor.page.goto(f"{installation.demo_url}/support")
        expect(page.locator("#now").get_by_role("link", name="/support")).to_be_visible(timeout=COUNTED_MILLISECONDS)


def _keep_a_goal(page: Page, installation: Installation) -> None:
    show_demo_site(page, installation.web_url)
    page.get_by_role("link", name="Change goals").click()
    page.get_by_label("Which").fill("/support")
    page.get_by_label("Name", exact=True).fill("Looked for help")
    page.get_by_role("button", name="Add the goal").click()
    show_demo_site(page, installation.web_url)
    card = page.locator("section", has=page.get_by_role("heading", name="Goals"))
    card.get_by_role("link", name="Looked for help").click()
    expect(page.locator(".chip")).to_have_text(["Page is /support"])
