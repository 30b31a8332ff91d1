"""The history and a report tell who asked for something, and for which records, on pages and over the API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from apiflask import APIFlask

from tests.bulk_actions.support import csv_of, work_off
from tests.bulk_actions.test_api import calling_as, problem
from tests.bulk_actions.test_mapping_page import HEADER as COLUMNS
from tests.bulk_actions.test_mapping_page import drop, start
from tests.bulk_actions.verbs.test_verbs import HEADER, ids_of
from tests.conftest import Person, owner_connection
from tests.records.test_merge import import_rows
from webapp.bulk_actions.models import BulkAction
from webapp.config import Settings

Call = Callable[..., Any]
LIST = "/api/v1/bulk-actions"


@pytest.fixture
def call(app: APIFlask, alice: Person) -> Call:
    return calling_as(app, alice.organisation_id)


@pytest.fixture
def people(app: APIFlask, alice: Person) -> BulkAction:
    return import_rows(app, alice.organisation_id, [[f"p{n}@example.com", f"N{n}", "Köln"] for n in range(3)], HEADER)


def report(app: APIFlask, alice: Person, call: Call, verb: str, **more: Any) -> str:
    """The page of a verb that a program started."""
    body = {"verb": verb, "entity": "contacts", "selection": {"filter": {}}, **more}
    answer = call(LIST, "POST", json=body)
    assert answer.status_code == 202, answer.text
    work_off(app)
    return alice.client.get(f"/bulk-actions/{answer.json['id']}").text


def test_a_program_is_told_who_started_it(app: APIFlask, services: Settings, alice: Person, call: Call) -> None:
    of_alice = start(app, alice, drop(alice, csv_of([["ada@example.com"]], COLUMNS)))
    of_program = call(LIST, "POST", json={"verb": "export", "entity": "contacts", "selection": {"filter": {}}}).json
    assert of_program["created_by"] is None
    who = {"id": str(alice.user_id), "name": "Alice"}
    assert call(f"{LIST}/{of_alice.id}").json["created_by"] == who
    assert [one["created_by"] for one in call(LIST).json["data"]] == [None, who]
    with owner_connection(services) as connection:
        connection.execute("DELETE FROM memberships")
    assert call(f"{LIST}/{of_alice.id}").json["created_by"] == {**who, "name": None}


def test_the_list_is_filtered_as_the_page_is(app: APIFlask, alice: Person, call: Call) -> None:
    start(app, alice, drop(alice, csv_of([["ada@example.com"]], COLUMNS)))
    call(LIST, "POST", json={"verb": "export", "entity": "products", "selection": {"filter": {}}})

    def found(query: str) -> list[str]:
        return [one["verb"] for one in call(f"{LIST}?{query}").json["data"]]

    assert found("verb=import") == found("entity=contacts") == found(f"person={alice.user_id}") == ["import"]
    assert found("verb=export&entity=products") == ["export"]
    assert found("verb=export&entity=contacts") == []


@pytest.mark.parametrize("query", ["verb=burn", "entity=dragons", "person=me", "colour=red"])
def test_what_the_list_does_not_know_is_refused(call: Call, query: str) -> None:
    assert problem(call(f"{LIST}?{query}"))[0] == 422


def test_pages_say_that_it_was_a_program(app: APIFlask, alice: Person, call: Call, people: BulkAction) -> None:
    assert "by a program, " in report(app, alice, call, "export")
    assert (
        '<td class="table__clip table__optional" data-label="By">a program</td>'
        in alice.client.get("/bulk-actions").text
    )


def test_a_report_names_the_filter(app: APIFlask, alice: Person, call: Call, people: BulkAction) -> None:
    selection = {"filter": {"q": ["p"], "where": ["city:is:Köln"], "created_from": ["2026-01-02"]}, "zone": "UTC"}
    page = report(app, alice, call, "add_tags", selection=selection, parameters={"tags": ["vip"]})
    assert "<dt>Which contacts</dt><dd>Contacts that matched" in page
    for part in ("Search “p”", "City is “Köln”", "Added since 2026-01-02"):
        assert f'<span class="chip">{part}</span>' in page
    assert "<dd>All contacts</dd>" in report(app, alice, call, "add_tags", parameters={"tags": ["new"]})


def test_a_report_says_how_many_were_ticked(
    app: APIFlask, services: Settings, alice: Person, call: Call, people: BulkAction
) -> None:
    ids = [str(record_id) for record_id in list(ids_of(services).values())[:2]]
    assert "<dd>2 ticked contacts</dd>" in report(app, alice, call, "delete", selection={"ids": ids}, confirm=2)


def test_the_report_of_deleting_all_says_all(app: APIFlask, alice: Person, call: Call, people: BulkAction) -> None:
    answer = call("/api/v1/contacts?confirm=3", "DELETE")
    assert "<dd>All contacts</dd>" in alice.client.get(f"/bulk-actions/{answer.json['id']}").text


def test_an_update_names_people_and_words_not_ids(app: APIFlask, alice: Person, call: Call, people: BulkAction) -> None:
    values = {"owner_id": alice.email, "tags": ["a b", 'c"d'], "city": ""}
    page = report(app, alice, call, "update", parameters={"values": values})
    assert "<dt>Owner becomes</dt><dd>Alice</dd>" in page
    assert "<dt>Tags becomes</dt><dd>a b; c&#34;d</dd>" in page
    assert "<dt>City becomes</dt><dd>blank</dd>" in page
    call("/api/v1/products", "POST", json={"sku": "CUP-1", "name": "Cup"})
    page = report(app, alice, call, "update", entity="products", parameters={"values": {"is_active": "no"}})
    assert "becomes</dt><dd>no</dd>" in page


def test_an_export_says_its_choices(app: APIFlask, alice: Person, call: Call, people: BulkAction) -> None:
    parameters = {"formulas": "neutralise", "columns": ["email", "phone", "created_at"]}
    page = report(app, alice, call, "export", parameters=parameters)
    assert "<dt>Columns</dt><dd>E-mail, Phone, Created</dd>" in page
    assert "with an apostrophe in front" in page
    assert "kept as they are" in report(app, alice, call, "export")
