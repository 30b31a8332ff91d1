"""Saved filters, and the choice of columns, over the API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from apiflask import APIFlask

from tests.bulk_actions.test_api import calling_as
from tests.conftest import Person
from tests.records.support import add_record, key_of
from tests.records.test_list_choices import saved_links
from webapp.lib.ids import uuid7
from webapp.records.entities import Entity

Call = Callable[..., Any]
FILTER = {"tag": ["vip"], "created_from": ["2026-01-02"]}


@pytest.fixture
def call(app: APIFlask, alice: Person) -> Call:
    return calling_as(app, alice.organisation_id)


def url_of(entity: Entity) -> str:
    return f"/api/v1/{entity.name}/filters"


def save(call: Call, entity: Entity, **values: Any) -> dict[str, Any]:
    answer = call(url_of(entity), "POST", json={"name": "Mine", "filter": FILTER, **values})
    assert answer.status_code == 201, answer.text
    return dict(answer.json)


def test_a_filter_is_saved_listed_and_used(app: APIFlask, alice: Person, entity: Entity, call: Call) -> None:
    add_record(app, alice, entity, "ada", tags="vip")
    add_record(app, alice, entity, "bob")
    saved = save(call, entity, sort="-updated")
    expected = {"name": "Mine", "filter": FILTER, "sort": "-updated", "created_by": None}
    assert {name: saved[name] for name in expected} == expected
    assert call(url_of(entity)).json["data"] == [saved]
    found = call(f"/api/v1/{entity.name}", query_string={**saved["filter"], "sort": saved["sort"]}).json["data"]
    assert [record[entity.key.name] for record in found] == [key_of(entity, "ada")]


def test_pages_and_programs_share_their_filters(app: APIFlask, alice: Person, entity: Entity, call: Call) -> None:
    add_record(app, alice, entity)
    save(call, entity, name="Of a program", sort="name")
    url = saved_links(alice.client.get(f"/{entity.name}").text)["Of a program"]
    assert parse_qs(urlsplit(url).query) == {**FILTER, "sort": ["name"], "direction": ["asc"]}
    alice.client.post(f"/{entity.name}/filters", data={"name": "Of a page", "query": "q=ada&sort=updated"})
    of_page = call(url_of(entity)).json["data"][0]
    assert (of_page["name"], of_page["filter"], of_page["sort"]) == ("Of a page", {"q": ["ada"]}, "-updated")
    assert of_page["created_by"] == str(alice.user_id)


def test_one_of_the_same_name_is_replaced(entity: Entity, call: Call) -> None:
    first, second = save(call, entity), save(call, entity, filter={})
    assert second["id"] == first["id"]
    assert (second["filter"], second["sort"]) == ({}, None)
    assert len(call(url_of(entity)).json["data"]) == 1


@pytest.mark.parametrize(
    "values",
    [
        {"name": " "},
        {"name": "x" * 81},
        {"filter": {"colour": ["red"]}},
        {"filter": {"where": ["shoe:is:1"]}},
        {"filter": {"created_from": ["yesterday"]}},
        {"filter": {"tag": "vip"}},
        {"sort": "shoe"},
        {"colour": "red"},
    ],
)
def test_what_cannot_be_used_is_refused(entity: Entity, call: Call, values: dict[str, Any]) -> None:
    answer = call(url_of(entity), "POST", json={"name": "Mine", "filter": FILTER, **values})
    assert answer.status_code == 422
    assert call(url_of(entity)).json["data"] == []


def test_a_filter_is_deleted_by_its_own_list_and_organisation(
    app: APIFlask, entity: Entity, call: Call, charlie: Person
) -> None:
    saved = save(call, entity)
    stranger: Call = calling_as(app, charlie.organisation_id)
    other = "products" if entity.name == "contacts" else "contacts"
    assert stranger(url_of(entity)).json["data"] == []
    assert stranger(f"{url_of(entity)}/{saved['id']}", "DELETE").status_code == 404
    assert call(f"/api/v1/{other}/filters/{saved['id']}", "DELETE").status_code == 404
    assert call(f"{url_of(entity)}/{uuid7()}", "DELETE").status_code == 404
    assert call(f"{url_of(entity)}/{saved['id']}", "DELETE").status_code == 204
    assert call(url_of(entity)).json["data"] == []


def test_a_list_shows_only_the_columns_that_are_asked_for(
    app: APIFlask, alice: Person, entity: Entity, call: Call
) -> None:
    record_id = add_record(app, alice, entity, "ada", attributes={"Size": "38", "Colour": "red"})
    key = {entity.key.name: key_of(entity, "ada")}

    def shown(*columns: str) -> dict[str, Any]:
        (record,) = call(f"/api/v1/{entity.name}", query_string={"columns": columns}).json["data"]
        assert record.pop("id") == str(record_id)
        return dict(record)

    assert shown(entity.key.name) == key
    assert shown(entity.key.name, "attributes.Size") == {**key, "attributes": {"Size": "38"}}
    assert shown("attributes") == {"attributes": {"Size": "38", "Colour": "red"}}
    assert set(shown("created_at", "import_id")) == {"created_at", "import_id"}
    assert set(entity.field_names) < set(shown())
    answer = call(f"/api/v1/{entity.name}?columns=shoe")
    assert (answer.status_code, "There is no column called “shoe”." in answer.text) == (422, True)
