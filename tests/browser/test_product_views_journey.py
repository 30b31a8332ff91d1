"""Look at a product in the demo shop, find its SKU among those without a product, make it one, and see its views."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import Installation
from tests.browser.journeys import sign_in
from tests.browser_support import WatchedPage, new_page

pytestmark = pytest.mark.alone

SKU = "HC-NIGHTFERRY-250"
TRIES = 40
WORK_MILLISECONDS = 20_000


def test_a_viewed_sku_becomes_a_product_with_its_views(
    watched: WatchedPage, browser: Browser, installation: Installation
) -> None:
    page = watched.page
    sign_in(page, installation.web_url, "demo@example.com")
    _look_at_it(browser, installation)
    _find_it_unknown(page, installation)
    _make_it_a_product(page)
    _see_its_views(page)
    _sort_the_list(page, installation)
    watched.assert_clean()


def _look_at_it(browser: Browser, installation: Installation) -> None:
    """As a customer does, in the shop."""
    with new_page(browser, own_origins=installation.origins) as shop:
        with shop.page.expect_response(lambda response: "/collect" in response.url and response.status == 202):
            shop.page.goto(f"{installation.demo_url}/night-ferry")
        shop.page.wait_for_function("window.footfall !== undefined")


def _find_it_unknown(page: Page, installation: Installation) -> None:
    page.goto(f"{installation.web_url}/products/unknown")
    row = page.get_by_role("row").filter(has_text=SKU)
    _reload_until_shown(page, row)
    expect(row).to_contain_text("/night-ferry", timeout=WORK_MILLISECONDS)  # its page comes after the list
    row.get_by_role("link", name=f"Create a product with the SKU {SKU}").click()


def _reload_until_shown(page: Page, row: Locator) -> None:
    """Counting takes a second or two."""
    for _ in range(TRIES):
        if row.count():
            return
        page.wait_for_timeout(500)
        page.reload()
    raise AssertionError("The view was not counted.")


def _make_it_a_product(page: Page) -> None:
    expect(page.get_by_label("SKU")).to_have_value(SKU)
    page.get_by_label("Name", exact=True).fill("Night Ferry, 250 g")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="Night Ferry, 250 g")).to_be_visible(timeout=WORK_MILLISECONDS)


def _see_its_views(page: Page) -> None:
    views = page.locator("#views")
    expect(views.locator("dd").first).to_have_text(re.compile(r"^[1-9]"))
    expect(views.locator("#views-chart .main-svg").first).to_be_visible(timeout=WORK_MILLISECONDS)
    expect(views).to_contain_text("/night-ferry", timeout=WORK_MILLISECONDS)
    views.get_by_role("link", name="30 days", exact=True).click()
    expect(page.locator("#views-30")).to_have_attribute("aria-current", "true", timeout=WORK_MILLISECONDS)
    expect(page.locator("#views-chart .main-svg").first).to_be_visible()
    expect(page.locator("#views-chart")).to_have_attribute("aria-label", re.compile("last 30 days"))


def _sort_the_list(page: Page, installation: Installation) -> None:
    page.goto(f"{installation.web_url}/products")
    page.get_by_role("link", name="Views (30 days)").click()
    expect(page.get_by_role("columnheader", name="Views (30 days)")).to_have_attribute(
        "aria-sort", "descending", timeout=WORK_MILLISECONDS
    )
    expect(page.get_by_role("row").filter(has_text=SKU)).to_be_visible()
    page.get_by_role("link", name=re.compile("^Viewed SKUs without a product")).click()
    expect(page.get_by_role("row").filter(has_text=SKU)).to_have_count(0)
