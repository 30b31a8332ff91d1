"""Streams that break, and networks that let none through: a page goes on all the same."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import urlsplit

import psutil
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Installation
from tests.browser.cut_edge import CutEdge, Mode
from tests.browser.journeys import contacts_csv, drop_file, sign_in, start_rehearsal
from tests.browser_support import WatchedPage, launch_browser, new_page

pytestmark = pytest.mark.alone

PATIENT_MILLISECONDS = 90_000
ROWS = 20_000


@pytest.fixture
def edge(installation: Installation) -> Iterator[CutEdge]:
    cut_edge = CutEdge(installation.edge_url)
    yield cut_edge
    cut_edge.close()


@pytest.fixture
def watched(edge: CutEdge, installation: Installation) -> Iterator[WatchedPage]:
    """A browser that reaches the edge through the proxy only."""
    with (
        launch_browser(arguments=edge.chromium_arguments) as browser,
        new_page(browser, own_origins=installation.origins) as page,
    ):
        yield page


def percent(page: Page) -> int:
    found = re.search(r"(\d+)%", page.locator("#progress").inner_text())
    return int(found[1]) if found else 0


def refresh_count(watched: WatchedPage) -> int:
    """How often the page asked for itself or its part."""
    path = urlsplit(watched.page.url).path
    return sum(1 for url in watched.requests if urlsplit(url).path == path)


def wait_for_progress(page: Page) -> None:
    """Until the number moves."""
    before, deadline = percent(page), time.monotonic() + PATIENT_MILLISECONDS / 1000
    while percent(page) == before:
        assert time.monotonic() < deadline, f"the page stands still at {before} %"
        page.wait_for_timeout(50)


def expect_end(page: Page) -> None:
    """The end shows by itself, with what can be done then."""
    expect(page.locator("#progress")).to_contain_text("Completed", timeout=PATIENT_MILLISECONDS)
    expect(page.get_by_role("link", name="Run again")).to_be_visible(timeout=PATIENT_MILLISECONDS)
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)


@pytest.mark.parametrize("mode", [Mode.SILENT, Mode.GATHER, Mode.CUT], ids=lambda mode: mode.value)
def test_where_no_stream_comes_through_the_page_asks_for_itself(
    watched: WatchedPage, edge: CutEdge, installation: Installation, mode: Mode
) -> None:
    page = watched.page
    edge.switch(mode)
    sign_in(page, installation.web_url, "demo@example.com")
    start_rehearsal(page, installation.web_url, steps=60, milliseconds=250)
    wait_for_progress(page)
    assert refresh_count(watched) >= 2
    expect_end(page)
    assert watched.foreign_requests == []


def test_asking_ends_as_soon_as_a_stream_comes_through(
    watched: WatchedPage, edge: CutEdge, installation: Installation
) -> None:
    page = watched.page
    edge.switch(Mode.CUT)
    sign_in(page, installation.web_url, "demo@example.com")
    start_rehearsal(page, installation.web_url, steps=240, milliseconds=250)
    wait_for_progress(page)
    edge.switch(Mode.PASS)
    values: set[str] = set()
    while len(values) < 12:  # a stream tells of four steps a second, asking of one in three seconds
        values.add(page.locator("#progress .live__line").inner_text())
        page.wait_for_timeout(100)
    connections = edge.connection_count
    wait_for_progress(page)
    assert edge.connection_count == connections, "one stream is enough"
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#progress")).to_contain_text("Cancelled", timeout=PATIENT_MILLISECONDS)


def test_a_stream_that_breaks_goes_on_where_it_was(
    watched: WatchedPage, edge: CutEdge, installation: Installation
) -> None:
    page = watched.page
    sign_in(page, installation.web_url, "demo@example.com")
    start_rehearsal(page, installation.web_url, steps=80, milliseconds=250)
    wait_for_progress(page)
    edge.switch(Mode.CUT)
    edge.switch(Mode.PASS)
    wait_for_progress(page)
    expect_end(page)


def test_an_edge_that_is_killed_is_missed_by_nobody(watched: WatchedPage, installation: Installation) -> None:
    page = watched.page
    sign_in(page, installation.web_url, "demo@example.com")
    start_rehearsal(page, installation.web_url, steps=80, milliseconds=250)
    wait_for_progress(page)
    os.kill(edge_process_id(installation), signal.SIGKILL)
    wait_for_progress(page)
    expect_end(page)


def edge_process_id(installation: Installation) -> int:
    """Of the server that listens on the edge's port; the installation's processes are ours."""
    port = urlsplit(installation.edge_url).port
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            listens = [one for one in process.net_connections("tcp") if one.status == psutil.CONN_LISTEN]
            if any(one.laddr.port == port for one in listens):
                return process.pid
    raise AssertionError("Nobody listens on the edge's port.")


def test_the_list_goes_on_without_streams(watched: WatchedPage, edge: CutEdge, installation: Installation) -> None:
    page = watched.page
    edge.switch(Mode.SILENT)
    sign_in(page, installation.web_url, "demo@example.com")
    start_rehearsal(page, installation.web_url, steps=40, milliseconds=250)
    page.goto(f"{installation.web_url}/jobs")
    row = page.locator("tbody tr").first
    expect(row).not_to_contain_text("Completed")
    expect(row).to_contain_text("Completed", timeout=PATIENT_MILLISECONDS)


def test_an_import_goes_on_without_streams(watched: WatchedPage, edge: CutEdge, installation: Installation) -> None:
    page = watched.page
    edge.switch(Mode.SILENT)
    sign_in(page, installation.web_url, "demo@example.com")
    page.goto(f"{installation.web_url}/bulk-actions")
    drop_file(page, "[data-upload-zone]", "unseen.csv", contacts_csv(ROWS, seed=11))
    page.get_by_role("button", name="Start the import").click(timeout=PATIENT_MILLISECONDS)
    expect(page.get_by_text("Everything went in")).to_be_visible(timeout=PATIENT_MILLISECONDS)
    expect(page.get_by_role("button", name="Cancel the import")).to_have_count(0)
    expect(page.locator("#progress")).to_contain_text(re.compile(r"100%"))
