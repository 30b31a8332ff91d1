"""The tracker's journeys in a real Firefox."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.tracker.firefox import Firefox, launch_firefox
from tests.tracker.pages import QUEUED
from tests.tracker.support import Answer, Stage, stage
from webapp.visits.snippets import QUEUE

ERRORS = """<script>
window.errors = []
const note = (event) => errors.push(String(event.message || event.reason))
addEventListener('error', note)
addEventListener('unhandledrejection', note)
</script>"""
LINKS = """<a id="out" href="https://other.example/a?secret=1">out</a> <a id="file" href="/price.pdf">file</a>
<button id="buy" data-footfall-event="Buy" data-footfall-event-sku="SKU-1">Buy</button>
<form id="form" action="/sent"><input name="email" value="alice@example.com"><button id="send">Send</button></form>
<script>document.getElementById('out').addEventListener('click', (event) => event.preventDefault())
document.getElementById('file').addEventListener('click', (event) => event.preventDefault())</script>"""


@pytest.fixture(scope="module")
def firefox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    folder: Path = tmp_path_factory.mktemp("firefox")
    with launch_firefox(folder) as launched:
        yield launched


@contextmanager
def visited(firefox: Firefox, path: str = "/", attributes: str = "", body: str = "") -> Iterator[Stage]:
    """A stage whose website is open; at the end the page must have seen no error."""
    with stage(before=f"{ERRORS}<script>{QUEUE}</script>", attributes=attributes, body=body) as scene:
        firefox.open(scene.website + path)
        yield scene
        assert firefox.run("return window.errors || []") == []


def wait_until_answered(firefox: Firefox) -> None:
    firefox.wait_until(f"{QUEUED} === 0")


def test_a_page_and_the_pages_within_it_count_once_each(firefox: Firefox) -> None:
    with visited(firefox, "/app?from=letter#top") as scene:
        scene.collector.wait_for_count(1)
        firefox.run("history.pushState({}, '', '/app/contacts')")
        scene.collector.wait_for_count(2)
        firefox.run("history.pushState({}, '', '/app/contacts?sort=name'); history.replaceState({}, '', '/app/one')")
        scene.collector.wait_for_count(3)
        firefox.run("history.go(-2)")
        received = scene.collector.wait_for_count(4)
        wait_until_answered(firefox)
    assert scene.collector.paths == ["/app?from=letter", "/app/contacts", "/app/one", "/app?from=letter"]
    assert received[0].headers["Content-Type"].startswith("text/plain")
    assert {it.method for it in received} == {"POST"}
    assert received[0].beacon["language"]


def test_a_page_that_returns_from_the_back_forward_cache_counts_again(firefox: Firefox) -> None:
    with visited(firefox, "/kept") as scene:
        wait_until_answered(firefox)
        firefox.run("window.isTheSame = true")
        firefox.open(f"{scene.website}/next")
        scene.collector.wait_for_count(2)
        wait_until_answered(firefox)
        firefox.run("history.back()")
        scene.collector.wait_for(lambda it: len(it.paths) == 3, "the page counts again")
        assert firefox.run("return window.isTheSame")
    assert scene.collector.paths == ["/kept", "/next", "/kept"]


def test_a_page_in_a_background_tab_counts_only_once_it_is_seen(firefox: Firefox) -> None:
    with visited(firefox, "/plain") as scene, firefox.background_tab(f"{scene.website}/behind") as show:
        assert firefox.run("return document.hidden")
        time.sleep(0.5)
        assert scene.collector.received == []
        show()
        scene.collector.wait_for_count(1)
        assert scene.collector.paths == ["/behind"]


def test_events_products_and_people_are_told(firefox: Firefox) -> None:
    with visited(firefox, attributes="data-outbound data-downloads data-forms", body=LINKS) as scene:
        firefox.run("footfall('Sign-up', {plan: 'yearly'}); footfall(() => footfall.product('SKU-1'))")
        firefox.run("footfall.identify('alice@example.com', 'ab12')")
        for selector in ("#buy", "#out", "#file", "#send"):
            firefox.click(selector)
        scene.collector.wait_for(lambda it: len(it.of_kind("event")) == 5, "five events come")
        scene.collector.wait_for_kind("identify")
        scene.collector.wait_for_kind("product")
    events = sorted((beacon["name"], beacon["props"]) for beacon in scene.collector.of_kind("event"))
    assert events == [
        ("Buy", {"sku": "SKU-1"}),
        ("Sign-up", {"plan": "yearly"}),
        ("download", {"url": f"{scene.website}/price.pdf"}),
        ("form", {"action": "/sent"}),
        ("outbound", {"url": "https://other.example/a"}),
    ]


def test_a_missing_page_is_told(firefox: Firefox) -> None:
    with visited(firefox, "/missing", attributes="data-404") as scene:
        (event,) = scene.collector.wait_for_kind("event")
    assert (event["name"], event["props"]) == ("404", {"path": "/missing"})


def test_leaving_a_page_tells_how_long_it_was_looked_at(firefox: Firefox) -> None:
    with visited(firefox, "/long", body='<div style="height: 3000px"></div>') as scene:
        scene.collector.wait_for_count(1)
        time.sleep(1.3)
        firefox.open(f"{scene.website}/plain")
        (engagement,) = scene.collector.wait_for_kind("engagement")
    assert engagement["pageUrl"] == f"{scene.website}/long"
    assert 1300 <= engagement["engagedMs"] < 8000
    assert 5 < engagement["scrollPercent"] < 70


def test_what_could_not_be_sent_is_sent_by_the_next_page_under_its_id(firefox: Firefox) -> None:
    with visited(firefox, "/plain") as scene:
        scene.collector.standing_answer = Answer(503, {"Retry-After": "1"})
        firefox.open(f"{scene.website}/refused")
        scene.collector.wait_for_count(1)
        firefox.wait_until("localStorage.getItem('footfall.pause')")
        scene.collector.standing_answer = Answer()
        firefox.open(f"{scene.website}/next")
        wait_until_answered(firefox)
    assert sorted(scene.collector.paths) == ["/next", "/refused"]
    assert len({beacon["id"] for beacon in scene.collector.beacons}) == 2


@pytest.mark.parametrize(
    "preferences",
    [
        {"privacy.donottrackheader.enabled": True},
        {"privacy.globalprivacycontrol.enabled": True, "privacy.globalprivacycontrol.functionality.enabled": True},
    ],
    ids=["Do Not Track", "Global Privacy Control"],
)
def test_who_does_not_want_to_be_tracked_is_not(firefox: Firefox, preferences: dict[str, bool]) -> None:
    with visited(firefox, "/plain", attributes="data-respect-dnt") as scene:
        with firefox.preferences(preferences):
            firefox.open(f"{scene.website}/unwanted")
            firefox.run("footfall('Here')")
            assert firefox.run("return Object.keys(localStorage)") == []
        firefox.open(f"{scene.website}/wanted")
        scene.collector.wait_for_count(1)
    assert scene.collector.paths == ["/wanted"]


def test_with_storage_switched_off_visits_still_count(firefox: Firefox) -> None:
    with visited(firefox, "/plain") as scene, firefox.preferences({"dom.storage.enabled": False}):
        firefox.open(f"{scene.website}/one")
        firefox.run("history.pushState({}, '', '/two')")
        scene.collector.wait_for_count(2)
        stored = firefox.run("try { return String(localStorage) } catch (error) { return 'refused' }")
        assert stored != "[object Storage]"
        assert firefox.run("return window.errors") == []
    assert scene.collector.paths == ["/one", "/two"]


def test_cookieless_stores_nothing(firefox: Firefox) -> None:
    with visited(firefox, "/quiet", attributes="data-cookieless") as scene:
        (received,) = scene.collector.wait_for_count(1)
        assert firefox.run("return [Object.keys(localStorage), document.cookie]") == [[], ""]
    assert "identifier" not in received.beacon
