"""Nothing that people keep beside a site's visits is lost by one click."""

from __future__ import annotations

import re
from random import Random

import pytest
from apiflask import APIFlask

from tests.conftest import Person
from tests.visits.support import add_site
from webapp.visits.models import Site

GERMANY, FRANCE = "country:is:DE", "country:is:FR"


@pytest.fixture
def site(app: APIFlask, alice: Person) -> Site:
    return add_site(app, alice.organisation_id)


def make(alice: Person, site: Site, kind: str) -> None:
    forms: dict[str, dict[str, object]] = {
        "goals": {"kind": "page", "value": "/orders/*", "name": "Ours"},
        "segments": {"name": "Ours", "where": [GERMANY]},
        "notes": {"day": "2026-01-31", "text": "Ours"},
        "links": {"name": "Ours", "segment": "", "goals": "yes"},
        "funnels": {"name": "Ours", "step": ["page:is:/", "event:is:sign-up"]},
    }
    assert alice.client.post(f"/visits/sites/{site.id}/{kind}", data=forms[kind]).status_code == 303


def page_of(person: Person, site: Site, kind: str) -> str:
    in_query = {"segments": "journeys", "funnels": "funnel"}
    address = f"/visits/{in_query[kind]}?site={site.id}" if kind in in_query else f"/visits/sites/{site.id}/{kind}"
    return person.client.get(address).text


def undo_in(page: str) -> str:
    found = re.search(r'action="/visits/kept/restore".*?name="undo" value="([^"]+)"', page, re.DOTALL)
    assert found is not None
    return found[1]


def delete(alice: Person, site: Site, kind: str) -> None:
    address = re.search(rf'action="(/visits/{kind}/[^"]+/delete)"', page_of(alice, site, kind))
    assert address is not None
    assert alice.client.post(address[1]).status_code == 303


@pytest.mark.parametrize("kind", ["goals", "segments", "notes", "links", "funnels"])
def test_what_was_deleted_comes_back_as_it_was(alice: Person, site: Site, kind: str) -> None:
    make(alice, site, kind)
    page_of(alice, site, kind)  # says what was made, once
    told = re.compile(r"Ours|/shared/[\w-]+|begins with /orders/|country:is:DE|goals</td>|31 Jan 2026|event:is:sign-up")
    before = told.findall(page_of(alice, site, kind))
    delete(alice, site, kind)
    gone = page_of(alice, site, kind)
    assert "“Ours” is deleted." in gone
    assert told.findall(page_of(alice, site, kind)) == []
    undo = undo_in(gone)
    for _ in range(2):
        assert alice.client.post("/visits/kept/restore", data={"undo": undo}).status_code == 303
        assert "“Ours” is back." in page_of(alice, site, kind)
        assert told.findall(page_of(alice, site, kind)) == before


def test_another_organisation_brings_nothing_back(alice: Person, charlie: Person, site: Site) -> None:
    make(alice, site, "links")
    delete(alice, site, "links")
    undo = undo_in(page_of(alice, site, "links"))
    assert charlie.client.post("/visits/kept/restore", data={"undo": undo}).status_code == 422
    assert alice.client.post("/visits/kept/restore", data={"undo": f"{undo}x"}).status_code == 422


def test_a_name_that_was_taken_meanwhile_is_said(alice: Person, site: Site) -> None:
    make(alice, site, "goals")
    delete(alice, site, "goals")
    undo = undo_in(page_of(alice, site, "goals"))
    make(alice, site, "goals")
    assert alice.client.post("/visits/kept/restore", data={"undo": undo}).status_code == 303
    assert "There is one called “Ours” already" in page_of(alice, site, "goals")


def test_what_no_button_can_carry_is_asked_for_first(alice: Person, site: Site) -> None:
    random = Random(3)
    texts = ["".join(random.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=1_900)) for _ in range(4)]
    where = [f"page:is:/{text}" for text in texts]
    form = {"name": "Ours", "where": where}
    assert alice.client.post(f"/visits/sites/{site.id}/segments", data=form).status_code == 303
    address = re.search(r'action="(/visits/segments/[^"]+/delete)"', page_of(alice, site, "segments"))
    assert address is not None
    asked = alice.client.post(address[1])
    assert "Delete “Ours”?" in asked.text
    assert ">Ours</a>" in page_of(alice, site, "segments")
    assert alice.client.post(address[1], data={"sure": "yes"}).status_code == 303
    assert ">Ours</a>" not in page_of(alice, site, "segments")


def test_a_segment_asks_before_it_replaces_another(alice: Person, site: Site) -> None:
    make(alice, site, "segments")
    address = f"/visits/sites/{site.id}/segments"
    assert alice.client.post(address, data={"name": "Ours", "where": GERMANY}).status_code == 303, "the same again"
    asked = alice.client.post(address, data={"name": "Ours ", "where": FRANCE, "range": "7d"})
    assert asked.status_code == 409
    assert "Country is Germany" in asked.text
    assert "Country is France" in asked.text
    assert "country:is:DE" in page_of(alice, site, "segments")
    fields = dict(re.findall(r'<input type="hidden" name="(name|replace|where|range)" value="([^"]*)"', asked.text))
    assert fields == {"name": "Ours", "replace": "yes", "where": FRANCE, "range": "7d"}
    answer = alice.client.post(address, data=fields)
    assert answer.status_code == 303
    assert "range=7d&where=country:is:FR" in answer.location
    page = page_of(alice, site, "segments")
    assert "country:is:FR" in page
    assert "country:is:DE" not in page
