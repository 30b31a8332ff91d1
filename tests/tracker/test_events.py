"""What a page tells by itself: events by function, by attribute and by option, products, and who somebody is."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.tracker.pages import click_without_leaving, visiting, wait_until_answered
from tests.tracker.support import SITE_KEY, Stage, stage
from webapp.visits.snippets import QUEUE

STUB = f"<script>{QUEUE}</script>"
LINKS = """
<a id="out" href="https://other.example/deep/page?secret=1#part">out</a>
<a id="in" href="/inside">in</a>
<a id="file" href="/files/Price%20list.PDF?v=2">file</a>
<a id="named" href="/files/1234" download>named</a>
<a id="foreign-file" href="https://other.example/a.zip">foreign file</a>
<a id="mail" href="mailto:alice@example.com">mail</a>
<a id="deep" href="https://other.example/"><b><i>deep</i></b></a>
<svg><a href="https://other.example/svg"><text id="svg">svg</text></a></svg>
"""
FORM = """
<form id="form" action="/subscribe?source=footer" method="post"><input name="email" value="alice@example.com">
<input name="action" value="shadows"><button>go</button></form>
"""


def told(beacon: dict[str, Any]) -> tuple[str, object]:
    return beacon["name"], beacon.get("props")


def events_of(scene: Stage) -> list[tuple[str, object]]:
    return [told(beacon) for beacon in scene.collector.of_kind("event")]


def test_an_event_carries_its_name_its_properties_and_the_page_it_happened_on(browser: Browser) -> None:
    with stage() as scene, visiting(browser, scene, "/shop?colour=red#top") as watched:
        answer = watched.page.evaluate("footfall('Sign-up', {plan: 'yearly', seats: 3, trial: true})")
        (event,) = scene.collector.wait_for_kind("event")
        wait_until_answered(watched.page)
        watched.assert_clean()
    assert answer is None
    assert told(event) == ("Sign-up", {"plan": "yearly", "seats": 3, "trial": True})
    assert event["pageUrl"] == f"{scene.website}/shop?colour=red"
    assert event["siteKey"] == SITE_KEY
    assert event["identifier"] == scene.collector.of_kind("pageview")[0]["identifier"]


def test_calls_from_before_the_tracker_has_loaded_are_not_lost(browser: Browser) -> None:
    early = STUB + (
        "<script>footfall('Early', {n: 1}); footfall('Bare'); footfall(() => footfall('Called'))\n"
        "footfall.product('SKU-1'); footfall.identify('alice@example.com', 'ab12'); footfall.pageview()</script>"
    )
    with stage(before=early) as scene, visiting(browser, scene) as watched:
        scene.collector.wait_for_count(7)
        wait_until_answered(watched.page)
        watched.assert_clean()
    assert sorted(events_of(scene)) == [("Bare", None), ("Called", None), ("Early", {"n": 1})]
    assert scene.collector.of_kind("product")[0]["sku"] == "SKU-1"
    identified = scene.collector.of_kind("identify")[0]
    assert (identified["identity"], identified["signature"]) == ("alice@example.com", "ab12")
    assert len(scene.collector.of_kind("pageview")) == 2


def test_a_product_view_carries_the_sku_as_text(browser: Browser) -> None:
    with stage() as scene, visiting(browser, scene, "/products/7") as watched:
        watched.page.evaluate("footfall.product(4711)")
        (product,) = scene.collector.wait_for_kind("product")
    assert (product["sku"], product["pageUrl"]) == ("4711", f"{scene.website}/products/7")


def test_a_person_is_told_once_a_visit_and_never_stored_in_words(browser: Browser) -> None:
    with stage() as scene, visiting(browser, scene) as watched:
        watched.page.evaluate("footfall.identify('alice@example.com', 'ab12')")
        (told_first,) = scene.collector.wait_for_kind("identify")
        wait_until_answered(watched.page)
        watched.page.goto(f"{scene.website}/next")
        watched.page.evaluate("footfall.identify('alice@example.com', 'ab12')")
        watched.page.evaluate("footfall('Last')")
        scene.collector.wait_for_kind("event")
        wait_until_answered(watched.page)
        stored = watched.page.evaluate("JSON.stringify(localStorage)")
    assert (told_first["identity"], told_first["signature"]) == ("alice@example.com", "ab12")
    assert len(scene.collector.of_kind("identify")) == 1
    assert len({beacon["identifier"] for beacon in scene.collector.beacons}) == 1
    assert "alice" not in stored


def test_a_second_person_on_one_browser_becomes_a_new_visitor_first(browser: Browser) -> None:
    with stage() as scene, visiting(browser, scene) as watched:
        watched.page.evaluate("footfall.identify('alice@example.com', 'ab12')")
        scene.collector.wait_for_kind("identify")
        watched.page.evaluate("footfall.identify('bob@example.com', 'cd34')")
        alice, bob = scene.collector.wait_for_kind("identify", 2)
        watched.page.evaluate("footfall('After')")
        (after,) = scene.collector.wait_for_kind("event")
    assert alice["identifier"] != bob["identifier"]
    assert after["identifier"] == bob["identifier"]


def test_an_element_declares_its_event_and_its_properties(browser: Browser) -> None:
    body = """<button data-footfall-event="Add to basket" data-footfall-event-sku="SKU-1"
      data-footfall-event-roast-date="Tuesday"><b>Add</b></button>
    <form data-footfall-event="Ask" data-footfall-event-topic="grind"><input id="ask"><button>Ask</button></form>
    <script>document.forms[0].addEventListener('submit', (event) => event.preventDefault())</script>"""
    with stage(body=body) as scene, visiting(browser, scene) as watched:
        watched.page.locator("b").click()
        scene.collector.wait_for_kind("event")
        watched.page.locator("#ask").click()
        watched.page.locator("#ask").press("Enter")
        scene.collector.wait_for_kind("event", 2)
        wait_until_answered(watched.page)
        watched.assert_clean()
    assert events_of(scene) == [
        ("Add to basket", {"sku": "SKU-1", "roast-date": "Tuesday"}),
        ("Ask", {"topic": "grind"}),
    ]


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("#out", ("outbound", {"url": "https://other.example/deep/page"})),
        ("#deep i", ("outbound", {"url": "https://other.example/"})),
        ("#file", ("download", {"url": "{website}/files/Price%20list.PDF"})),
        ("#named", ("download", {"url": "{website}/files/1234"})),
        ("#foreign-file", ("download", {"url": "https://other.example/a.zip"})),
    ],
)
@pytest.mark.parametrize(("kind", "button"), [("click", 0), ("auxclick", 1)])
def test_links_that_lead_away_and_to_files_are_told_by_option(
    browser: Browser, selector: str, expected: tuple[str, dict[str, str]], kind: str, button: int
) -> None:
    with stage(attributes="data-outbound data-downloads", body=LINKS) as scene, visiting(browser, scene) as watched:
        click_without_leaving(watched.page, selector, kind, button)
        (event,) = scene.collector.wait_for_kind("event")
        watched.assert_clean()
    url = expected[1]["url"].replace("{website}", scene.website)
    assert told(event) == (expected[0], {"url": url})


def test_other_links_and_other_buttons_tell_nothing(browser: Browser) -> None:
    with stage(attributes="data-outbound data-downloads", body=LINKS) as scene, visiting(browser, scene) as watched:
        for selector in ("#in", "#mail", "#svg", "body"):
            click_without_leaving(watched.page, selector)
        click_without_leaving(watched.page, "#out", "auxclick", 2)
        watched.page.evaluate("footfall('Last')")
        scene.collector.wait_for_kind("event")
        watched.assert_clean()
    assert events_of(scene) == [("Last", None)]


def test_without_the_options_links_forms_and_missing_pages_tell_nothing(browser: Browser) -> None:
    with stage(attributes='data-outbound="false"', body=LINKS + FORM) as scene:
        with visiting(browser, scene, "/missing") as watched:
            for selector in ("#out", "#file"):
                click_without_leaving(watched.page, selector)
            watched.page.evaluate("document.forms[0].dispatchEvent(new Event('submit', {bubbles: true}))")
            watched.page.evaluate("footfall('Last')")
            scene.collector.wait_for_kind("event")
        assert events_of(scene) == [("Last", None)]


def test_the_endings_of_downloads_can_be_chosen(browser: Browser) -> None:
    body = '<a id="one" href="/a.gpx">a</a><a id="two" href="/a.fit">b</a><a id="three" href="/a.pdf">c</a>'
    with stage(attributes='data-downloads="gpx, fit"', body=body) as scene, visiting(browser, scene) as watched:
        for selector in ("#one", "#two", "#three"):
            click_without_leaving(watched.page, selector)
        scene.collector.wait_for_kind("event", 2)
    expected = [("download", {"url": f"{scene.website}/a.{ending}"}) for ending in ("fit", "gpx")]
    assert sorted(events_of(scene), key=str) == expected


def test_a_link_that_is_really_followed_is_told_and_not_held_up(browser: Browser) -> None:
    body = '<a id="out" href="http://127.0.0.1:9/away">out</a>'
    with stage(attributes="data-outbound", body=body) as scene, visiting(browser, scene) as watched:
        scene.collector.wait_for_count(1)
        watched.page.locator("#out").click(no_wait_after=True)
        (event,) = scene.collector.wait_for_kind("event")
    assert told(event) == ("outbound", {"url": "http://127.0.0.1:9/away"})


def test_a_form_is_told_by_where_it_goes_and_never_by_what_it_holds(browser: Browser) -> None:
    with stage(attributes="data-forms", body=FORM) as scene, visiting(browser, scene) as watched:
        scene.collector.wait_for_count(1)
        watched.page.get_by_role("button", name="go").click(no_wait_after=True)
        (event,) = scene.collector.wait_for_kind("event")
    assert told(event) == ("form", {"action": "/subscribe"})
    assert "alice@" not in str(event)


def test_a_page_that_is_not_there_is_told_once_by_option(browser: Browser) -> None:
    with stage(attributes="data-404") as scene, visiting(browser, scene, "/missing/page?x=1") as watched:
        (event,) = scene.collector.wait_for_kind("event")
        watched.page.evaluate("history.pushState({}, '', '/missing/other')")
        scene.collector.wait_for_kind("pageview", 2)
        watched.page.goto(f"{scene.website}/there")
        scene.collector.wait_for_kind("pageview", 3)
        wait_until_answered(watched.page)
    assert events_of(scene) == [("404", {"path": "/missing/page"})]
    assert event["pageUrl"] == f"{scene.website}/missing/page?x=1"


@pytest.mark.parametrize(
    "call",
    [
        "footfall()",
        "footfall('circle', (() => { const a = {}; a.a = a; return a })())",
        "footfall('throws', {get x() { throw new Error('no') }})",
        "footfall({toString() { throw new Error('no') }})",
        "footfall(() => { throw new Error('no') })",
        "footfall(async () => { throw new Error('no') })",
        "footfall.product(Symbol('no'))",
        "footfall.identify()",
        "footfall.identify(null, {toJSON() { throw new Error('no') }})",
        "footfall.pageview({})",
        "footfall('large', {text: 'x'.repeat(1e6)})",
    ],
)
def test_no_call_however_wrong_reaches_the_page(browser: Browser, call: str) -> None:
    with stage() as scene, visiting(browser, scene) as watched:
        scene.collector.wait_for_count(1)
        assert watched.page.evaluate(call) is None
        watched.page.evaluate("footfall('Last')")
        scene.collector.wait_for(lambda it: any(b.get("name") == "Last" for b in it.beacons), "the next call counts")
        watched.assert_clean()
