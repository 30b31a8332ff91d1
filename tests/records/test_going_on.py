"""A list whose search stops early goes on by itself, for a while, and adds what it finds."""

from __future__ import annotations

import re
from html import unescape

import pytest
from apiflask import APIFlask

from tests.conftest import Person
from tests.records.people import add_contact, add_many, emails
from webapp.records import going_on, search
from webapp.records.going_on import SoFar, read_so_far
from webapp.records.search import PAGE_SIZE, RecordPage

HTMX = {"HX-Request": "true"}
URL = "/contacts?where=last_name:contains:L00&sort=email&direction=asc"


@pytest.fixture(autouse=True)
def short_walks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "WALK_ROWS", 4)


@pytest.fixture
def many(app: APIFlask, alice: Person) -> None:
    """Five that match, p000 to p004, the last of which comes after those that do not."""
    add_many(app, alice, 4)
    for number in range(10):
        add_contact(app, alice, f"q{number}@example.com", last_name="Other")
    add_contact(app, alice, "z@example.com", last_name="L009")


def step_of(page: str) -> str | None:
    """The address of the next step, if the page takes one by itself."""
    found = re.search(r'id="going-on" hx-get="([^"]+)" hx-trigger="revealed"', page)
    return unescape(found[1]) if found else None


def links_of(page: str) -> list[str]:
    """Where a person without scripts, or at the end of the steps, may go on."""
    found = re.findall(r'href="([^"]+)"[^>]*>\s*Go on searching', page)
    return [unescape(url) for url in found]


@pytest.mark.usefixtures("many")
def test_steps_follow_each_other_to_the_end(alice: Person) -> None:
    page = alice.client.get(URL).text
    assert emails(page) == [f"p00{number}@example.com" for number in range(4)]
    assert "Searched 4 contacts so far." in page
    found, said = [], []
    while step := step_of(page):
        page = alice.client.get(step, headers=HTMX).text
        assert page.lstrip().startswith("<tr")
        assert page.count("<tr") == len(emails(page)) + 1
        found += emails(page)
        said += re.findall(r"Searched \d+ contacts so far|The search is over: that is all", page)
    assert found == ["z@example.com"]
    assert said == ["Searched 8 contacts so far", "Searched 12 contacts so far", "The search is over: that is all"]


@pytest.mark.usefixtures("many")
def test_whoever_has_no_scripts_goes_on_by_a_link(alice: Person) -> None:
    page, seen = alice.client.get(URL).text, []
    while urls := links_of(page):
        (url,) = urls
        assert "searched=" not in url
        page = alice.client.get(url).text
        assert "<html" in page
        seen += emails(page)
    assert seen == ["z@example.com"]


@pytest.mark.usefixtures("many")
def test_a_search_that_finds_nothing_says_so_at_its_end(alice: Person) -> None:
    page = alice.client.get("/contacts?where=last_name:contains:zzz").text
    assert "found nothing yet" in page
    while step := step_of(page):
        page = alice.client.get(step, headers=HTMX).text
    assert "The search is over: nothing was found." in page


@pytest.mark.usefixtures("many")
def test_after_so_many_somebody_is_asked(alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(going_on, "GO_ON_ROWS", 8)
    page = alice.client.get("/contacts?where=last_name:contains:zzz").text
    step = step_of(page)
    assert step
    page = alice.client.get(step, headers=HTMX).text
    assert step_of(page) is None
    (url,) = links_of(page)
    assert step_of(alice.client.get(url).text)


def test_a_list_that_is_not_searched_step_by_step_has_no_such_row(app: APIFlask, alice: Person) -> None:
    add_many(app, alice, PAGE_SIZE + 1)
    page = alice.client.get("/contacts").text
    assert "going-on" not in page
    assert 'rel="next"' in page


@pytest.mark.usefixtures("many")
def test_charlie_goes_on_in_his_own_list_alone(alice: Person, charlie: Person) -> None:
    step = step_of(alice.client.get(URL).text)
    assert step
    page = charlie.client.get(step, headers=HTMX).text
    assert emails(page) == []
    assert "nothing was found" in page or "that is all" in page


def test_an_address_with_nonsense_counts_as_nothing() -> None:
    for text in ("-1", "1e9", "٣", "1" * 10, ""):
        assert read_so_far({"searched": text, "found": text}) == SoFar()
    assert read_so_far({"searched": "40000", "found": "7"}) == SoFar(40_000, 7)


def test_a_page_that_is_full_waits_for_somebody() -> None:
    page = RecordPage([object()] * 3, "cursor", is_partial=True, searched_count=4)
    assert SoFar(4, PAGE_SIZE - 4).and_then(page).goes_on_after(page)
    assert not SoFar(4, PAGE_SIZE - 3).and_then(page).goes_on_after(page)
    assert not SoFar().goes_on_after(RecordPage([], None))
