"""tracker.js in a real Chromium, against a real collector on another origin."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from playwright.sync_api import Browser

from tests.browser_support import new_page
from tests.tracker.pages import HIDDEN, HIDE, QUEUED, SHOWN, visiting, wait_until_answered
from tests.tracker.support import (
    SCRIPT,
    SITE_KEY,
    Answer,
    Collector,
    collector_handler,
    free_port,
    serving,
    stage,
    website_handler,
)
from tests.visits.support import make_known_site, take_beacon

TRY_NOW = "() => { localStorage.removeItem('footfall.pause'); dispatchEvent(new Event('online')) }"
SEND_LAST = """async (edge) => {
    await fetch(edge, {method: 'POST', body: JSON.stringify({id: 'last', kind: 'last'})})
}"""
STORAGE_THROWS = """
Object.defineProperty(window, 'localStorage', {get() { throw new DOMException('denied', 'SecurityError') }});
"""
STORAGE_FULL = "Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError') };"


def test_a_page_that_loads_posts_one_whole_beacon(browser: Browser) -> None:
    with stage() as scene, visiting(browser, scene, "/pricing?plan=yearly#top") as watched:
        (received,) = scene.collector.wait_for_count(1)
        wait_until_answered(watched.page)
        watched.assert_clean()
    beacon = received.beacon
    assert received.path == "/collect"
    assert set(beacon) == {
        "id", "siteKey", "identifier", "pageUrl", "visitedAt", "sentAt", "referrer", "screen", "language",
    }  # fmt: skip
    assert beacon["siteKey"] == SITE_KEY
    assert beacon["pageUrl"] == f"{scene.website}/pricing?plan=yearly"
    assert beacon["referrer"] == ""
    assert beacon["screen"] == "1280x720"
    assert beacon["language"] == "en-US"


def test_the_beacons_id_is_a_uuid_7_of_the_time_of_the_visit(browser: Browser) -> None:
    with stage() as scene, visiting(browser, scene):
        (received,) = scene.collector.wait_for_count(1)
    beacon_id = UUID(received.beacon["id"])
    visited_at = datetime.fromisoformat(received.beacon["visitedAt"])
    assert (beacon_id.version, beacon_id.variant) == (7, "specified in RFC 4122")
    assert abs(datetime.fromtimestamp((beacon_id.int >> 80) / 1000, UTC) - visited_at) < timedelta(milliseconds=50)
    assert abs(datetime.now(UTC) - visited_at) < timedelta(seconds=30)
    assert UUID(received.beacon["identifier"]).version == 7


def test_a_beacon_needs_no_preflight_and_carries_no_cookie(browser: Browser) -> None:
    with stage() as scene, new_page(browser, own_origins=[scene.website, scene.edge]) as watched:
        watched.context.add_cookies([{"name": "signed-in", "value": "yes", "url": scene.edge}])
        watched.page.goto(scene.website)
        (received,) = scene.collector.wait_for_count(1)
        wait_until_answered(watched.page)
    assert received.method == "POST"
    assert received.headers["Content-Type"].startswith("text/plain")
    assert received.headers["Origin"] == scene.website
    assert "Cookie" not in received.headers


def test_a_visitor_keeps_their_identifier_and_each_page_names_the_one_before(browser: Browser) -> None:
    with stage() as scene, visiting(browser, scene, "/first") as watched:
        scene.collector.wait_for_count(1)
        watched.page.evaluate("location.href = '/second'")
        first, second = scene.collector.wait_for_count(2)
    assert second.beacon["referrer"] == f"{scene.website}/first"
    assert second.beacon["identifier"] == first.beacon["identifier"]
    assert second.beacon["id"] != first.beacon["id"]


@pytest.mark.parametrize("path", ["/", "/søk?q=kaffe%20og%20te#top", "/long?q=" + "%C3%A9" * 1_000])
def test_what_the_tracker_sends_the_collector_takes(browser: Browser, path: str) -> None:
    with stage() as scene, visiting(browser, scene, path):
        (received,) = scene.collector.wait_for_count(1)
    now_ms = round(datetime.now(UTC).timestamp() * 1000)
    checked = take_beacon(json.dumps(received.beacon).encode(), now_ms, make_known_site(query_keys=("q",)))
    assert checked.page_url == received.beacon["pageUrl"]


def test_the_endpoint_can_be_set(browser: Browser) -> None:
    with (
        stage(attributes='data-endpoint="/first-party/collect"') as scene,
        visiting(browser, scene, "/plain") as watched,
        watched.page.expect_request("**/first-party/collect") as request,
    ):
        watched.page.goto(scene.website)
    assert request.value.url == f"{scene.website}/first-party/collect"


def test_a_page_in_a_background_tab_counts_only_once_it_is_seen(browser: Browser) -> None:
    with stage() as scene, visiting(browser, scene, "/background", init_script=HIDDEN) as watched:
        with new_page(browser) as other:
            other.page.goto(f"{scene.website}/foreground")
            scene.collector.wait_for_count(1)
        assert scene.collector.paths == ["/foreground"]
        watched.page.evaluate(SHOWN)
        scene.collector.wait_for_count(2)
        watched.page.evaluate(SHOWN)
        wait_until_answered(watched.page)
        assert scene.collector.paths == ["/foreground", "/background"]


def test_a_prerendered_page_counts_only_once_it_is_activated(browser: Browser) -> None:
    rules = (
        '<script type="speculationrules">{"prerender": [{"urls": ["/prerendered"], "eagerness": "immediate"}]}</script>'
    )
    with stage(after=rules) as scene, visiting(browser, scene, "/here") as watched:
        scene.collector.wait_for_count(1)
        watched.page.evaluate("location.href = '/prerendered'")
        scene.collector.wait_for_count(2)
        assert scene.collector.paths == ["/here", "/prerendered"]


def test_a_page_that_returns_from_the_back_forward_cache_counts_again(browser: Browser) -> None:
    remember = (
        "<script>addEventListener('pageshow', (event) => { if (event.persisted) document.title = 'kept' })</script>"
    )
    with stage(before=remember) as scene, visiting(browser, scene, "/kept") as watched:
        wait_until_answered(watched.page)
        watched.page.evaluate("location.href = '/next'")
        scene.collector.wait_for_count(2)
        watched.page.wait_for_url("**/next")
        wait_until_answered(watched.page)
        watched.page.evaluate("history.back()")
        scene.collector.wait_for_count(3)
        assert watched.page.title() == "kept"
        assert scene.collector.paths == ["/kept", "/next", "/kept"]


def test_navigation_within_a_single_page_application_counts_each_path_once(browser: Browser) -> None:
    with stage() as scene, visiting(browser, scene, "/app") as watched:
        scene.collector.wait_for_count(1)
        watched.page.evaluate("history.pushState({}, '', '/app/contacts')")
        scene.collector.wait_for_count(2)
        watched.page.evaluate("history.pushState({}, '', '/app/contacts?sort=name')")
        watched.page.evaluate("history.pushState({}, '', '/app/contacts#end')")
        watched.page.evaluate("history.replaceState({}, '', '/app/contacts/1')")
        scene.collector.wait_for_count(3)
        watched.page.evaluate("history.go(-3)")
        received = scene.collector.wait_for_count(4)
        wait_until_answered(watched.page)
        watched.assert_clean()
    assert scene.collector.paths == ["/app", "/app/contacts", "/app/contacts/1", "/app"]
    assert received[1].beacon["referrer"] == f"{scene.website}/app"
    assert received[3].beacon["referrer"] == f"{scene.website}/app/contacts/1"


def test_history_keeps_its_own_behaviour_under_the_wrapping(browser: Browser) -> None:
    with stage() as scene, visiting(browser, scene) as watched:
        page = watched.page
        scene.collector.wait_for_count(1)
        page.evaluate("history.pushState({step: 2}, '', '/two')")
        assert page.evaluate("[history.state.step, location.pathname]") == [2, "/two"]
        refused = page.evaluate(
            "() => { try { history.pushState({}, '', 'https://other.example/') } catch (e) { return e.name } }"
        )
        assert refused == "SecurityError"


def test_a_beacon_refused_for_the_moment_is_sent_again_under_the_same_id(browser: Browser) -> None:
    with stage() as scene:
        scene.collector.answers = [Answer(500)]
        with visiting(browser, scene) as watched:
            first, second = scene.collector.wait_for_count(2)
            wait_until_answered(watched.page)
    same = {"id", "identifier", "pageUrl", "visitedAt"}
    assert {name: first.beacon[name] for name in same} == {name: second.beacon[name] for name in same}
    assert datetime.fromisoformat(second.beacon["sentAt"]) > datetime.fromisoformat(first.beacon["sentAt"])
    assert second.arrived_at - first.arrived_at >= 0.9


def test_a_timer_that_fires_early_does_not_put_the_retry_off(browser: Browser) -> None:
    early = "{ const exact = setTimeout; window.setTimeout = (work, ms) => exact(work, ms < 5e3 ? ms / 2 : ms) }"
    with stage() as scene:
        scene.collector.answers = [Answer(503, {"Retry-After": "1"})]
        with visiting(browser, scene, init_script=early):
            first, second = scene.collector.wait_for_count(2)
    assert 1.0 <= second.arrived_at - first.arrived_at < 5


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_obeyed_by_every_page_of_the_website(browser: Browser, status: int) -> None:
    with stage() as scene:
        scene.collector.answers = [Answer(status, {"Retry-After": "2"})]
        with visiting(browser, scene, "/told-to-wait") as watched:
            scene.collector.wait_for_count(1)
            watched.page.wait_for_function("localStorage.getItem('footfall.pause')")
            watched.page.goto(f"{scene.website}/next")
            first, second, third = scene.collector.wait_for_count(3)
            wait_until_answered(watched.page)
    assert {second.beacon["id"], third.beacon["id"]} > {first.beacon["id"]}
    assert 2.0 <= second.arrived_at - first.arrived_at < 12  # a busy machine may be late, never early


@pytest.mark.parametrize("status", [400, 403, 404, 413, 422])
def test_a_beacon_refused_for_good_is_not_sent_again(browser: Browser, status: int) -> None:
    with stage() as scene:
        scene.collector.answers = [Answer(status)]
        with visiting(browser, scene, "/refused") as watched:
            wait_until_answered(watched.page)
            watched.page.goto(f"{scene.website}/next")
            scene.collector.wait_for_count(2)
            wait_until_answered(watched.page)
        assert [beacon["pageUrl"] for beacon in scene.collector.beacons] == [
            f"{scene.website}/refused",
            f"{scene.website}/next",
        ]


def test_a_beacon_that_fails_again_and_again_holds_up_no_other(browser: Browser) -> None:
    with stage() as scene:
        scene.collector.answers = [Answer(500)]
        with visiting(browser, scene, "/poison") as watched:
            scene.collector.wait_for_count(1)
            watched.page.evaluate("history.pushState({}, '', '/fresh')")
            received = scene.collector.wait_for_count(3)
    assert [it.beacon["pageUrl"].rsplit("/", 1)[1] for it in received] == ["poison", "fresh", "poison"]


def test_what_one_page_could_not_send_the_next_page_sends(browser: Browser) -> None:
    collector, port = Collector(), free_port()
    head = f"<script>{SCRIPT.content.decode()}</script>".replace(
        "<script>", f'<script data-site-key="{SITE_KEY}" data-endpoint="http://127.0.0.1:{port}/collect">'
    )
    with serving(website_handler(head)) as website, new_page(browser) as watched:
        watched.page.goto(f"{website}/while-the-edge-is-down")
        watched.page.wait_for_function("localStorage.getItem('footfall.pause')")
        watched.page.goto(f"{website}/plain")
        with serving(collector_handler(collector), port):
            watched.page.goto(f"{website}/when-it-is-back")
            collector.wait_for(lambda it: len(set(it.paths)) == 2, "both pages are counted")
            wait_until_answered(watched.page)
    assert sorted(collector.paths) == ["/when-it-is-back", "/while-the-edge-is-down"]


def test_coming_online_sends_what_is_queued_at_once(browser: Browser) -> None:
    with stage() as scene, visiting(browser, scene) as watched:
        wait_until_answered(watched.page)
        watched.context.set_offline(True)
        watched.page.evaluate("history.pushState({}, '', '/offline')")
        watched.page.wait_for_function("localStorage.getItem('footfall.pause')")
        watched.page.evaluate(
            "localStorage.setItem('footfall.pause', JSON.stringify({until: Date.now() + 6e5, failures: 9}))"
        )
        watched.context.set_offline(False)
        scene.collector.wait_for_count(2)
        assert scene.collector.paths == ["/", "/offline"]


def test_a_beacon_unanswered_when_the_page_is_left_goes_out_once_more_under_its_id(browser: Browser) -> None:
    with stage() as scene:
        scene.collector.answers = [Answer(hang=True)]
        with visiting(browser, scene, "/left") as watched:
            scene.collector.wait_for_count(1)
            watched.page.goto(f"{scene.website}/plain")
            first, second = scene.collector.wait_for_count(2)
    assert second.beacon["id"] == first.beacon["id"]
    assert second.headers["Content-Type"].startswith("text/plain")


def test_views_that_wait_behind_a_slow_answer_are_not_lost_when_the_page_is_left(browser: Browser) -> None:
    with stage() as scene:
        scene.collector.answers = [Answer(hang=True)]
        with visiting(browser, scene, "/one") as watched:
            scene.collector.wait_for_count(1)
            watched.page.evaluate("history.pushState({}, '', '/two')")
            watched.page.evaluate("history.pushState({}, '', '/three')")
            watched.page.goto(f"{scene.website}/plain")
            scene.collector.wait_for(lambda it: len(it.paths) == 3, "all three views arrive")


def test_a_page_that_is_hidden_sends_at_once_what_waits_and_leaving_it_sends_nothing_again(browser: Browser) -> None:
    """A telephone may end a hidden tab without a word."""
    with stage() as scene:
        scene.collector.answers = [Answer(hang=True)]
        with visiting(browser, scene, "/one") as watched:
            scene.collector.wait_for_count(1)
            watched.page.evaluate("history.pushState({}, '', '/two')")
            watched.page.evaluate("history.pushState({}, '', '/three')")
            watched.page.evaluate(HIDE)
            scene.collector.wait_for(lambda it: len(it.paths) == 3, "all three views arrive")
            scene.collector.wait_for_count(4)
            watched.page.goto(f"{scene.website}/plain")
            watched.page.evaluate(SEND_LAST, scene.edge)
            scene.collector.wait_for_count(5)
        sent = Counter(beacon["pageUrl"] for beacon in scene.collector.beacons if beacon["id"] != "last")
    assert sorted(scene.collector.paths) == ["/one", "/three", "/two"]
    assert sent == {f"{scene.website}/{page}": count for page, count in (("one", 2), ("two", 1), ("three", 1))}


def test_two_tabs_lose_nothing_of_each_others_queue(browser: Browser) -> None:
    paths = {f"/{tab}/{number}" for tab in ("left", "right") for number in range(8)}
    push = "(tab) => { for (let n = 1; n < 8; n++) history.pushState({}, '', `/${tab}/${n}`) }"
    with stage() as scene:
        scene.collector.standing_answer = Answer(503, {"Retry-After": "3600"})
        with visiting(browser, scene, "/left/0") as watched:
            scene.collector.wait_for_count(1)
            watched.page.wait_for_function("localStorage.getItem('footfall.pause')")
            other = watched.watch(watched.context.new_page())
            other.goto(f"{scene.website}/right/0")
            watched.page.evaluate(push, "left")
            other.evaluate(push, "right")
            watched.page.wait_for_function(f"{QUEUED} === 16")
            watched.page.close()
            scene.collector.standing_answer = Answer()
            other.evaluate(TRY_NOW)
            wait_until_answered(other)
    assert set(scene.collector.paths) == paths


def test_the_queue_holds_a_hundred_beacons_and_forgets_those_of_yesterday(browser: Browser) -> None:
    fill = """() => {
        const put = (id, hoursAgo) => localStorage.setItem('footfall.beacon.' + id, JSON.stringify({
          beacon: {id, siteKey: 'site-key-of-alice', identifier: 'v', pageUrl: location.origin + '/queued/' + id,
                   visitedAt: new Date(Date.now() - hoursAgo * 36e5).toISOString()}, tries: 0, heldAt: 0}))
        for (let n = 0; n < 110; n++) put('0' + (100 + n), n < 105 ? 1 : 25)
        localStorage.setItem('footfall.beacon.broken', '{')
    }"""
    with stage() as scene, visiting(browser, scene, "/plain") as watched:
        watched.page.evaluate(fill)
        watched.page.goto(f"{scene.website}/next")
        wait_until_answered(watched.page)
    # The limit drops the oldest twelve (111 are queued, and one more comes), the age the last five.
    assert len(scene.collector.paths) == 94
    assert f"/queued/0{100 + 12}" in scene.collector.paths
    assert f"/queued/0{100 + 105}" not in scene.collector.paths


def test_a_loop_that_runs_away_is_stopped_at_the_browser(browser: Browser) -> None:
    loop = "() => { for (let n = 0; n < 150; n++) history.replaceState({}, '', '/loop/' + n) }"
    with stage() as scene, visiting(browser, scene) as watched:
        scene.collector.wait_for_count(1)
        watched.page.evaluate(loop)
        wait_until_answered(watched.page)
        assert 20 <= len(scene.collector.received) <= 35


def test_a_visitor_who_opted_out_is_not_counted(browser: Browser) -> None:
    with stage() as scene, visiting(browser, scene, "/plain") as watched:
        watched.page.evaluate("localStorage.setItem('footfall.ignore', 'true')")
        watched.page.goto(f"{scene.website}/not-counted")
        watched.page.evaluate("history.pushState({}, '', '/not-counted-either')")
        watched.page.evaluate("localStorage.removeItem('footfall.ignore')")
        watched.page.goto(f"{scene.website}/counted")
        scene.collector.wait_for_count(1)
        assert scene.collector.paths == ["/counted"]


@pytest.mark.parametrize("hostile", [STORAGE_THROWS, STORAGE_FULL], ids=["storage throws", "storage is full"])
def test_without_storage_visits_still_count_and_retry(browser: Browser, hostile: str) -> None:
    with stage() as scene:
        scene.collector.answers = [Answer(500)]
        with visiting(browser, scene, init_script=hostile) as watched:
            first, second = scene.collector.wait_for_count(2)
            watched.page.evaluate("history.pushState({}, '', '/two')")
            third = scene.collector.wait_for_count(3)[2]
    assert first.beacon["id"] == second.beacon["id"]
    assert third.beacon["identifier"] == first.beacon["identifier"]


@pytest.mark.parametrize(
    "hostile",
    [
        "delete window.fetch;",
        "window.fetch = () => { throw new Error('no') };",
        "window.fetch = () => undefined;",
        "window.fetch = () => Promise.reject(new Error('no'));",
        "Object.defineProperty(window, 'crypto', {value: undefined});",
        "Object.defineProperty(window, 'crypto', {value: {getRandomValues() { throw new Error('no') }}});",
        "window.AbortController = undefined;",
        "JSON.stringify = () => { throw new Error('no') };",
        "Object.freeze(history);",
        "Object.defineProperty(window, 'localStorage', {value: null});",
        "Navigator.prototype.sendBeacon = () => { throw new Error('no') };",
        "Object.defineProperty(document, 'currentScript', {value: null});",
        "window.footfall = 'taken';",
        "Object.defineProperty(window, 'footfall', {value: 1});",
        "Object.freeze(Object.prototype); Object.freeze(Array.prototype); Object.freeze(Function.prototype);",
        "document.hasFocus = () => { throw new Error('no') };",
        "Element.prototype.closest = () => { throw new Error('no') };",
        "window.URL = undefined;",
        "Promise.resolve = () => { throw new Error('no') };",
        "performance.getEntriesByType = undefined;",
        "Object.defineProperty(navigator, 'language', {get() { throw new Error('no') }});",
        "Array.prototype.toJSON = () => 'not an array';",
        "Object.prototype.inherited = () => { throw new Error('no') };",
    ],
)
def test_a_hostile_page_is_never_broken_by_the_tracker(browser: Browser, hostile: str) -> None:
    after = "<script defer src='data:text/javascript,window.worked = true'></script>"
    with stage(after=after) as scene, visiting(browser, scene, init_script=hostile) as watched:
        watched.page.wait_for_function("window.worked")
        watched.page.evaluate("history.pushState({}, '', '/two')")
        assert watched.page.evaluate("location.pathname") == "/two"
        watched.page.goto(f"{scene.website}/plain")
        watched.assert_clean()


@pytest.mark.parametrize("attributes", ["", 'data-site-key=""'])
def test_a_script_without_a_site_key_does_nothing(browser: Browser, attributes: str) -> None:
    collector = Collector()
    with serving(collector_handler(collector)) as edge:
        head = f'<script src="{edge}/tracker.js" {attributes}></script>'
        with serving(website_handler(head)) as website, new_page(browser, own_origins=[website, edge]) as watched:
            watched.page.goto(f"{website}/")
            watched.page.evaluate("history.pushState({}, '', '/two')")
            watched.page.goto(f"{website}/plain")
            assert watched.page.evaluate("Object.keys(localStorage)") == []
            watched.assert_clean()
    assert collector.received == []


def test_a_script_embedded_twice_counts_a_page_once(browser: Browser) -> None:
    again = """<script>addEventListener('load', () => {
        const first = document.querySelector('[data-site-key]'), second = document.createElement('script')
        second.src = first.src
        second.dataset.siteKey = first.dataset.siteKey
        second.onload = () => { window.twice = true }
        document.head.append(second)
    })</script>"""
    with stage(after=again) as scene, visiting(browser, scene) as watched:
        watched.page.wait_for_function("window.twice")
        watched.page.evaluate("history.pushState({}, '', '/two')")
        scene.collector.wait_for_count(2)
        wait_until_answered(watched.page)
        assert [beacon["pageUrl"] for beacon in scene.collector.beacons] == [
            f"{scene.website}/",
            f"{scene.website}/two",
        ]


def test_the_tracker_works_in_a_sandboxed_frame(browser: Browser) -> None:
    frame = (
        '<script>if (top === self) document.write(\'<iframe sandbox="allow-scripts" src="/framed"></iframe>\')</script>'
    )
    with stage(after=frame) as scene, visiting(browser, scene) as watched:
        scene.collector.wait_for_count(2)
        wait_until_answered(watched.page)
        watched.assert_clean()
    assert sorted(scene.collector.paths) == ["/", "/framed"]
