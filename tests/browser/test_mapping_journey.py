"""A file with problems, in a real browser: match it, look at every row, try it, import it, mend what was left out,
drop that again, and undo."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Installation
from tests.browser.journeys import drop_file, sign_in
from tests.browser_support import WatchedPage

pytestmark = pytest.mark.alone

WORK_MILLISECONDS = 120_000
ROWS = 30_000
HEADER = "Mail,Forename,Telephone,Shoe size,Favourite colour"


def people() -> str:
    """Rows 2 to 30,001; every ten-thousandth has no address, and all phone numbers are German ones."""
    lines = [f"{address_of(row)},Ada {row},030 {1_000_000 + row},38,blue" for row in range(2, ROWS + 2)]
    return "\n".join([HEADER, *lines, ""])


def address_of(row: int) -> str:
    return f"p{row}@mapping.example" if row % 10_000 else f"p{row}(at)mapping.example"


def test_a_file_with_problems_from_its_columns_to_its_undoing(watched: WatchedPage, installation: Installation) -> None:
    page = watched.page
    sign_in(page, installation.web_url, "bob@example.com")
    page.goto(f"{installation.web_url}/contacts")
    drop_file(page, "[data-upload-zone]", "shoes.csv", people())
    _match(page)
    _look_for_problems(page)
    _try(page)
    _import(page)
    report = _download(page)
    _mend(page, installation, report)
    _undo(page)
    watched.assert_clean()


def _match(page: Page) -> None:
    """What was chosen is kept and shown at once, even what was chosen before the page had loaded its scripts."""
    expect(page.get_by_text("3 of 5 matched; 2 left out.")).to_be_visible(timeout=WORK_MILLISECONDS)
    late: list[Route] = []
    page.route("**/js/live.js*", lambda route: late.append(route))
    page.get_by_role("button", name="Keep all unmatched columns").click(no_wait_after=True)
    expect(page.get_by_text("5 of 5 matched, 2 of them as fields of their own.")).to_be_visible()
    page.get_by_label("Favourite colour", exact=True).select_option("")
    for script in late:
        script.continue_()
    page.unroute("**/js/live.js*")
    expect(page.get_by_text("4 of 5 matched, 1 of them as a field of its own; 1 left out.")).to_be_visible()
    page.get_by_label("Name of the field that Shoe size becomes").fill("Size of shoes")
    page.get_by_label("Country of phone numbers").select_option("DE")
    expect(page.locator("#preview")).to_contain_text("+49301000003")
    expect(page.locator("#preview thead")).to_contain_text("Size of shoes")


def _look_for_problems(page: Page) -> None:
    """The page goes through the whole file by itself; a row far down is found by its number."""
    page.get_by_role("link", name="Only rows with problems").click()
    expect(page.locator("#preview")).to_contain_text(
        "Searched the whole file: 3 with problems.", timeout=WORK_MILLISECONDS
    )
    expect(page.locator("#preview tbody tr")).to_have_count(4)
    expect(page.locator("#preview")).to_contain_text("“p20000(at)mapping.example” is not an e-mail address.")
    page.get_by_role("link", name="All rows").click()
    page.get_by_label("Row", exact=True).fill("25000")
    page.get_by_role("button", name="Go").click()
    expect(page.locator("#preview tbody tr").first).to_contain_text("25,000", timeout=WORK_MILLISECONDS)
    expect(page.locator("#preview tbody tr").first).to_contain_text("p25000@mapping.example")


def _try(page: Page) -> None:
    page.get_by_role("button", name="Try it: nothing is changed").click()
    expect(page.get_by_text("Nothing was changed: this is a try")).to_be_visible(timeout=WORK_MILLISECONDS)
    expect(page.get_by_text("3 rows would be left out")).to_be_visible(timeout=WORK_MILLISECONDS)
    expect(page.locator("#progress")).to_contain_text(re.compile(r"To create\s*29,997"))


def _import(page: Page) -> None:
    page.get_by_role("button", name="Start the import for real").click()
    expect(page.get_by_text("3 rows were left out")).to_be_visible(timeout=WORK_MILLISECONDS)
    expect(page.locator("#progress")).to_contain_text(re.compile(r"Created\s*29,997"))
    expect(page.get_by_text("Size of shoes")).to_be_visible()
    page.get_by_role("link", name="3", exact=True).click()
    expect(page.get_by_role("row")).to_have_count(4)
    expect(page.get_by_text("“p10000(at)mapping.example” is not an e-mail address.")).to_be_visible()
    page.go_back()


def _download(page: Page) -> str:
    with page.expect_download() as download:
        page.get_by_role("link", name="Download rejected rows (3)").click()
    return download.value.path().read_text("utf-8-sig")


def _mend(page: Page, installation: Installation, report: str) -> None:
    """The mended file is matched as the first one was, and its two columns more are left out."""
    mended = "\n".join(
        line.replace("(at)", "@", 1) if number else line for number, line in enumerate(report.splitlines())
    )
    page.goto(f"{installation.web_url}/bulk-actions")
    drop_file(page, "[data-upload-zone]", "shoes, mended.csv", mended)
    expect(page.get_by_text("4 of 7 matched, 1 of them as a field of its own; 1 left out.")).to_be_visible(
        timeout=WORK_MILLISECONDS
    )
    expect(page.get_by_label("Country of phone numbers")).to_have_value("DE")
    page.get_by_role("button", name="Start the import").click()
    expect(page.get_by_text("Everything went in")).to_be_visible(timeout=WORK_MILLISECONDS)
    expect(page.locator("#progress")).to_contain_text(re.compile(r"Created\s*3\b"))


def _undo(page: Page) -> None:
    """Asked first, also when the page saw the end of the import live."""
    page.get_by_role("button", name="Undo", exact=True).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("3 created contacts go into the trash")
    dialog.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("heading", name="Undo a bulk action on contacts")).to_be_visible()
    expect(page.locator("#progress")).to_contain_text(re.compile(r"Done\s*3\b"), timeout=WORK_MILLISECONDS)


def test_products_go_in_from_the_page_of_bulk_actions(watched: WatchedPage, installation: Installation) -> None:
    page = watched.page
    sign_in(page, installation.web_url, "bob@example.com")
    page.goto(f"{installation.web_url}/bulk-actions")
    page.get_by_label("The file holds").select_option("products")
    drop_file(
        page, "[data-upload-zone]", "cups.csv", 'SKU;Name;Price\nJOURNEY-CUP;Cup;"1.234,50"\nJOURNEY-POT;Pot;no\n'
    )
    expect(page.locator("#preview")).to_contain_text("1234.50", timeout=WORK_MILLISECONDS)
    expect(page.get_by_text("Products whose SKU is new are created; those that exist are updated.")).to_be_visible()
    page.get_by_role("button", name="Start the import").click()
    expect(page.get_by_text("One row was left out")).to_be_visible(timeout=WORK_MILLISECONDS)
    page.get_by_role("link", name="Show what came with it").click()
    expect(page.get_by_text("JOURNEY-CUP")).to_be_visible()
    watched.assert_clean()
