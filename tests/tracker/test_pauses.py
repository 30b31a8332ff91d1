"""How long the tracker leaves a server alone that could not answer: growing pauses, jitter, and what it was told."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.tracker.pages import visiting
from tests.tracker.support import Answer, stage

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
PAUSED = """(failures) => {
    const pause = JSON.parse(localStorage.getItem('footfall.pause') || '{}')
    return pause.failures === failures && pause
}"""
GO_ON = """() => {
    const pause = JSON.parse(localStorage.getItem('footfall.pause'))
    localStorage.setItem('footfall.pause', JSON.stringify({...pause, until: 0}))
    footfall('Again')
}"""


def standing_still(random: float) -> str:
    """A page whose clock stands, so that a pause is exactly as long as it was made, and for which chance is known."""
    return f"Date.now = () => {NOW_MS}; Math.random = () => {random}"


def pause_of(page: Page, failures: int) -> dict[str, Any]:
    found: dict[str, Any] = page.wait_for_function(PAUSED, arg=failures).json_value()
    return found


@pytest.mark.parametrize(("random", "jitter"), [(0, 1), (0.5, 1.25), (0.999, 1.4995)])
def test_pauses_double_up_to_five_minutes_with_jitter(browser: Browser, random: float, jitter: float) -> None:
    with stage() as scene:
        scene.collector.standing_answer = Answer(500)
        with visiting(browser, scene, init_script=standing_still(random)) as watched:
            waits = []
            for failures in range(1, 12):
                waits.append(pause_of(watched.page, failures)["until"] - NOW_MS)
                watched.page.evaluate(GO_ON)
    seconds = [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert waits == pytest.approx([1000 * each * jitter for each in seconds], abs=1)


@pytest.mark.parametrize(("random", "wait_ms"), [(0, 120_000), (0.5, 150_000)])
@pytest.mark.parametrize("told", ["120", format_datetime(NOW.replace(minute=2), usegmt=True)])
def test_retry_after_is_understood_as_seconds_and_as_a_date(
    browser: Browser, told: str, random: float, wait_ms: int
) -> None:
    """Never earlier than told, and not all browsers at the same moment."""
    with stage() as scene:
        scene.collector.standing_answer = Answer(503, {"Retry-After": told})
        with visiting(browser, scene, init_script=standing_still(random)) as watched:
            pause = pause_of(watched.page, 1)
    assert (pause["until"] - NOW_MS, pause["told"]) == (wait_ms, True)


@pytest.mark.parametrize("told", [format_datetime(NOW.replace(minute=0, hour=11), usegmt=True), "soon", "-5", "0"])
def test_a_retry_after_that_says_nothing_is_a_failure_like_others(browser: Browser, told: str) -> None:
    with stage() as scene:
        scene.collector.standing_answer = Answer(503, {"Retry-After": told})
        with visiting(browser, scene, init_script=standing_still(0)) as watched:
            pause = pause_of(watched.page, 1)
    assert (pause["until"] - NOW_MS, pause["told"]) == (1000, False)


def test_nobody_is_told_to_wait_for_longer_than_a_day(browser: Browser) -> None:
    with stage() as scene:
        scene.collector.standing_answer = Answer(503, {"Retry-After": "9999999"})
        with visiting(browser, scene, init_script=standing_still(0)) as watched:
            pause = pause_of(watched.page, 1)
    assert pause["until"] - NOW_MS == 86_400_000
