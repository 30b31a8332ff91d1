"""A real Chromium for tests: found on the machine, or a failure that says how to get one.

    with launch_browser() as browser, new_page(browser, own_origins=[url]) as watched:
        watched.page.goto(url)
        watched.assert_clean()

Playwright's synchronous interface keeps an event loop running in the thread while a browser is open, and
`asyncio.run` refuses to work there meanwhile. So keep browser fixtures at module scope or narrower.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, sync_playwright

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
NO_CHROMIUM = (
    "These tests need Chromium, and there is none on this machine. Install it (`apt-get install chromium` as root, "
    "or `.venv/bin/playwright install chromium`), or name a browser: CHROMIUM=/path/to/chromium."
)
QUIET_ARGUMENTS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# Playwright switches the back-forward cache off; people's browsers have it on.
BACK_FORWARD_CACHE_OFF = "--disable-back-forward-cache"
# A headless browser says so, and is a bot to our own collector; people's browsers do not. It is told to the browser and
# not to a page: what a page sends while it is left would go out under the other name.
USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
LOCAL_SCHEMES = frozenset({"data", "blob", "about"})


class NoChromiumError(AssertionError):
    """No browser was found: the test fails, it is not skipped."""


def chromium_path(installed_by_playwright: str = "") -> str:
    """The Chromium to drive: `CHROMIUM`, one on the path, or the one that Playwright installed."""
    named = os.environ.get("CHROMIUM")
    candidates = [named] if named else [*CHROMIUM_NAMES, installed_by_playwright]
    for candidate in candidates:
        path = shutil.which(candidate) if candidate else None
        if path:
            return path
    raise NoChromiumError(NO_CHROMIUM)


def chromium_arguments() -> list[str]:
    """Quiet, and without the sandbox for root, whom Chromium would refuse to serve in one."""
    return [*QUIET_ARGUMENTS, f"--user-agent={USER_AGENT}", *(["--no-sandbox"] if os.geteuid() == 0 else [])]


@contextmanager
def launch_browser(*, back_forward_cache: bool = False, arguments: Iterable[str] = ()) -> Iterator[Browser]:
    """A headless Chromium, closed at the end; `arguments` are added to its command line."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium_path(playwright.chromium.executable_path),
            args=[*chromium_arguments(), *arguments],
            ignore_default_args=[BACK_FORWARD_CACHE_OFF] if back_forward_cache else None,
        )
        try:
            yield browser
        finally:
            browser.close()


def origin_of(url: str) -> str:
    """Scheme, host and port of an address."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


@dataclass
class WatchedPage:
    """A page and what went wrong on it: errors in the console, and requests to origins that are not ours."""

    page: Page
    own_origins: frozenset[str]
    console_errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    @property
    def context(self) -> BrowserContext:
        return self.page.context

    @property
    def foreign_requests(self) -> list[str]:
        """Requests to any origin but ours."""
        network = [url for url in self.requests if urlsplit(url).scheme not in LOCAL_SCHEMES]
        return [url for url in network if origin_of(url) not in self.own_origins]

    def assert_clean(self) -> None:
        """Fail if the console holds an error or a request went to another site."""
        assert self.console_errors == [], f"the console holds errors: {self.console_errors}"
        assert self.foreign_requests == [], f"requests went to other sites: {self.foreign_requests}"

    def watch(self, page: Page) -> Page:
        """Record what this page does too (a second tab, a pop-up)."""
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.console_errors.append(f"uncaught: {error}"))
        page.on("request", self._on_request)
        return page

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.console_errors.append(f"{message.text} ({message.location.get('url', '')})")

    def _on_request(self, request: Request) -> None:
        self.requests.append(request.url)


@contextmanager
def new_page(
    browser: Browser, *, own_origins: Iterable[str] = (), timeout_ms: float = 15_000, **context_options: Any
) -> Iterator[WatchedPage]:
    """A fresh page in a browser context of its own (cookies and storage are empty), watched from the start.

    `own_origins` may be addresses; everything else that the page asks for counts as another site.
    """
    context = browser.new_context(**context_options)
    context.set_default_timeout(timeout_ms)
    try:
        page = context.new_page()
        watched = WatchedPage(page, frozenset(map(origin_of, own_origins)))
        watched.watch(page)
        yield watched
    finally:
        context.close()
