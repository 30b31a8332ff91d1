"""A file on a line that breaks: the page goes on with it by itself, and after a reload when asked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Installation
from tests.browser.cut_edge import CutEdge, Mode
from tests.browser.journeys import sign_in
from tests.browser_support import WatchedPage, launch_browser, new_page
from tests.bulk_actions.line import MadeFile

pytestmark = pytest.mark.alone

BYTES_A_SECOND = 3 * 1024 * 1024
MEGABYTES = 24
MILLISECONDS = 60_000
PERCENT = re.compile(r"^(3[0-9]|[4-8][0-9])%$")
"""Far enough for a piece to be kept, and not yet at the end."""


@pytest.fixture
def line(installation: Installation) -> Iterator[CutEdge]:
    """What stands between the browser and the pages."""
    cut = CutEdge(installation.web_url)
    yield cut
    cut.close()


@pytest.fixture
def slow(line: CutEdge, installation: Installation) -> Iterator[WatchedPage]:
    """A page of bob's, behind that line, on which a file takes some seconds."""
    with (
        launch_browser(arguments=line.chromium_arguments) as browser,
        new_page(browser, own_origins=installation.origins) as watched,
    ):
        sign_in(watched.page, installation.web_url, "bob@example.com")
        watched.page.goto(f"{installation.web_url}/bulk-actions")
        conditions = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": BYTES_A_SECOND}
        watched.context.new_cdp_session(watched.page).send("Network.emulateNetworkConditions", conditions)
        watched.page.on("dialog", lambda dialog: dialog.accept())  # "Leave the page?"
        yield watched


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "people.csv"
    with path.open("wb") as output:
        output.writelines(MadeFile(MEGABYTES).blocks())
    return path


def choose(page: Page, file: Path) -> list[int]:
    """Choose the file; where its requests begin, as they are sent."""
    offsets: list[int] = []
    page.on(
        "request",
        lambda request: offsets.append(int(request.headers["upload-offset"])) if request.method == "PATCH" else None,
    )
    page.locator("input[type=file]").set_input_files(file)
    return offsets


def expect_mapping(page: Page) -> None:
    expect(page.get_by_role("heading", name="Where each column goes")).to_be_visible(timeout=MILLISECONDS)


def test_an_upload_goes_on_by_itself_when_its_line_was_broken(slow: WatchedPage, line: CutEdge, file: Path) -> None:
    page = slow.page
    offsets = choose(page, file)
    expect(page.locator("[data-upload-percent]")).to_have_text(PERCENT, timeout=MILLISECONDS)
    line.switch(Mode.CUT)
    expect(page.get_by_text("The connection is broken").first).to_be_visible()
    line.switch(Mode.PASS)
    expect_mapping(page)
    assert offsets[0] == 0
    assert offsets[-1] > 0, "It began from the first byte again."
    assert slow.foreign_requests == []


def test_an_upload_is_paused_and_resumed(slow: WatchedPage, file: Path) -> None:
    page = slow.page
    offsets = choose(page, file)
    expect(page.locator("[data-upload-percent]")).to_have_text(PERCENT, timeout=MILLISECONDS)
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("Paused").first).to_be_visible()
    page.get_by_role("button", name="Resume").click()
    expect_mapping(page)
    assert offsets[-1] > 0


def test_an_upload_goes_on_after_a_reload_with_the_same_file(slow: WatchedPage, file: Path) -> None:
    page = slow.page
    choose(page, file)
    expect(page.locator("[data-upload-percent]")).to_have_text(PERCENT, timeout=MILLISECONDS)
    page.reload()
    again = page.get_by_role("button", name="Resume upload of people.csv")
    expect(again).to_be_visible()
    offsets = choose(page, file)
    expect_mapping(page)
    assert offsets
    assert offsets[0] > 0
    slow.assert_clean()


def test_a_cancelled_upload_is_gone(slow: WatchedPage, file: Path) -> None:
    page = slow.page
    choose(page, file)
    expect(page.locator("[data-upload-percent]")).to_have_text(PERCENT, timeout=MILLISECONDS)
    with page.expect_response(lambda answer: answer.request.method == "DELETE") as removed:
        page.get_by_role("button", name="Cancel").click()
    assert removed.value.status == 204
    expect(page.locator("[data-upload-zone]")).to_be_visible()
    page.reload()
    expect(page.locator("[data-upload-zone]")).to_be_visible()
    assert page.evaluate("Object.keys(localStorage).filter((key) => key.startsWith('tus::'))") == []
    slow.assert_clean()
