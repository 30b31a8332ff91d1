"""The tracker in a real Chromium while the real edge is killed under it: nothing is lost, nothing counts twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.error import URLError
from urllib.request import urlopen
from uuid import UUID

from apiflask import APIFlask
from playwright.sync_api import Browser

from tests.browser_support import new_page
from tests.conftest import Person
from tests.tracker.pages import HIDE, QUEUED, SHOWN
from tests.tracker.support import ROOT, free_port, serving, website_handler
from tests.visits.support import add_site, count_all, scalar
from webapp.cli_serve import edge_program
from webapp.config import Settings, settings_from
from webapp.lib.redis import beacons_client
from webapp.visits import backlog

KILLS = 6
NOTE_WHAT_IS_MADE = """{
  const set = Storage.prototype.setItem
  Storage.prototype.setItem = function (key, value) {
    if (key.startsWith('footfall.beacon.')) set.call(this, 'made.' + key.slice(16), '')
    return set.call(this, key, value)
  }
}"""
MADE = "Object.keys(localStorage).filter((key) => key.startsWith('made.')).map((key) => key.slice(5))"
ACT = """(number) => {
  history.pushState({}, '', '/page/' + number)
  footfall('Step', {number})
  footfall.product('SKU-' + number)
}"""
READY = "'product' in (window.footfall || {})"
TRY_NOW = "() => { localStorage.removeItem('footfall.pause'); dispatchEvent(new Event('online')) }"


class EdgeProcess:
    """The edge as `footfall edge` runs it, on one port, killed and started again."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._environment = {**os.environ, "EDGE_PORT": str(self.port), "EDGE_URL": self.url}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = edge_program(settings_from(self._environment), "127.0.0.1")
        environment = {**self._environment, **program.environment}
        self._process = subprocess.Popen(program.command, cwd=ROOT, env=environment)

    def wait_until_it_serves(self) -> None:
        while True:
            assert self._process is not None
            assert self._process.poll() is None, "the edge ended"
            try:
                with urlopen(f"{self.url}/healthz", timeout=2):
                    return
            except (URLError, OSError):
                time.sleep(0.05)

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()


@contextmanager
def real_edge() -> Iterator[EdgeProcess]:
    edge = EdgeProcess()
    edge.start()
    try:
        edge.wait_until_it_serves()
        yield edge
    finally:
        edge.kill()


def accepted(settings: Settings) -> tuple[set[UUID], list[str]]:
    """The ids of all beacons that Redis has, each once, and why others were left out."""
    with beacons_client(settings) as client:
        entries = backlog.read_after(client, backlog.START, 10**6)
    rows = [row for entry in entries for row in backlog.decode_rows(entry.content)]
    dropped = [row for row in rows if row.kind == backlog.Kind.DROPPED]
    return {UUID(bytes=row.id) for row in rows if row not in dropped}, [row.name for row in dropped]


def test_all_that_a_browser_tells_while_the_edge_is_killed_counts_once(
    app: APIFlask, alice: Person, services: Settings, browser: Browser
) -> None:
    moments = random.Random(os.environ.get("PYTEST_SEED", "5"))
    website_port = free_port()
    website = f"http://127.0.0.1:{website_port}"
    site = add_site(app, alice.organisation_id, website)
    with real_edge() as edge, new_page(browser) as watched:
        snippet = f'<script defer src="{edge.url}/tracker.js" data-site-key="{site.site_key}"></script>'
        page = watched.page
        page.add_init_script(NOTE_WHAT_IS_MADE)
        with serving(website_handler(snippet), website_port):
            page.goto(f"{website}/start")
            page.wait_for_function(READY)
            for number in range(KILLS):
                page.wait_for_timeout(moments.uniform(0, 1500))
                page.evaluate(ACT, number)
                page.wait_for_timeout(moments.uniform(0, 30))
                edge.kill()
                page.evaluate(ACT, f"{number}-away")
                page.wait_for_timeout(1100)
                page.evaluate(HIDE)
                page.evaluate(SHOWN)
                edge.start()
                page.wait_for_timeout(moments.uniform(0, 800))
                edge.wait_until_it_serves()
                page.goto(f"{website}/next/{number}")
                page.wait_for_function(READY)
            page.evaluate("localStorage.setItem('footfall.ignore', 'true')")  # or closing the page would tell something
            page.evaluate(TRY_NOW)
            page.wait_for_function(f"{QUEUED} === 0", timeout=60_000)
            made = {UUID(text) for text in page.evaluate(MADE)}
    assert len(made) > KILLS * 8
    taken, left_out = accepted(services)
    assert (taken - made, made - taken, left_out) == (set(), set(), [])
    count_all(app, services)
    assert scalar(services, "SELECT sum(greatest(octet_length(ids) / 16, 1)) FROM seen") == len(made)
