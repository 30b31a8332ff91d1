"""axe-core looks at every main page, light, dark and on a telephone, and finds nothing serious or critical.

On a telephone no page is wider than the screen, either: wide tables scroll by themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Installation
from tests.browser.journeys import contacts_csv, drop_file, find_demo_site, sign_in
from tests.browser_support import WatchedPage, new_page
from webapp.app import ROOT

pytestmark = pytest.mark.alone

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
WORK_MILLISECONDS = 60_000
SEVERE = {"serious", "critical"}
TELEPHONE_WIDTH = 390
WIDER = "() => document.documentElement.scrollWidth - innerWidth"
WIDE = """() => [...document.querySelectorAll('main *')]
  .filter((one) => one.getBoundingClientRect().right > innerWidth + 1)
  .slice(0, 3).map((one) => one.outerHTML.slice(0, 160))"""
LOOK = "async () => (await axe.run(document, {resultTypes: ['violations']})).violations"
PAGES = (
    "/",
    "/contacts",
    "/contacts/new",
    "/contacts/deleted",
    "/products",
    "/products/new",
    "/bulk-actions",
    "/jobs",
    "/jobs/new",
    "/jobs/recurring",
    "/operations",
    "/settings",
    "/visits",
    "/visits/sites/new",
)
OF_SITE = (
    "/visits?site={site}",
    "/visits?site={site}&compare=year&metric=bounce_rate&where=device:is:desktop",
    "/visits/lists/country?site={site}&count=visitors",
    "/visits/now?site={site}",
    "/visits/journeys?site={site}",
    "/visits/journeys?site={site}&page=/pricing&steps=3",
    "/visits/funnel?site={site}",
    "/visits/funnel?site={site}&step=page:is:/&step=page:is:/pricing",
    "/visits/retention?site={site}",
    "/visits/weekly?site={site}",
    "/visits/lists/page?site={site}",
    "/visits/sites/{site}",
    "/visits/sites/{site}/settings",
    "/visits/sites/{site}/goals",
    "/visits/sites/{site}/notes",
    "/visits/sites/{site}/links",
)


LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "telephone": {"color_scheme": "light", "viewport": {"width": TELEPHONE_WIDTH, "height": 844}},
}


@pytest.fixture(params=LOOKS)
def watched(request: pytest.FixtureRequest, browser: Browser, installation: Installation) -> Iterator[WatchedPage]:
    """A page whose person wants it light, or dark, or has a telephone, and nothing that moves."""
    own = installation.origins
    with new_page(browser, own_origins=own, timeout_ms=60_000, reduced_motion="reduce", **LOOKS[request.param]) as page:
        page.context.add_init_script(path=AXE)
        yield page


def test_no_page_keeps_anybody_out(watched: WatchedPage, installation: Installation) -> None:
    page, found = watched.page, list[str]()
    found += look_at(page, f"{installation.web_url}/sign-in")
    sign_in(page, installation.web_url, "demo@example.com")
    site = find_demo_site(page, installation.web_url)
    found += look_at_an_import(page, installation)
    found += look_at_a_product(page, installation)
    for path in (*PAGES, *(path.format(site=site) for path in OF_SITE)):
        found += look_at(page, f"{installation.web_url}{path}")
    for path in ("/contacts", "/jobs"):
        page.goto(f"{installation.web_url}{path}")
        page.locator("tbody a[href]").first.click()
        page.wait_for_load_state()
        found += look(page)
    found += look_at_a_timeline(page, installation)
    found += look_at_a_shared_link(page, installation, site)
    assert found == [], "\n".join(found)


def test_what_keeps_people_out_is_noticed(watched: WatchedPage, installation: Installation) -> None:
    watched.page.goto(f"{installation.web_url}/sign-in")
    watched.page.evaluate(
        "document.querySelector('main').innerHTML = '<input><p style=\"color: #777; background: #888\">grey</p>'"
    )
    found = "\n".join(look(watched.page))
    assert "label (critical)" in found
    assert "color-contrast (serious)" in found


def look_at(page: Page, url: str) -> list[str]:
    """The same of the page at an address, which is there."""
    answer = page.goto(url)
    assert answer is not None
    assert answer.ok, url
    return look(page)


def look(page: Page) -> list[str]:
    """What is serious or critical on the page, each with the elements that it is about."""
    violations: list[dict[str, Any]] = page.evaluate(LOOK)
    return look_sideways(page) + [
        f"{page.url}: {one['id']} ({one['impact']}), {one['help']}: {node['html'][:160]} {node.get('failureSummary')}"
        for one in violations
        if one["impact"] in SEVERE
        for node in one["nodes"][:3]
    ]


def look_sideways(page: Page) -> list[str]:
    """Whether a telephone's page is wider than its screen, and what may be the reason."""
    size = page.viewport_size
    if size is None or size["width"] > TELEPHONE_WIDTH:
        return []
    wider = page.evaluate(WIDER)
    return [f"{page.url}: {wider} pixels too wide: {page.evaluate(WIDE)}"] if wider > 0 else []


def look_at_a_timeline(page: Page, installation: Installation) -> list[str]:
    """A contact who was seen on the demo's website, with what they did."""
    page.goto(f"{installation.web_url}/contacts?seen=yes")
    page.locator("tbody a[href*='/contacts/']").first.click()
    expect(page.locator(".visit").first).to_be_visible()
    url = page.url
    return [*look(page), *look_at(page, f"{url}/visits"), *look_at(page, f"{url}/visits/summary")]


def look_at_an_import(page: Page, installation: Installation) -> list[str]:
    """Its columns before it starts, and its report."""
    page.goto(f"{installation.web_url}/bulk-actions")
    drop_file(page, "[data-upload-zone]", "axe.csv", f"{contacts_csv(20, 5)}nobody,,\n")
    start = page.get_by_role("button", name="Start the import")
    expect(start).to_be_visible(timeout=WORK_MILLISECONDS)
    found = look(page)
    start.click()
    expect(page.locator(".badge").first).to_contain_text(
        re.compile("Completed|Done", re.IGNORECASE), timeout=WORK_MILLISECONDS
    )
    return [*found, *look(page)]


def look_at_a_product(page: Page, installation: Installation) -> list[str]:
    """One that is made here."""
    page.goto(f"{installation.web_url}/products/new")
    page.get_by_label("SKU").fill(f"AXE-{uuid4().hex[:8]}")
    page.get_by_label("Name", exact=False).first.fill("Beans")
    page.locator("main form button[type=submit]").last.click()
    expect(page).to_have_url(re.compile(r"/products/[0-9a-f-]{36}"))
    return look(page)


def look_at_a_shared_link(page: Page, installation: Installation, site: str) -> list[str]:
    """What a stranger sees."""
    page.goto(f"{installation.web_url}/visits/sites/{site}/links")
    page.get_by_label("For whom").fill("Agency")
    page.get_by_role("button", name="Make the link").click()
    address = page.get_by_label("Link for Agency").first.input_value()
    found = look(page)
    for path in (address, f"{address}/journeys", f"{address}/lists/page"):
        found += look_at(page, path)
    return found
