"""What tests of the tracker do to a page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page

from tests.browser_support import WatchedPage, new_page
from tests.tracker.support import Stage

QUEUED = "Object.keys(localStorage).filter((key) => key.startsWith('footfall.beacon.')).length"
HIDDEN = "Object.defineProperty(document, 'hidden', {value: true, configurable: true});"
HIDE = f"() => {{ {HIDDEN} document.dispatchEvent(new Event('visibilitychange')) }}"
SHOWN = """() => {
    delete document.hidden
    document.dispatchEvent(new Event('visibilitychange'))
}"""
CLICK_WITHOUT_LEAVING = """([selector, type, button]) => {
    const stay = (event) => event.preventDefault()
    addEventListener(type, stay)
    const event = new MouseEvent(type, {bubbles: true, cancelable: true, button})
    document.querySelector(selector).dispatchEvent(event)
    removeEventListener(type, stay)
}"""


@contextmanager
def visiting(browser: Browser, scene: Stage, path: str = "/", init_script: str = "") -> Iterator[WatchedPage]:
    """A page of the stage's website, open in a browser context of its own."""
    with new_page(browser, own_origins=[scene.website, scene.edge]) as watched:
        if init_script:
            watched.page.add_init_script(init_script)
        watched.page.goto(scene.website + path)
        yield watched


def wait_until_answered(page: Page) -> None:
    page.wait_for_function(f"{QUEUED} === 0")


def click_without_leaving(page: Page, selector: str, kind: str = "click", button: int = 0) -> None:
    """A click on a link that the page itself keeps from being followed."""
    page.evaluate(CLICK_WITHOUT_LEAVING, [selector, kind, button])
