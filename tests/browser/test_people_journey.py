"""Somebody signs in on the demo website: their contact shows what they did, gives a file of it, and is erased."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import time
from pathlib import Path
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Installation
from tests.browser.journeys import drop_file, find_demo_site, sign_in
from tests.browser_support import WatchedPage, new_page

pytestmark = pytest.mark.alone

COUNTED_MILLISECONDS = 20_000
IDENTIFY = "([identity, signature]) => window.footfall.identify(identity, signature)"


def test_a_person_is_named_looked_at_exported_and_erased(
    watched: WatchedPage, browser: Browser, installation: Installation
) -> None:
    page, mark = watched.page, uuid4().hex[:8]
    email, other = f"alice-{mark}@example.com", f"bob-{mark}@example.com"
    sign_in(page, installation.web_url, "demo@example.com")
    secret = _read_secret(page, installation)
    with new_page(browser, own_origins=installation.origins) as visitor:
        _look_around(visitor.page, installation, "/", "/pricing")
        _say_who(visitor.page, installation, secret, email)
        _look_around(visitor.page, installation, "/low-tide")
        _say_who(visitor.page, installation, secret, other)
        _look_around(visitor.page, installation, "/support")
        visitor.assert_clean()
    url, other_url = (_add_contact(page, installation, address) for address in (email, other))
    _see_whose_is_whose(page, url, other_url)
    _download_everything(page, url, email)
    _erase(page, url, email)
    page.goto(other_url)
    expect(page.locator(".visit")).to_have_count(1)
    watched.assert_clean()


def test_a_file_finds_whom_the_website_knew_before_and_a_new_address_keeps_it(
    watched: WatchedPage, browser: Browser, installation: Installation
) -> None:
    page, mark = watched.page, uuid4().hex[:8]
    email, changed = f"alice-{mark}@example.com", f"alice-new-{mark}@example.com"
    sign_in(page, installation.web_url, "demo@example.com")
    secret = _read_secret(page, installation)
    with new_page(browser, own_origins=installation.origins) as visitor:
        _look_around(visitor.page, installation, "/pricing")
        _say_who(visitor.page, installation, secret, email)
    url = _import(page, installation, mark, email)
    page.goto(url)
    _look_again_until_counted(page, "/pricing")
    page.goto(f"{url}/edit")
    page.get_by_label("E-mail").fill(changed)
    page.get_by_role("button", name="Save").first.click()
    expect(page).to_have_url(url)
    _look_again_until_counted(page, "/pricing")
    expect(page.locator("main")).to_contain_text(f"under earlier addresses: {email}")
    watched.assert_clean()


def _import(page: Page, installation: Installation, mark: str, email: str) -> str:
    """A file with the person; the address of their contact."""
    page.goto(f"{installation.web_url}/bulk-actions")
    drop_file(page, "[data-upload-zone]", f"people-{mark}.csv", f"Email,First name\n{email},Alice\n")
    start = page.get_by_role("button", name="Start the import")
    expect(start).to_be_visible(timeout=COUNTED_MILLISECONDS)
    start.click()
    done = re.compile("Completed|Done", re.IGNORECASE)
    expect(page.locator(".badge").first).to_contain_text(done, timeout=COUNTED_MILLISECONDS)
    page.goto(f"{installation.web_url}/contacts?q={email}")
    page.locator("tbody a[href*='/contacts/']").first.click()
    expect(page).to_have_url(re.compile(r"/contacts/[0-9a-f-]{36}$"))
    return page.url


def _read_secret(page: Page, installation: Installation) -> str:
    site_id = find_demo_site(page, installation.web_url)
    page.goto(f"{installation.web_url}/visits/sites/{site_id}/settings?show=secret")
    return page.locator("#secret code", has_text="fis_").inner_text()


def _look_around(visitor: Page, installation: Installation, *paths: str) -> None:
    for path in paths:
        with visitor.expect_response(f"{installation.edge_url}/collect") as answer:
            visitor.goto(f"{installation.demo_url}{path}")
        assert answer.value.status == 202


def _say_who(visitor: Page, installation: Installation, secret: str, email: str) -> None:
    signature = hmac.new(secret.encode(), email.encode(), hashlib.sha256).hexdigest()
    with visitor.expect_response(f"{installation.edge_url}/collect") as answer:
        visitor.evaluate(IDENTIFY, [email, signature])
    assert answer.value.status == 202


def _add_contact(page: Page, installation: Installation, email: str) -> str:
    """After the visits: they were counted before anybody knew the contact."""
    page.goto(f"{installation.web_url}/contacts/new")
    page.get_by_label("E-mail").fill(email)
    page.get_by_role("button", name="Add").or_(page.get_by_role("button", name="Save")).first.click()
    expect(page).to_have_url(re.compile(r"/contacts/[0-9a-f-]{36}$"))
    return page.url


def _see_whose_is_whose(page: Page, url: str, other_url: str) -> None:
    """The second person on the browser is somebody new: nobody has the other's pages."""
    page.goto(url)
    _look_again_until_counted(page, "/low-tide")
    expect(page.locator(".doing--page a")).to_have_text(["/", "/pricing", "/low-tide"])
    expect(page.locator(".doing--product")).to_contain_text(re.compile("Low Tide|HC-LOWTIDE-250"))
    expect(page.locator(".timeline__stats")).to_contain_text("Pageviews")
    page.locator(".browsers__head").click()
    expect(page.locator(".browsers")).to_contain_text("Chrome")
    page.goto(other_url)
    _look_again_until_counted(page, "/support")
    expect(page.locator(".doing--page a")).to_have_text(["/support"])


def _look_again_until_counted(page: Page, path: str) -> None:
    seen, deadline = page.locator(".doing--page a", has_text=path), time.monotonic() + COUNTED_MILLISECONDS / 1000
    again = page.get_by_role("link", name="Look again")
    expect(again).to_be_visible()
    while not seen.count():
        assert time.monotonic() < deadline, "the visit is not counted"
        again.click()
        page.wait_for_timeout(200)


def _download_everything(page: Page, url: str, email: str) -> None:
    page.goto(url)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download everything").click()
    content = json.loads(Path(download.value.path()).read_text())
    assert content["contact"]["email"] == email
    assert [row["page"].rsplit("/", 1)[1] for row in content["activity"] if row["kind"] == "pageview"] == [
        "",
        "pricing",
        "low-tide",
    ]


def _erase(page: Page, url: str, email: str) -> None:
    page.get_by_role("link", name="Erase for good").click()
    page.get_by_label("Type their e-mail address").fill(email)
    page.get_by_role("button", name="Erase for good").click()
    expect(page.locator("#job")).to_contain_text("Completed", timeout=COUNTED_MILLISECONDS)
    assert page.request.get(url).status == 404
