"""Saying which records: what is misspelt or malformed is refused, and never stands for everything."""

from __future__ import annotations

import json
from typing import Any

import pytest
from apiflask import APIFlask

from tests.bulk_actions.support import work_off
from tests.bulk_actions.test_api import calling_as, problem
from tests.bulk_actions.verbs.test_verbs import HEADER, rows_of
from tests.conftest import Person
from tests.records.test_merge import import_rows
from webapp.bulk_actions.models import BulkAction
from webapp.bulk_actions.verbs.selection import SelectionError, selection_from
from webapp.config import Settings

ID = "3f2c8a94-5d0e-4f6b-9a52-7d1f0c3b6e11"
REFUSED: list[tuple[Any, str]] = [
    ({"filter": {"wher": ["city:is:Nowhere"]}}, "A filter has no “wher”"),
    ({"filter": {"q": 5}}, "“q” of a filter is a text, or a list of texts"),
    ({"filter": {"q": None}}, "“q” of a filter is a text, or a list of texts"),
    ({"filter": {"tag": [["vip"]]}}, "“tag” of a filter is a text, or a list of texts"),
    ({"filter": {"tag": {"vip": True}}}, "“tag” of a filter is a text, or a list of texts"),
    ({"filter": {"tag": [""]}}, "“tag” of a filter is blank"),
    ({"filter": {"q": ["a", "b"]}}, "“q” of a filter can be given only once"),
    ({"filter": {"q": "a\x00"}}, "“q” of a filter contains a character that no text may hold"),
    ({"filter": {"where": ["city:is:\ud800"]}}, "“where” of a filter contains a character that no text may hold"),
    ({"filter": {"\ud800": ["x"]}}, "A filter has no"),
    ({"filter": [["q", "a"]]}, "`filter` is an object"),
    ({"filter": None}, "`filter` is an object"),
    ({"filter": {}, "zone": 5}, "`zone` is the name of a time zone"),
    ({"filter": {}, "zoen": "Europe/Berlin"}, "A selection by `filter` has no “zoen”"),
    ({"filter": {}, "ids": [ID]}, "either `ids`, or a `filter`"),
    ({"filters": {}}, "either `ids`, or a `filter`"),
    ({}, "either `ids`, or a `filter`"),
    ([], "either `ids`, or a `filter`"),
    ({"ids": [], "filtre": {}}, "A selection by `ids` has no “filtre”"),
    ({"ids": []}, "Choose 1 to 10,000 records"),
    ({"ids": ID}, "`ids` is a list of ids"),
    ({"ids": {ID: 1}}, "`ids` is a list of ids"),
    ({"ids": [5]}, "“5” is no id"),
    ({"deletion_id": [ID]}, "is no id"),
]
MALFORMED: list[dict[str, Any]] = [
    {"wher": ["city:is:Nowhere"]},
    {"where": ["city=Rome"]},
    {"where": ["city"]},
    {"where": [5]},
    {"where": [["city:is:Rome"]]},
    {"q": "\x00"},
    {"created_from": ["a while ago"]},
]


@pytest.fixture(autouse=True)
def people(app: APIFlask, alice: Person) -> BulkAction:
    return import_rows(app, alice.organisation_id, [[f"p{n}@example.com"] for n in range(5)], HEADER)


@pytest.mark.parametrize(("given", "said"), REFUSED, ids=repr)
def test_what_is_no_selection_is_explained(given: Any, said: str) -> None:
    with pytest.raises(SelectionError, match=said):
        selection_from(given)


def test_what_was_kept_is_read_again() -> None:
    for given in (
        {"ids": [ID]},
        {"deletion_id": ID},
        {"filter": {"tag": ["a", "b"], "q": ["x"]}, "zone": "Asia/Kathmandu"},
        {"filter": {}, "zone": "UTC"},
    ):
        assert selection_from(given).as_json() == given
    assert selection_from({"filter": {"q": "x"}}, "Europe/Berlin").as_json() == {
        "filter": {"q": ["x"]},
        "zone": "Europe/Berlin",
    }


@pytest.mark.parametrize("given", MALFORMED, ids=repr)
def test_a_malformed_filter_deletes_nothing(app: APIFlask, alice: Person, services: Settings, given: Any) -> None:
    call = calling_as(app, alice.organisation_id)
    body = {"verb": "delete", "entity": "contacts", "selection": {"filter": given}, "confirm": 5}
    assert problem(call("/api/v1/bulk-actions", "POST", json=body))[0] == 422
    data = {"entity": "contacts", "verb": "delete", "selection": json.dumps({"filter": given}), "typed_count": "5"}
    for address in ("/bulk-actions/new", "/bulk-actions/start-verb"):
        assert alice.client.post(address, data=data).status_code == 400
    work_off(app)
    assert len(rows_of(services)) == 5
