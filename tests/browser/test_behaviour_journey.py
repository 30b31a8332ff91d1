"""Somebody says who they are on the demo website; their contact is found by what they did there, and acted upon."""

from __future__ import annotations

import hmac
import time

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Installation
from tests.browser.journeys import drop_file, sign_in
from tests.browser_support import WatchedPage, new_page

pytestmark = pytest.mark.alone

WORK_MILLISECONDS = 60_000
WITHIN_SECONDS = 60.0
EMAIL = "thea@behaviour.example"
PEOPLE = f"Email,First name\n{EMAIL},Thea\nulf@behaviour.example,Ulf\n"
SECRET_OF_DEMO = """
from webapp.app import create_app
from webapp.accounts.models import Organisation
from webapp.extensions import db, tenant
from webapp.visits.queries import find_site_by_name
with create_app().app_context():
    organisation = db.session.query(Organisation).filter_by(slug="demo").one()
    with tenant(organisation.id):
        print(find_site_by_name(organisation.id, "Harbour Coffee").identify_secret)
"""


def test_contacts_are_found_by_what_they_did(
    watched: WatchedPage, browser: Browser, installation: Installation
) -> None:
    page = watched.page
    sign_in(page, installation.web_url, "demo@example.com")
    page.goto(f"{installation.web_url}/bulk-actions")
    drop_file(page, "[data-upload-zone]", "behaviour.csv", PEOPLE)
    page.get_by_role("button", name="Start the import").click()
    expect(page.get_by_text("Everything went in")).to_be_visible(timeout=WORK_MILLISECONDS)
    with new_page(browser, own_origins=installation.origins) as visitor:
        _say_who_it_is(visitor, installation)
    _ask_who_saw_the_prices(page, installation)
    _wait_until_known(page)
    expect(page.get_by_text("Visited a page that begins with “/pricing” in the last 7 days")).to_be_visible()
    expect(page.locator("table.records")).not_to_contain_text("ulf@behaviour.example")
    _tag_all(page)
    _go_to_the_visits_and_back(page, installation)
    watched.assert_clean()


def _say_who_it_is(visitor: WatchedPage, installation: Installation) -> None:
    secret = installation.run_code(SECRET_OF_DEMO).strip()
    signature = hmac.new(secret.encode(), EMAIL.encode(), "sha256").hexdigest()
    with visitor.page.expect_response(f"{installation.edge_url}/collect"):
        visitor.page.goto(f"{installation.demo_url}/pricing")
    with visitor.page.expect_response(f"{installation.edge_url}/collect") as told:
        visitor.page.evaluate("([who, signature]) => footfall.identify(who, signature)", [EMAIL, signature])
    assert told.value.status == 202


def _ask_who_saw_the_prices(page: Page, installation: Installation) -> None:
    """By keyboard alone: every box has its label, and those that do not belong to the choice are not there."""
    page.goto(f"{installation.web_url}/contacts?q=behaviour")
    page.goto(f"{installation.web_url}/contacts")
    page.locator("summary", has_text="Filter").first.press("Enter")
    form = page.locator("form[data-behaviour]")
    expect(form.get_by_label("Its property")).to_be_hidden()
    form.get_by_label("What", exact=True).select_option(label="do an event with a property")
    expect(form.get_by_label("Its property")).to_be_visible()
    form.get_by_label("What", exact=True).select_option(label="visit a page")
    form.get_by_label("Compare by").select_option(label="begins with")
    form.get_by_label("Page", exact=True).focus()
    expect(page.locator("#did-values option[value='/pricing']")).to_be_attached()
    form.get_by_label("Page", exact=True).fill("/pricing")
    form.get_by_label("When").select_option(label="in the last 7 days")
    form.get_by_label("Page", exact=True).press("Enter")


def _wait_until_known(page: Page) -> None:
    deadline = time.monotonic() + WITHIN_SECONDS
    while not page.locator("table.records", has_text=EMAIL).count():
        assert time.monotonic() < deadline, "nobody knows what Thea did"
        page.get_by_role("link", name="Look it up again").click()


def _tag_all(page: Page) -> None:
    page.get_by_label("All that match").check()
    page.get_by_role("button", name="Add tags").click()
    page.get_by_label("Tags").fill("priced")
    page.locator("#confirm button[type=submit]").last.click()
    expect(page.get_by_text("Visited a page that begins with “/pricing” in the last 7 days")).to_be_visible()
    expect(page.get_by_text("Completed").first).to_be_visible(timeout=WORK_MILLISECONDS)


def _go_to_the_visits_and_back(page: Page, installation: Installation) -> None:
    page.goto(f"{installation.web_url}/contacts?tag=priced&did=7d:page:begins:/pricing")
    expect(page.locator("table.records")).to_contain_text(EMAIL)
    if page.get_by_role("link", name="See these visits").count():  # other journeys may have added sites
        page.get_by_role("link", name="See these visits").click()
        expect(page.get_by_text("Page begins with /pricing")).to_be_visible()
        page.get_by_role("link", name="See these people").click()
        expect(page.locator("table.records")).to_contain_text(EMAIL)
