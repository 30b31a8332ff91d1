"""How long a page was looked at, and how far down: what is sent when it is left, hidden or changed."""

from __future__ import annotations

from functools import partial

from playwright.sync_api import Browser, Page

from tests.tracker.pages import HIDE, SHOWN, visiting, wait_until_answered
from tests.tracker.support import Answer, stage

TALL = '<div style="height: 3000px"></div>'
BLUR = """() => {
    document.hasFocus = () => false
    dispatchEvent(new Event('blur'))
}"""
FOCUS = """() => {
    delete document.hasFocus
    dispatchEvent(new Event('focus'))
}"""


looking = partial(visiting, is_looked_at=True)


def look_for(page: Page, milliseconds: int) -> None:
    page.wait_for_timeout(milliseconds)


def test_leaving_a_page_tells_how_long_it_was_looked_at_and_how_far(browser: Browser) -> None:
    with stage(body=TALL) as scene, looking(browser, scene, "/long?page=1") as watched:
        scene.collector.wait_for_count(1)
        watched.page.evaluate("scrollTo(0, 1200)")
        look_for(watched.page, 1300)
        watched.page.evaluate("scrollTo(0, 0)")
        height = watched.page.evaluate("document.documentElement.scrollHeight")
        watched.page.goto(f"{scene.website}/plain")
        (engagement,) = scene.collector.wait_for_kind("engagement")
    assert engagement["pageUrl"] == f"{scene.website}/long?page=1"
    assert 1300 <= engagement["engagedMs"] < 6000
    assert abs(engagement["scrollPercent"] - round((1200 + 720) / height * 100)) <= 1
    assert engagement["identifier"] == scene.collector.of_kind("pageview")[0]["identifier"]


def test_hiding_a_page_tells_it_at_once_and_what_follows_adds_up(browser: Browser) -> None:
    with stage(body=TALL) as scene, looking(browser, scene) as watched:
        scene.collector.wait_for_count(1)
        look_for(watched.page, 1200)
        watched.page.evaluate(HIDE)
        (first,) = scene.collector.wait_for_kind("engagement")
        look_for(watched.page, 2500)
        watched.page.evaluate(SHOWN)
        look_for(watched.page, 1200)
        watched.page.evaluate(HIDE)
        second = scene.collector.wait_for_kind("engagement", 2)[1]
        wait_until_answered(watched.page)
        watched.assert_clean()
    assert first["engagedMs"] >= 1200
    assert 1200 <= second["engagedMs"] < 2500
    assert len(scene.collector.of_kind("pageview")) == 1


def test_time_without_focus_does_not_count(browser: Browser) -> None:
    with stage() as scene, looking(browser, scene) as watched:
        scene.collector.wait_for_count(1)
        look_for(watched.page, 600)
        watched.page.evaluate(BLUR)
        look_for(watched.page, 3000)
        watched.page.evaluate(FOCUS)
        look_for(watched.page, 600)
        watched.page.evaluate(HIDE)
        (engagement,) = scene.collector.wait_for_kind("engagement")
    assert 1200 <= engagement["engagedMs"] < 2900


def test_within_a_single_page_application_it_is_told_for_the_address_before(browser: Browser) -> None:
    with stage() as scene, looking(browser, scene, "/first") as watched:
        scene.collector.wait_for_count(1)
        look_for(watched.page, 1100)
        watched.page.evaluate("history.pushState({}, '', '/second')")
        (first,) = scene.collector.wait_for_kind("engagement")
        look_for(watched.page, 1100)
        watched.page.evaluate("history.pushState({}, '', '/third')")
        second = scene.collector.wait_for_kind("engagement", 2)[1]
    assert (first["pageUrl"], second["pageUrl"]) == (f"{scene.website}/first", f"{scene.website}/second")
    assert first["scrollPercent"] == 100
    assert 1100 <= second["engagedMs"] < 3000


def test_a_page_that_nobody_looked_at_tells_nothing(browser: Browser) -> None:
    with stage() as scene, looking(browser, scene, "/fleeting") as watched:
        scene.collector.wait_for_count(1)
        watched.page.goto(f"{scene.website}/next")
        scene.collector.wait_for_count(2)
        watched.page.goto(f"{scene.website}/plain")
        watched.page.wait_for_timeout(200)
    assert scene.collector.of_kind("engagement") == []


def test_the_previous_page_of_an_excluded_one_is_told_and_the_excluded_one_is_not(browser: Browser) -> None:
    with stage(attributes='data-exclude="/secret*"') as scene, looking(browser, scene, "/open") as watched:
        scene.collector.wait_for_count(1)
        look_for(watched.page, 1100)
        watched.page.evaluate("history.pushState({}, '', '/secret/1')")
        scene.collector.wait_for_kind("engagement")
        look_for(watched.page, 1100)
        watched.page.evaluate("history.pushState({}, '', '/end')")
        scene.collector.wait_for_kind("pageview", 2)
    assert [beacon["pageUrl"] for beacon in scene.collector.of_kind("engagement")] == [f"{scene.website}/open"]
    assert "secret" not in str([beacon["pageUrl"] for beacon in scene.collector.beacons])


def test_what_is_told_on_leaving_is_kept_until_it_is_answered(browser: Browser) -> None:
    with stage() as scene, looking(browser, scene, "/left") as watched:
        scene.collector.wait_for_count(1)
        wait_until_answered(watched.page)
        look_for(watched.page, 1100)
        scene.collector.standing_answer = Answer(503)
        watched.page.goto(f"{scene.website}/plain")
        (engagement,) = scene.collector.wait_for_kind("engagement")
        kept = watched.page.evaluate("Object.values(localStorage).join()")
    assert engagement["id"] in kept


def test_what_the_first_person_read_is_not_the_seconds(browser: Browser) -> None:
    with stage() as scene, looking(browser, scene) as watched:
        watched.page.evaluate("footfall.identify('alice@example.com', 'ab12')")
        look_for(watched.page, 1200)
        watched.page.evaluate("footfall.identify('bob@example.com', 'cd34')")
        alice, bob = scene.collector.wait_for_kind("identify", 2)
        (read,) = scene.collector.wait_for_kind("engagement")
    assert read["identifier"] == alice["identifier"] != bob["identifier"]
