"""A real Firefox for tests, the one that people use: driven by Mozilla's own Marionette.

Playwright drives a Firefox of its own making only, which it fetches from its makers' server; this one comes from the
distribution, as Chromium does.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from marionette_driver.marionette import Marionette

FIREFOX_NAMES = ("firefox-esr", "firefox")
NO_FIREFOX = (
    "These tests need Firefox, and there is none on this machine. Install it (`apt-get install firefox-esr` as root), "
    "or name one: FIREFOX=/path/to/firefox."
)
WAIT_SECONDS = 15.0
PREFERENCES = {
    "app.normandy.enabled": False,
    "browser.safebrowsing.update.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,none",
    "toolkit.telemetry.enabled": False,
}


class NoFirefoxError(AssertionError):
    """No browser was found: the test fails, it is not skipped."""


def firefox_path() -> str:
    """The Firefox to drive: `FIREFOX`, or one on the path."""
    named = os.environ.get("FIREFOX")
    found = next(filter(None, map(shutil.which, [named] if named else FIREFOX_NAMES)), None)
    if found is None:
        raise NoFirefoxError(NO_FIREFOX)
    return str(Path(found).resolve())


@contextmanager
def launch_firefox(folder: Path) -> Iterator[Firefox]:
    """A headless Firefox with an empty profile; what it says goes to a file in the folder."""
    client = Marionette(
        bin=firefox_path(), headless=True, port=0, gecko_log=str(folder / "gecko.log"), prefs=PREFERENCES,
        workspace=str(folder), app_args=["-remote-allow-system-access"],
    )  # fmt: skip
    try:
        client.start_session()
        yield Firefox(client)
    finally:
        client.quit()
        client.cleanup()


class Firefox:
    """One page of it at a time, asked as little as tests need."""

    def __init__(self, client: Marionette) -> None:
        self._client = client

    def open(self, url: str) -> None:
        """Go there, and wait until it has loaded."""
        self._client.navigate(url)

    def run(self, script: str, *arguments: object) -> Any:
        """What the page's own script returns; it sees what the page sees."""
        return self._client.execute_script(script, script_args=list(arguments), sandbox=None)

    def wait_until(self, expression: str) -> None:
        """Wait until the page says so."""
        self.wait_for(lambda: bool(self.run(f"return Boolean({expression})")), expression)

    def wait_for(self, holds: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while not holds():
            assert time.monotonic() < deadline, what
            time.sleep(0.05)

    def click(self, selector: str) -> None:
        """A click as of a hand, on what is really there."""
        self._client.find_element("css selector", selector).click()

    @contextmanager
    def preferences(self, values: Mapping[str, bool]) -> Iterator[None]:
        """As if it had been chosen in the browser's own settings."""
        before = {name: self._client.get_pref(name) for name in values}
        self._client.set_prefs(values)
        try:
            yield
        finally:
            for name, value in before.items():
                self._client.clear_pref(name) if value is None else self._client.set_pref(name, value)

    @contextmanager
    def background_tab(self, url: str) -> Iterator[Callable[[], None]]:
        """A page in a tab behind the one that is seen; what is yielded brings it to the front."""
        seen = self._client.current_window_handle
        opened = self._client.open(type="tab", focus=False)["handle"]
        self._client.switch_to_window(opened, focus=False)
        self.wait_until("document.hidden")  # a tab that has just been made is not yet
        self._client.navigate(url)
        try:
            yield lambda: self._client.switch_to_window(opened, focus=True)
        finally:
            self._client.close()
            self._client.switch_to_window(seen)
