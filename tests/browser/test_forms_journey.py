"""Records in a real browser: two people at one contact, a product's picture, and a search that goes on by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Installation
from tests.browser.journeys import sign_in
from tests.browser_support import WatchedPage, new_page

pytestmark = pytest.mark.alone

RECORD = re.compile(r"/(contacts|products)/[0-9a-f-]{36}$")
MANY = 45_000
FILL = f"""
from sqlalchemy import text
from webapp.app import create_app
from webapp.config import get_settings
from webapp.demo import get_organisation
from webapp.extensions import db, tenant

with create_app(get_settings()).app_context():
    organisation_id = get_organisation().id
    with tenant(organisation_id):
        db.session.execute(text('''
            INSERT INTO products (organisation_id, id, sku, sku_key, name, description, is_active, tags, attributes,
                created_at, updated_at)
            SELECT :organisation_id, gen_random_uuid(), 'N' || n, 'n' || n, 'Product ' || n,
                CASE WHEN n % {MANY // 3} = 1 THEN 'a needle' ELSE 'hay' END, true, '{{}}', '{{}}', now(), now()
            FROM generate_series(1, {MANY}) n
        '''), {{"organisation_id": organisation_id}})
        db.session.commit()
"""


@pytest.fixture
def colleague(browser: Browser, installation: Installation) -> Iterator[Page]:
    """A second browser in the same organisation."""
    with new_page(browser, own_origins=installation.origins) as watched:
        sign_in(watched.page, installation.web_url, "alice@example.com")
        yield watched.page


def save(page: Page) -> None:
    page.locator(".card__foot").get_by_role("button", name="Save").click()


def test_two_people_at_one_contact(watched: WatchedPage, installation: Installation, colleague: Page) -> None:
    page = watched.page
    sign_in(page, installation.web_url, "alice@example.com")
    page.goto(f"{installation.web_url}/contacts/new")
    page.get_by_label("E-mail").fill("two@records.example")
    page.get_by_label("City").fill("London")
    page.get_by_label("Tags").fill("journey")
    page.get_by_role("button", name="Another field").click()
    page.get_by_label("Name of own field 2").fill("Hat")
    page.get_by_label("Value of own field 2").fill("M")
    save(page)
    expect(page).to_have_url(RECORD)
    url = page.url
    for each, city in ((page, "Rome"), (colleague, "Paris")):
        each.goto(f"{url}/edit")
        each.get_by_label("City").fill(city)
    save(colleague)
    expect(colleague).to_have_url(url)
    save(page)
    expect(page.get_by_role("row", name="City Paris Rome")).to_be_in_viewport()
    expect(page.get_by_label("Name of own field 1")).to_have_value("Hat")
    save(page)
    expect(page).to_have_url(url)
    expect(page.locator(".facts").first).to_contain_text("Rome")
    page.get_by_role("link", name="journey").click()
    expect(page.get_by_role("link", name="two@records.example")).to_be_visible()


def test_a_picture_of_ones_own(watched: WatchedPage, installation: Installation, tmp_path: Path) -> None:
    page = watched.page
    sign_in(page, installation.web_url, "alice@example.com")
    page.goto(f"{installation.web_url}/products/new")
    page.get_by_label("SKU").fill("PICTURE-1")
    save(page)
    expect(page).to_have_url(RECORD)
    _send(page, tmp_path, b"no picture")
    expect(page.get_by_text("Choose a JPEG, PNG or WebP file.")).to_be_visible()
    _send(page, tmp_path, bytes(21 * 1024 * 1024))
    expect(page.get_by_text("A picture may have up to 20 MB.")).to_be_visible()
    _send(page, tmp_path, _jpeg())
    expect(page.get_by_text("The picture is saved.")).to_be_visible()
    assert (
        page.get_by_role("img", name="PICTURE-1").evaluate("image => image.decode().then(() => image.naturalWidth)")
        == 300
    )
    page.get_by_role("button", name="Remove the picture").click()
    expect(page.get_by_text("No picture yet")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("img", name="PICTURE-1")).to_be_visible()
    watched.assert_clean()


def _send(page: Page, folder: Path, content: bytes) -> None:
    file = folder / "picture.jpg"
    file.write_bytes(content)
    page.get_by_label("A picture of your own").set_input_files(file)
    page.get_by_role("button", name=re.compile("Upload|Replace")).click()


def _jpeg() -> bytes:
    written = BytesIO()
    Image.new("RGB", (300, 200), "teal").save(written, "JPEG")
    return written.getvalue()


def test_a_search_goes_on_by_itself(watched: WatchedPage, installation: Installation) -> None:
    installation.run_code(FILL)
    page = watched.page
    sign_in(page, installation.web_url, "demo@example.com")
    page.goto(f"{installation.web_url}/products?where=description:contains:eedle")
    expect(page.get_by_text("The search is over: that is all.")).to_be_visible()
    expect(page.get_by_label(re.compile("^Tick Product"))).to_have_count(3)
    page.get_by_label("Tick all on this page").check()
    expect(page.get_by_text("3 ticked")).to_be_visible()
    assert sum("searched=" in url for url in watched.requests) == MANY // 20_000
    watched.assert_clean()
