"""The demo website, in a real Chromium, reporting to a real collector on another origin."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest
from playwright.sync_api import Browser

from tests.browser_support import new_page
from tests.tracker.pages import click_without_leaving
from tests.tracker.support import ROOT, SITE_KEY, Collector, collector_handler, serving
from webapp.config import Settings, settings_from
from webapp.demo_site import demo_paths, demo_server, demo_site_key
from webapp.visits.collecting.signatures import is_signed

PAGES = ["/", "/pricing", "/support", "/breakwater", "/low-tide", "/night-ferry", "/account"]


def settings_for(folder: Path, edge_url: str = "http://localhost:1") -> Settings:
    return settings_from({"DATA_DIR": str(folder), "EDGE_URL": edge_url, "SECRET_KEY": "of a test"})


@contextmanager
def demo_site(settings: Settings) -> Iterator[str]:
    with demo_server(settings, 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()
        thread.join()


def fetched(url: str, method: str = "GET") -> tuple[int, str, str]:
    """Status, type and body, asked for without a client's own tidying of the path."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.netloc, timeout=10)
    try:
        connection.request(method, parts.path)
        answer = connection.getresponse()
        return answer.status, answer.headers.get_content_type(), answer.read().decode()
    finally:
        connection.close()


def test_walking_through_the_demo_website_counts_its_three_pages(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "demo_site_key").write_text(SITE_KEY + "\n")
    collector = Collector()
    with (
        serving(collector_handler(collector)) as edge,
        demo_site(settings_for(tmp_path, edge)) as website,
        new_page(browser, own_origins=[website, edge]) as watched,
    ):
        watched.page.goto(website)
        watched.page.get_by_role("link", name="Pricing", exact=True).click()
        watched.page.wait_for_url("**/pricing")
        watched.page.get_by_role("link", name="Support", exact=True).click()
        watched.page.wait_for_url("**/support")
        collector.wait_for(lambda it: len(it.paths) == 3, "three pages are counted")
        watched.page.wait_for_load_state("networkidle")
        watched.assert_clean()
    assert sorted(collector.paths) == ["/", "/pricing", "/support"]
    assert {beacon["siteKey"] for beacon in collector.beacons} == {SITE_KEY}


def test_the_demo_website_shows_everything_that_the_tracker_can_tell(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "demo_site_key").write_text(SITE_KEY + "\n")
    collector = Collector()
    with (
        serving(collector_handler(collector)) as edge,
        demo_site(settings_for(tmp_path, edge)) as website,
        new_page(browser, own_origins=[website, edge]) as watched,
    ):
        page = watched.page
        page.goto(website)
        click_without_leaving(page, "a[href^='https://roasters-guild']")
        page.wait_for_timeout(1100)
        page.get_by_role("link", name="Low Tide").click()
        page.get_by_role("button", name="Add to basket").click()
        page.get_by_role("link", name="Have it every month").click()
        page.get_by_role("link", name="Join the crew").click()
        page.get_by_role("link", name="page on brewing").click()
        page.get_by_role("button", name="Write to me").click()
        page.goto(f"{website}/nowhere")
        collector.wait_for(lambda it: len(it.of_kind("event")) == 7, "every event comes")
        collector.wait_for_kind("engagement")
        page.wait_for_load_state("networkidle")
    assert [beacon["sku"] for beacon in collector.of_kind("product")] == ["HC-LOWTIDE-250"]
    assert sorted((beacon["name"], beacon["props"]) for beacon in collector.of_kind("event")) == [
        ("404", {"path": "/nowhere"}),
        ("Add to basket", {"sku": "HC-LOWTIDE-250", "price": "11.00"}),
        ("Ask for the letter", {"where": "support"}),
        ("Choose a subscription", {"plan": "Cutter"}),
        ("download", {"url": f"{website}/brewing.txt"}),
        ("form", {"action": "/support"}),
        ("outbound", {"url": "https://roasters-guild.example/members/harbour"}),
    ]


def test_signing_in_tells_who_this_is_signed_by_the_shop(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "demo_site_key").write_text(SITE_KEY + "\n")
    (tmp_path / "demo_site_secret").write_text("fis_secret\n")
    collector = Collector()
    with (
        serving(collector_handler(collector)) as edge,
        demo_site(settings_for(tmp_path, edge)) as website,
        new_page(browser, own_origins=[website, edge]) as watched,
    ):
        watched.page.goto(f"{website}/account")
        watched.page.get_by_label("E-mail").fill("alice@example.com")
        watched.page.get_by_role("button", name="Sign in").click()
        watched.page.get_by_text("You are signed in as alice@example.com").wait_for()
        collector.wait_for_kind("identify")
        watched.page.wait_for_load_state("networkidle")
        watched.assert_clean()
    [beacon] = collector.of_kind("identify")
    assert beacon["identity"] == "alice@example.com"
    assert is_signed("fis_secret", b"alice@example.com", beacon["signature"])


def test_who_signs_in_cannot_write_on_the_page(tmp_path: Path) -> None:
    with demo_site(settings_for(tmp_path)) as website:
        body = urlencode({"email": '"><script>alert(1)</script>'})
        connection = HTTPConnection(urlsplit(website).netloc, timeout=10)
        connection.request("POST", "/account", body)
        answer = connection.getresponse().read().decode()
        connection.request("POST", "/pricing", body)
        assert connection.getresponse().status == 404
        connection.close()
    assert "<script>alert" not in answer


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("width", [360, 1280])
def test_the_pages_fit_a_telephone_and_a_desk(browser: Browser, tmp_path: Path, path: str, width: int) -> None:
    with demo_site(settings_for(tmp_path)) as website, new_page(browser) as watched:
        watched.page.set_viewport_size({"width": width, "height": 800})
        watched.page.goto(website + path)
        assert watched.page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_key_that_is_seeded_later_is_served_from_then_on(tmp_path: Path) -> None:
    with demo_site(settings_for(tmp_path)) as website:
        assert 'data-site-key=""' in fetched(website + "/")[2]
        (tmp_path / "demo_site_key").write_text("seeded\n")
        assert 'data-site-key="seeded"' in fetched(website + "/")[2]


def test_the_key_in_the_environment_comes_before_the_one_that_was_seeded(tmp_path: Path) -> None:
    (tmp_path / "demo_site_key").write_text("seeded")
    settings = settings_for(tmp_path)
    assert demo_site_key(settings, {"DEMO_SITE_KEY": "given"}) == "given"
    assert demo_site_key(settings, {}) == "seeded"


def test_a_key_cannot_break_out_of_its_attribute(tmp_path: Path) -> None:
    (tmp_path / "demo_site_key").write_text('"><script>alert(1)</script>')
    with demo_site(settings_for(tmp_path)) as website:
        assert "<script>alert" not in fetched(website + "/")[2]


def test_every_address_answers_with_its_type_and_nothing_is_left_to_fill_in(tmp_path: Path) -> None:
    with demo_site(settings_for(tmp_path)) as website:
        for path in demo_paths():
            status, content_type, body = fetched(website + path)
            assert status == 200, path
            assert content_type in {"text/html", "text/css", "text/plain", "image/svg+xml"}
            assert "{{" not in body


def test_every_link_leads_somewhere(tmp_path: Path) -> None:
    with demo_site(settings_for(tmp_path)) as website:
        for path in PAGES:
            for link in re.findall(r'href="(/[^"]*)"', fetched(website + path)[2]):
                assert fetched(website + link)[0] == 200, link


@pytest.mark.parametrize("path", ["/../../pyproject.toml", "/%2e%2e/tracker.js", "/nothing", "//etc/passwd"])
def test_nothing_outside_the_folder_is_served(tmp_path: Path, path: str) -> None:
    with demo_site(settings_for(tmp_path)) as website:
        connection = HTTPConnection(urlsplit(website).netloc, timeout=10)
        connection.request("GET", path)
        assert connection.getresponse().status == 404
        connection.close()


def test_head_answers_without_a_body(tmp_path: Path) -> None:
    with demo_site(settings_for(tmp_path)) as website:
        assert fetched(website + "/", "HEAD") == (200, "text/html", "")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_the_process_serves_on_its_port_and_ends_cleanly_when_asked(tmp_path: Path, how: signal.Signals) -> None:
    with demo_server(settings_for(tmp_path), 0) as probe:
        port = probe.server_port
    environment = {**os.environ, "DATA_DIR": str(tmp_path), "DEMO_PORT": str(port), "DEMO_SITE_KEY": "given"}
    process = subprocess.Popen([sys.executable, "-m", "webapp.demo_site"], cwd=ROOT, env=environment)
    try:
        assert 'data-site-key="given"' in eventually_fetched(f"http://localhost:{port}/", process)
        process.send_signal(how)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()


def eventually_fetched(url: str, process: subprocess.Popen[bytes]) -> str:
    """The page, once the process has come up."""
    while process.poll() is None:
        try:
            return fetched(url)[2]
        except ConnectionRefusedError:
            continue
    raise AssertionError(f"the demo website ended with {process.returncode}")
