"""What people choose about a list: saved filters, columns, an import; and how the page says what is filtered."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest
from apiflask import APIFlask

from tests.bulk_actions.support import HEADER, csv_of, import_file
from tests.bulk_actions.test_api import calling_as
from tests.conftest import Person, owner_connection
from tests.records.people import add_contact, add_many, emails
from tests.records.support import add_record
from tests.records.test_merge import import_rows
from webapp.config import Settings
from webapp.lib.ids import uuid7
from webapp.records import list_views, queries, search
from webapp.records.entities import Entity
from webapp.records.list_settings import MAX_COLUMNS, MAX_NAME_LENGTH
from webapp.records.search import PAGE_SIZE

QUERY = "tag=vip&where=city%3Ais%3ABonn&sort=email&direction=desc&limit=5&colour=red"


def headings(page: str) -> list[str]:
    """The list's columns beside the record's name."""
    head = re.search(r"<thead>(.*?)</thead>", page, re.DOTALL)
    assert head is not None
    cells = re.findall(r'<th[^>]*scope="col"[^>]*>(.*?)</th>', head[1], re.DOTALL)
    return [words for cell in cells if (words := " ".join(re.sub(r"<[^>]+>", " ", cell).split()))][1:]


def chips(page: str) -> list[tuple[str, str]]:
    """(words, where its cross leads) of every part of the filter."""
    found = re.findall(r'<span class="chip">([^<]*) <a class="chip__remove" href="([^"]+)"', page)
    return [(words, url.replace("&amp;", "&")) for words, url in found]


def saved_links(page: str) -> dict[str, str]:
    found = re.search(r'<ul class="saved">(.*?)</ul>', page, re.DOTALL)
    links = re.findall(r'<a href="([^"]+)">([^<]+)</a>', found[1]) if found else []
    return {name: url.replace("&amp;", "&") for url, name in links}


def save(person: Person, entity: str = "contacts", name: str = "Mine", query: str = QUERY) -> str:
    """Save a filter; the page that follows."""
    answer = person.client.post(f"/{entity}/filters", data={"name": name, "query": query}, follow_redirects=True)
    assert answer.status_code == 200
    return answer.text


def test_a_filter_is_saved_with_its_order_for_the_whole_organisation(
    app: APIFlask, entity: Entity, alice: Person, bob: Person, charlie: Person
) -> None:
    for person in (alice, charlie):
        add_record(app, person, entity)
    answer = alice.client.post(f"/{entity.name}/filters", data={"name": " My  own ", "query": "tag=vip&sort=name"})
    assert (answer.status_code, answer.location) == (303, f"/{entity.name}?tag=vip&sort=name")
    page = bob.client.get(f"/{entity.name}").text
    assert saved_links(page) == {"My own": f"/{entity.name}?tag=vip&sort=name"}
    assert "Saved filters (1)" in page
    assert saved_links(charlie.client.get(f"/{entity.name}").text) == {}


def test_only_what_filters_and_sorts_is_saved(app: APIFlask, alice: Person) -> None:
    add_contact(app, alice)
    url = saved_links(save(alice, query=QUERY))["Mine"]
    assert parse_qs(urlsplit(url).query) == {
        "tag": ["vip"], "where": ["city:is:Bonn"], "sort": ["email"], "direction": ["desc"],
    }  # fmt: skip


def test_a_saved_filter_is_replaced_by_one_of_its_name(app: APIFlask, alice: Person) -> None:
    add_contact(app, alice)
    save(alice, query="tag=old")
    assert saved_links(save(alice, query="tag=new")) == {"Mine": "/contacts?tag=new"}


@pytest.mark.parametrize("name", ["", "  ", "x" * (MAX_NAME_LENGTH + 1)])
def test_a_filter_needs_a_name(app: APIFlask, alice: Person, name: str) -> None:
    add_contact(app, alice)
    page = save(alice, name=name, query="tag=old")
    assert "Give the filter a name of 1 to 80 characters." in page
    assert saved_links(page) == {}


def test_a_saved_filter_is_deleted_only_by_its_own_list_and_organisation(
    app: APIFlask, alice: Person, charlie: Person
) -> None:
    add_contact(app, alice)
    filter_id = re.search(r"/contacts/filters/([0-9a-f-]+)/delete", save(alice, query="tag=old"))
    assert filter_id is not None
    assert charlie.client.post(f"/contacts/filters/{filter_id[1]}/delete").status_code == 404
    assert alice.client.post(f"/products/filters/{filter_id[1]}/delete").status_code == 404
    page = alice.client.post(f"/contacts/filters/{filter_id[1]}/delete", follow_redirects=True).text
    assert "The filter “Mine” is deleted." in page
    assert saved_links(page) == {}


def test_columns_are_each_persons_own_and_keep_the_filter(app: APIFlask, alice: Person, bob: Person) -> None:
    add_contact(app, alice, city="Bonn", attributes={"Size": "38"})
    usual = headings(alice.client.get("/contacts").text)
    chosen = {"columns": ["city", "attributes.Size", "updated_at"], "query": "q=ada"}
    answer = alice.client.post("/contacts/columns", data=chosen)
    assert (answer.status_code, answer.location) == (303, "/contacts?q=ada")
    page = alice.client.get("/contacts").text
    assert headings(page) == ["City", "Size", "Changed"]
    assert {"Bonn", "38"} <= set(re.findall(r">([^<]+)</td>", page))
    assert '<input type="checkbox" name="columns" value="city" checked>' in page
    assert headings(bob.client.get("/contacts").text) == usual == ["E-mail", "Company", "Tags", "Added"]


def test_columns_that_there_are_not_are_left_out_and_none_are_the_usual_ones(app: APIFlask, alice: Person) -> None:
    add_contact(app, alice)
    alice.client.post("/contacts/columns", data={"columns": ["shoe", "city", "city"]})
    assert headings(alice.client.get("/contacts").text) == ["City"]
    many = [f"attributes.{number}" for number in range(MAX_COLUMNS + 5)]
    alice.client.post("/contacts/columns", data={"columns": many})
    assert len(headings(alice.client.get("/contacts").text)) == MAX_COLUMNS
    alice.client.post("/contacts/columns", data={"columns": []})
    assert headings(alice.client.get("/contacts").text) == ["E-mail", "Company", "Tags", "Added"]


def test_every_part_of_a_filter_is_a_chip_that_takes_itself_away(app: APIFlask, alice: Person) -> None:
    add_contact(app, alice, city="Bonn")
    query = "q=ada&tag=vip&where=city:is:Bonn&where=phone:blank:&created_from=2026-01-02&seen=no&cursor="
    found = dict(chips(alice.client.get(f"/contacts?{query}").text))
    assert list(found) == [
        "Tag “vip”", "City is “Bonn”", "Phone is blank", "Added since 2026-01-02", "Never seen on a website",
    ]  # fmt: skip
    rest = "/contacts?q=ada&tag=vip&where=phone:blank:&created_from=2026-01-02&seen=no"
    assert found["City is “Bonn”"] == rest
    assert "created_from" not in found["Added since 2026-01-02"]


def test_an_owner_is_called_by_address_in_a_chip(app: APIFlask, alice: Person) -> None:
    add_contact(app, alice)
    ((words, _),) = chips(alice.client.get(f"/contacts?where=owner_id:is:{alice.user_id}").text)
    assert words == "Owner is “alice@example.com”"


def test_the_list_offers_imports_and_names_the_chosen_one(app: APIFlask, alice: Person, services: Settings) -> None:
    brought = import_file(app, alice.organisation_id, csv_of([["ada@example.com"]], HEADER))
    import_rows(app, alice.organisation_id, [["bob@example.com"]], ["Email"], is_dry_run=True)
    import_rows(app, alice.organisation_id, [["ada@example.com"]], ["Email"])  # it brought nobody new
    add_contact(app, alice, "by@example.com")
    page = alice.client.get(f"/contacts?import={brought.id}&tag=").text
    assert emails(page) == ["ada@example.com"]
    assert chips(page) == [("Came with contacts.csv", "/contacts")]
    offered = re.search(r'<select class="select" id="filter-import"[^>]*>(.*?)</select>', page, re.DOTALL)
    assert offered is not None
    assert re.findall(r'value="([^"]*)"( selected)?', offered[1]) == [("", ""), (str(brought.id), " selected")]
    with owner_connection(services) as connection:
        connection.execute("UPDATE bulk_actions SET created_count = 0")
    assert f'value="{brought.id}" selected' in alice.client.get(f"/contacts?import={brought.id}").text
    assert "filter-import" not in alice.client.get("/contacts").text
    assert "filter-import" not in alice.client.get("/products").text


@pytest.mark.parametrize("whose", ["nobody's", "charlie's"])
def test_an_import_of_somebody_else_is_unknown(app: APIFlask, alice: Person, charlie: Person, whose: str) -> None:
    add_contact(app, alice)
    of_charlie = import_file(app, charlie.organisation_id, csv_of([["c@example.com"]], HEADER))
    import_id: UUID = of_charlie.id if whose == "charlie's" else uuid7()
    page = alice.client.get(f"/contacts?import={import_id}").text
    assert chips(page) == [("Came with an unknown import", "/contacts")]
    assert emails(page) == []


def test_a_page_that_holds_all_that_match_counts_them_itself(
    app: APIFlask, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "GLANCE_ROWS", 3)
    add_many(app, alice, 10)
    call = calling_as(app, alice.organisation_id)
    for where, number in (("city:is:Nowhere", 0), ("last_name:contains:00", 10)):
        assert f">{number} contacts found</p>" in alice.client.get(f"/contacts?where={where}").text
        answer = call(f"/api/v1/contacts?where={where}").json
        assert answer is not None
        assert (answer["total"], answer["total_is_exact"]) == (number, True)


def test_a_count_that_met_none_yet_is_still_counting(
    app: APIFlask, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, rows in (("FIRST_STEPS", 2), ("WALK_ROWS", 4)):
        monkeypatch.setattr(search, name, rows)
    monkeypatch.setattr(queries, "GLANCE_ROWS", 3)
    add_many(app, alice, 10)
    address = "/contacts?where=city:is:Nowhere"
    page = alice.client.get(address).text
    assert re.search(r'hx-get="/contacts/count\?[^>]*><span data-needs-script hidden>Counting…</span></p>', page)
    assert "Over 0" not in page
    assert alice.client.get(address.replace("?", "/count?")).text == "0 contacts found"
    monkeypatch.setattr(list_views, "COUNT_WALK_ROWS", 5)
    words = alice.client.get(address.replace("?", "/count?")).text
    assert words == "None found among the newest 5 contacts"
    monkeypatch.setattr(queries, "GLANCE_ROWS", 7)
    assert "Over 6 contacts found" in alice.client.get("/contacts?where=last_name:is_not:L008").text


def test_a_count_follows_the_filter(app: APIFlask, alice: Person, charlie: Person) -> None:
    add_many(app, alice, PAGE_SIZE + 2)
    add_contact(app, charlie)
    count = alice.client.get
    assert count("/contacts/count").text == f"{PAGE_SIZE + 2} contacts"
    assert count("/contacts/count?q=p00").text == "10 contacts found"
    assert count("/contacts/count?where=last_name:is:L001").text == "1 contact found"
    assert count("/contacts/count?where=shoe:is:1").status_code == 400
    page = alice.client.get("/contacts?q=p").text
    assert 'hx-get="/contacts/count?q=p"' in page
    assert f"{PAGE_SIZE + 2} contacts found" in page
