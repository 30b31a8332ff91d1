"""A visitor with a real Chromium and the real tracker, among those who send while everything is killed.

Nobody helps the tracker: what it has not delivered when the killing ends it delivers by its own pauses.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from datetime import datetime
from random import Random
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from playwright.sync_api import Page

from tests.browser_support import launch_browser, new_page
from tests.tracker.pages import HIDE, QUEUED, SHOWN
from tests.tracker.support import serving, website_handler
from tests.visits.killing.senders import Ledger
from webapp.visits.backlog import Kind, Row
from webapp.visits.collecting.checks import check_props
from webapp.visits.models import Site

LONGEST_PAUSE_SECONDS = 300 * 1.5
"""For so long does the tracker rest at most, so it may take as long until it is through."""
MOST_QUEUED = 30
"""The tracker keeps 50 and lets go of the oldest; a person who waits that long has stopped clicking."""
KEEP_WHAT_IS_MADE = """{
  const set = Storage.prototype.setItem
  Storage.prototype.setItem = function (key, value) {
    const made = 'made.' + key.slice(16)
    if (key.startsWith('footfall.beacon.') && !(made in localStorage)) set.call(this, made, value)
    return set.call(this, key, value)
  }
}"""
MADE = """() => Object.keys(localStorage).filter((key) => key.startsWith('made.'))
  .map((key) => JSON.parse(localStorage.getItem(key)).beacon)"""
READY = "'product' in (window.footfall || {})"
DEEDS = (
    "(number) => history.pushState({}, '', '/page/' + number)",
    "(number) => footfall('Step', {number})",
    "(number) => footfall.product('SKU-' + number % 7)",
    HIDE,
    SHOWN,
)
Beacon = dict[str, Any]


class Browsing(threading.Thread):
    """One browser on one site, until told to stop, and then until all that its tracker made is answered."""

    def __init__(self, edge_url: str, site: Site, ledger: Ledger, random: Random) -> None:
        super().__init__(daemon=True)
        self._site, self._ledger, self._random = site, ledger, random
        self._website = str(site.origins[0])
        self._snippet = f'<script defer src="{edge_url}/tracker.js" data-site-key="{site.site_key}"></script>'
        self.answers: Counter[str] = Counter()
        self.stopping = threading.Event()

    def run(self) -> None:
        try:
            website, port = website_handler(self._snippet), urlsplit(self._website).port or 0
            with serving(website, port), launch_browser() as browser, new_page(browser) as watched:
                self._visit(watched.page)
        except Exception as error:
            self._ledger.wrong.append(f"the browser: {error!r}")

    def _visit(self, page: Page) -> None:
        page.add_init_script(KEEP_WHAT_IS_MADE)
        page.on("response", lambda answer: self._note(answer.url, str(answer.status)))
        page.on("requestfailed", lambda request: self._note(request.url, "no answer"))
        self._open(page, 0)
        number = 0
        while not self.stopping.is_set():
            number += 1
            if page.evaluate(QUEUED) < MOST_QUEUED:
                self._act(page, number)
            page.wait_for_timeout(self._random.uniform(200, 2500))
        self._come_to_an_end(page)

    def _act(self, page: Page, number: int) -> None:
        """Mostly something on the page; now and then another page, which may find the edge away."""
        if self._random.random() < 0.15:
            self._open(page, number)
        else:
            page.evaluate(self._random.choice(DEEDS), number)

    def _open(self, page: Page, number: int) -> None:
        """A page with its tracker: whom it cannot be loaded for tries again, as people do."""
        page.goto(f"{self._website}/opened/{number}")
        while not page.evaluate(READY):
            page.wait_for_timeout(500)
            if not page.evaluate(READY):
                page.reload()

    def _come_to_an_end(self, page: Page) -> None:
        """Nothing new from now on; the tracker goes on by itself."""
        page.evaluate("localStorage.setItem('footfall.ignore', 'true')")
        while page.evaluate(QUEUED):
            page.wait_for_timeout(200)
        made: list[Beacon] = page.evaluate(MADE)
        with self._ledger.lock:
            self._ledger.accepted.update((UUID(beacon["id"]), self._row_of(beacon)) for beacon in made)

    def _note(self, url: str, outcome: str) -> None:
        if url.endswith("/collect"):
            self.answers[outcome] += 1

    def _row_of(self, beacon: Beacon) -> Row:
        """What a beacon counts as, at the moment of the browser's clock."""
        visited_ms = round(datetime.fromisoformat(beacon["visitedAt"]).timestamp() * 1000)
        kind = Kind[beacon.get("kind", "pageview").upper()]
        return Row(
            self._site.organisation_id.bytes, self._site.id.bytes, UUID(beacon["id"]).bytes, visited_ms, visited_ms,
            beacon["identifier"], beacon["pageUrl"], "", beacon["screen"], kind=int(kind),
            name=beacon.get("name") or beacon.get("sku") or "", props=check_props(beacon.get("props") or {}),
            engaged_ms=beacon.get("engagedMs", 0), scroll=beacon.get("scrollPercent", 0),
        )  # fmt: skip

    def describe(self) -> str:
        """What its requests came to."""
        return f"the browser: {json.dumps(self.answers)}"
