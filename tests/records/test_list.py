"""A list's page, as alice, bob and charlie see it: by the example of contacts."""

from __future__ import annotations

import re

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient

from tests.conftest import Person
from tests.records.people import add_contact, add_many, emails
from webapp.contacts.models import CONTACTS
from webapp.records.filters import RecordFilter
from webapp.records.list_views import count_text
from webapp.records.search import PAGE_SIZE, RecordCount

HTMX = {"HX-Request": "true"}


@pytest.mark.parametrize("address", ["/contacts", "/products"])
def test_nobody_sees_a_list_without_signing_in(client: FlaskClient, address: str) -> None:
    answer = client.get(address)
    assert answer.status_code == 302
    assert "/sign-in" in answer.location


@pytest.mark.parametrize("address", ["/contacts", "/products"])
def test_an_empty_list_is_a_drop_zone(alice: Person, address: str) -> None:
    page = alice.client.get(address).text
    assert "Drop a CSV" in page
    assert 'enctype="multipart/form-data"' in page
    assert "<table" not in page


def test_the_list_shows_everybody_and_how_many_they_are(app: APIFlask, alice: Person) -> None:
    add_contact(app, alice, "ada@example.com", first_name="Ada", last_name="Lovelace", company="Engines")
    page = alice.client.get("/contacts").text
    assert "Ada Lovelace" in page
    assert "Engines" in page
    assert "1 contact<" in page


def test_bob_sees_the_contacts_of_his_organisation(app: APIFlask, alice: Person, bob: Person) -> None:
    add_contact(app, alice)
    assert "ada@example.com" in bob.client.get("/contacts").text


def test_charlie_sees_nothing_of_another_organisation(app: APIFlask, alice: Person, charlie: Person) -> None:
    add_contact(app, alice)
    assert "ada@example.com" not in charlie.client.get("/contacts").text
    assert "ada@example.com" not in charlie.client.get("/contacts?q=ada").text


def test_search_finds_by_the_beginning_of_a_name(app: APIFlask, alice: Person) -> None:
    add_contact(app, alice, "ada@example.com", first_name="Ada")
    add_contact(app, alice, "grace@example.com", first_name="Grace")
    page = alice.client.get("/contacts?q=gra").text
    assert emails(page) == ["grace@example.com"]
    assert "1 contact found" in page


def test_a_search_without_a_find_says_so_and_offers_a_way_back(app: APIFlask, alice: Person) -> None:
    add_contact(app, alice)
    page = alice.client.get("/contacts?q=nobody").text
    assert "Nothing matches “nobody”" in page
    assert "Drop a CSV" in page  # in the dialog behind the Import button


def test_what_is_searched_for_cannot_write_html(app: APIFlask, alice: Person) -> None:
    add_contact(app, alice)
    assert "<script>alert" not in alice.client.get("/contacts?q=<script>alert(1)</script>").text


def test_htmx_gets_the_list_alone_and_caches_are_told(app: APIFlask, alice: Person) -> None:
    add_contact(app, alice)
    answer = alice.client.get("/contacts?q=ada", headers=HTMX)
    assert "<html" not in answer.text
    assert "ada@example.com" in answer.text
    assert "HX-Request" in answer.headers["Vary"]


def test_headings_sort_and_turn_round(app: APIFlask, alice: Person) -> None:
    add_contact(app, alice, "b@example.com")
    add_contact(app, alice, "a@example.com")
    ascending = alice.client.get("/contacts?sort=email").text
    assert emails(ascending) == ["a@example.com", "b@example.com"]
    assert 'aria-sort="ascending"' in ascending
    assert "/contacts?sort=email&amp;direction=desc" in ascending
    assert emails(alice.client.get("/contacts?sort=email&direction=desc").text) == ["b@example.com", "a@example.com"]


def test_an_unknown_sort_is_the_usual_one(app: APIFlask, alice: Person) -> None:
    add_contact(app, alice)
    assert alice.client.get("/contacts?sort=shoe_size&direction=up").status_code == 200


def test_pages_follow_one_another_and_keep_search_and_sort(app: APIFlask, alice: Person) -> None:
    add_many(app, alice, PAGE_SIZE + 2)
    first = alice.client.get("/contacts?sort=email&q=p").text
    assert len(emails(first)) == PAGE_SIZE
    next_url = next(url for url in re.findall(r'href="([^"]+)" rel="next"', first)).replace("&amp;", "&")
    assert "sort=email" in next_url
    assert "q=p" in next_url
    second = alice.client.get(next_url).text
    assert emails(second) == [f"p{PAGE_SIZE:03}@example.com", f"p{PAGE_SIZE + 1:03}@example.com"]
    assert "First page" in second


def test_a_filter_that_cannot_be_read_is_explained_and_shows_nobody(app: APIFlask, alice: Person) -> None:
    add_contact(app, alice, "ada@example.com")
    for address in ("/contacts?where=city", "/contacts?where=city%3DRome", "/contacts?q=" + "a" * 201):
        answer = alice.client.get(address)
        assert answer.status_code == 422
        assert "This filter cannot be read" in answer.text
        assert emails(answer.text) == []
        assert 'name="all"' not in answer.text
        assert "Show all contacts" in answer.text
        assert alice.client.get(address.replace("?", "/count?")).status_code == 400


@pytest.mark.parametrize(
    ("boxes", "shown", "said"),
    [
        ("field=city&operator=blank&value=", ["grace@example.com"], "City is blank"),
        ("field=city&operator=filled", ["ada@example.com"], "City is filled"),
        ("field=city&operator=is&value=london", ["ada@example.com"], "City is “london”"),
        ("field=city&operator=is&value=", ["ada@example.com"], "Say what to compare “City” with."),
        ("field=city&operator=is", ["ada@example.com"], "Say what to compare “City” with."),
        ("field=city&value=london", ["ada@example.com"], "is not a comparison"),
        ("field=nosuch&operator=is&value=x", ["ada@example.com"], "There is no field called “nosuch”."),
    ],
)
def test_three_boxes_add_a_comparison_or_say_what_is_missing(
    app: APIFlask, alice: Person, boxes: str, shown: list[str], said: str
) -> None:
    """When something is missing, the list stays as it was."""
    add_contact(app, alice, "ada@example.com", city="London", first_name="A")
    add_contact(app, alice, "grace@example.com", first_name="G")
    before = "q=a&" if "ada@example.com" in shown else ""
    answer = alice.client.get(f"/contacts?{before}{boxes}", follow_redirects=True)
    assert answer.status_code == 200
    assert emails(answer.text) == shown
    assert said in answer.text


def test_a_damaged_cursor_is_explained(alice: Person) -> None:
    answer = alice.client.get("/contacts?cursor=!!!")
    assert answer.status_code == 400
    assert "Start again from the first page" in answer.text


def test_counts_are_said_in_words() -> None:
    everything, some = RecordFilter(), RecordFilter(q="a")
    assert count_text(CONTACTS, RecordCount(1, is_exact=True), everything) == "1 contact"
    assert count_text(CONTACTS, RecordCount(1234, is_exact=True), everything) == "1,234 contacts"
    assert count_text(CONTACTS, RecordCount(100_000, is_exact=False), some) == "Over 100,000 contacts found"
