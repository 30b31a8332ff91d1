"""The options of the snippet: what is left to the page, left out, or left unknown."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Browser

from tests.browser_support import new_page
from tests.tracker.pages import SHOWN, visiting, wait_until_answered
from tests.tracker.support import Answer, stage
from webapp.visits.snippets import QUEUE

DNT = "Object.defineProperty(Navigator.prototype, 'doNotTrack', {get: () => '1'});"
GPC = "Object.defineProperty(Navigator.prototype, 'globalPrivacyControl', {get: () => true, configurable: true});"
PRERENDERING = "Object.defineProperty(document, 'prerendering', {value: true, configurable: true});"
ACTIVATE = "() => { delete document.prerendering; document.dispatchEvent(new Event('prerenderingchange')) }"


def test_with_auto_off_pages_count_only_when_the_page_says_so(browser: Browser) -> None:
    with stage(attributes='data-auto="false"') as scene, visiting(browser, scene, "/start") as watched:
        watched.page.evaluate("history.pushState({}, '', '/step')")
        watched.page.evaluate("footfall('Ready')")
        scene.collector.wait_for_kind("event")
        assert scene.collector.paths == []
        watched.page.evaluate("footfall.pageview()")
        scene.collector.wait_for_kind("pageview")
        assert scene.collector.paths == ["/step"]


@pytest.mark.parametrize(
    ("path", "is_counted"),
    [
        ("/admin", False),
        ("/admin/users/7", False),
        ("/administrators", True),
        ("/shop/preview", False),
        ("/shop/preview/more", True),
        ("/a+b.html", False),
        ("/aab.html", True),
        ("/", True),
    ],
)
def test_excluded_pages_tell_nothing_at_all(browser: Browser, path: str, is_counted: bool) -> None:
    attributes = 'data-exclude="/admin, /admin/*,*/preview, /a+b.html,"'
    with stage(attributes=attributes) as scene, visiting(browser, scene, path) as watched:
        watched.page.evaluate("footfall('Here'); footfall.product('SKU-1'); history.pushState({}, '', '/end')")
        scene.collector.wait_for(lambda it: "/end" in it.paths, "the page after it is counted")
        wait_until_answered(watched.page)
    assert (path in scene.collector.paths) is is_counted
    assert bool(scene.collector.of_kind("event")) is is_counted
    assert bool(scene.collector.of_kind("product")) is is_counted


def test_with_hash_the_fragment_is_a_page_of_its_own(browser: Browser) -> None:
    with stage(attributes="data-hash") as scene, visiting(browser, scene, "/app#/one") as watched:
        scene.collector.wait_for_count(1)
        watched.page.evaluate("location.hash = '/two'")
        scene.collector.wait_for_count(2)
        watched.page.evaluate("history.back()")
        scene.collector.wait_for_count(3)
        wait_until_answered(watched.page)
    assert scene.collector.paths == ["/app#/one", "/app#/two", "/app#/one"]


def test_without_hash_the_fragment_is_no_page_and_is_never_sent(browser: Browser) -> None:
    with stage() as scene, visiting(browser, scene, "/app#/one") as watched:
        watched.page.evaluate("location.hash = '/two'")
        watched.page.evaluate("history.pushState({}, '', '/end#x')")
        scene.collector.wait_for_count(2)
    assert scene.collector.paths == ["/app", "/end"]


def test_cookieless_means_no_identifier_and_nothing_stored(browser: Browser) -> None:
    with stage(attributes="data-cookieless") as scene, visiting(browser, scene, "/plain") as watched:
        watched.page.evaluate(
            "Object.assign(localStorage, {'footfall.identifier': 'old', 'footfall.ignore': 'false', other: 'kept'})"
        )
        watched.page.goto(f"{scene.website}/quiet")
        watched.page.evaluate("footfall('Here'); footfall.identify('alice@example.com', 'ab12')")
        scene.collector.wait_for_count(2)
        kept = watched.page.evaluate("JSON.stringify([localStorage, sessionStorage, document.cookie])")
    assert all("identifier" not in beacon for beacon in scene.collector.beacons)
    assert scene.collector.of_kind("identify") == []
    assert json.loads(kept) == [{"footfall.ignore": "false", "other": "kept"}, {}, ""]


def test_cookieless_beacons_are_sent_again_as_long_as_the_page_lives(browser: Browser) -> None:
    with stage(attributes="data-cookieless") as scene:
        scene.collector.answers = [Answer(500)]
        with visiting(browser, scene):
            first, second = scene.collector.wait_for_count(2)
    assert first.beacon["id"] == second.beacon["id"]


def test_own_visits_stay_off_where_nothing_else_is_stored(browser: Browser) -> None:
    with stage(attributes="data-cookieless") as scene, visiting(browser, scene, "/plain") as watched:
        watched.page.evaluate("localStorage.setItem('footfall.ignore', 'true')")
        watched.page.goto(f"{scene.website}/mine")
        watched.page.evaluate("footfall('Mine'); localStorage.removeItem('footfall.ignore')")
        watched.page.goto(f"{scene.website}/theirs")
        scene.collector.wait_for_count(1)
    assert scene.collector.paths == ["/theirs"]


@pytest.mark.parametrize("wish", [DNT, GPC], ids=["Do Not Track", "Global Privacy Control"])
def test_who_does_not_want_to_be_tracked_is_not_where_the_site_respects_it(browser: Browser, wish: str) -> None:
    with stage(attributes="data-respect-dnt data-outbound") as scene:
        with visiting(browser, scene, "/plain", init_script=wish) as watched:
            watched.page.evaluate("localStorage.setItem('footfall.identifier', 'from before')")
            watched.page.goto(f"{scene.website}/unwanted")
            watched.page.evaluate("footfall('Here', {}); footfall.product('SKU-1')")
            watched.page.goto(f"{scene.website}/plain")
            assert watched.page.evaluate("Object.keys(localStorage)") == []
            watched.assert_clean()
        with visiting(browser, scene, "/wanted"):
            scene.collector.wait_for_count(1)
    assert scene.collector.paths == ["/wanted"]


@pytest.mark.parametrize("wish", [DNT, GPC], ids=["Do Not Track", "Global Privacy Control"])
def test_without_the_option_the_servers_own_rule_decides(browser: Browser, wish: str) -> None:
    with stage() as scene, visiting(browser, scene, init_script=wish):
        scene.collector.wait_for_count(1)


def test_a_change_of_the_query_is_a_page_where_the_site_keeps_the_key(browser: Browser) -> None:
    steps = ["/list?q=a", "/list?q=a&sort=name", "/list?sort=age&q=a&page=2", "/list?q=a#end", "/hidden?q=b"]
    with (
        stage(attributes='data-query="q,page" data-exclude="/hidden"') as scene,
        visiting(browser, scene, "/list") as watched,
    ):
        for step in steps:
            watched.page.evaluate("(step) => history.pushState({}, '', step)", step)
        watched.page.evaluate("footfall('Last')")
        watched.page.evaluate("history.pushState({}, '', '/end')")
        scene.collector.wait_for(lambda it: "/end" in it.paths, "the last page counts")
        wait_until_answered(watched.page)
    seen = sorted(scene.collector.paths)
    assert seen == sorted(["/list", "/list?q=a", "/list?sort=age&q=a&page=2", "/list?q=a", "/end"])


def test_a_link_switches_ones_own_visits_off_and_on_again(browser: Browser) -> None:
    with stage() as scene, visiting(browser, scene, "/mine#footfall-ignore") as watched:
        assert watched.page.evaluate("localStorage.getItem('footfall.ignore')") == "true"
        watched.page.goto(f"{scene.website}/mine-too")
        watched.page.evaluate("footfall('Mine')")
        watched.page.evaluate("location.hash = 'footfall-count'")
        watched.page.wait_for_function("localStorage.getItem('footfall.ignore') !== 'true'")
        watched.page.goto(f"{scene.website}/counted")
        scene.collector.wait_for_count(1)
        wait_until_answered(watched.page)
    assert scene.collector.paths == ["/counted"]


def test_a_page_that_is_prepared_waits_with_everything_until_it_is_shown(browser: Browser) -> None:
    early = f"<script>{QUEUE}\nfootfall('Early')</script>"
    with stage(before=early) as scene, visiting(browser, scene, "/prepared", init_script=PRERENDERING) as watched:
        watched.page.evaluate("footfall('Still early')")
        with new_page(browser) as other:
            other.page.goto(f"{scene.website}/seen")
            scene.collector.wait_for_count(2)
        assert scene.collector.paths == ["/seen"]
        watched.page.evaluate(ACTIVATE)
        scene.collector.wait_for_count(5)
        watched.page.evaluate(SHOWN)
        wait_until_answered(watched.page)
    assert scene.collector.paths == ["/seen", "/prepared"]
    told = sorted(beacon["name"] for beacon in scene.collector.of_kind("event"))
    assert told == ["Early", "Early", "Still early"]


@pytest.mark.parametrize(
    "policy",
    ["default-src 'self' 'unsafe-inline'; script-src * 'unsafe-inline'; connect-src 'none'", "sandbox allow-scripts"],
)
def test_a_policy_that_forbids_sending_or_storing_breaks_nothing(browser: Browser, policy: str) -> None:
    with stage(headers={"Content-Security-Policy": policy}) as scene, visiting(browser, scene) as watched:
        watched.page.evaluate("footfall('Here')")
        watched.page.evaluate("history.pushState({}, '', location.href + 'two')")
        assert watched.page.evaluate("typeof footfall.pageview") == "function"
        assert [error for error in watched.console_errors if error.startswith("uncaught")] == []
