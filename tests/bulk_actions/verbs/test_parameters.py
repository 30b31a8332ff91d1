"""What people say beside the selection: nothing goes into records that one record by itself might not hold."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from apiflask import APIFlask

from tests.bulk_actions.support import work_off
from tests.bulk_actions.test_api import calling_as, problem
from tests.bulk_actions.verbs.test_verbs import ATTRIBUTES, HEADER, do_verb, reasons, rows_of
from tests.conftest import Person, owner_connection
from tests.records.test_merge import import_rows
from webapp.bulk_actions.models import BulkAction, BulkActionState, Verb
from webapp.bulk_actions.verbs.parameters import check_parameters
from webapp.bulk_actions.verbs.selection import Selection
from webapp.config import Settings
from webapp.contacts.models import CONTACTS
from webapp.extensions import tenant
from webapp.products.models import PRODUCTS
from webapp.records.queries import list_attribute_names

Call = Callable[..., Any]
ALL = Selection(arguments={})
UNKEEPABLE = "contains a character that no text may hold"
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("update", {}, "Choose at least one field"),
    ("update", {"value": {"city": "Bonn"}}, "Update knows no parameter called “value”"),
    ("update", {"values": [1]}, "`values` is an object"),
    ("update", {"values": "city"}, "`values` is an object"),
    ("update", {"values": {"attributes.": "x"}}, "needs a name of 1 to 100 characters"),
    ("update", {"values": {"attributes.  ": "x"}}, "needs a name of 1 to 100 characters"),
    ("update", {"values": {"attributes." + "n" * 101: "x"}}, "needs a name of 1 to 100 characters"),
    ("update", {"values": {"attributes.Size": "x" * 20_001}}, "Size has 20,001 characters; at most 20,000 fit"),
    ("update", {"values": {"attributes.Size": "a\x00b"}}, f"Size {UNKEEPABLE}"),
    ("update", {"values": {"attributes.Size": "\ud800"}}, f"Size {UNKEEPABLE}"),
    ("update", {"values": {"attributes.S\x00": "x"}}, UNKEEPABLE),
    ("update", {"values": {"attributes.S\ud800": "x"}}, UNKEEPABLE),
    ("update", {"values": {"attributes.Size": ["x"]}}, "The new value of Size is no text"),
    ("update", {"values": {"attributes.Size": True}}, "The new value of Size is no text"),
    ("update", {"values": {"city": "a\x00"}}, f"City {UNKEEPABLE}"),
    ("update", {"values": {"city": "\udfff"}}, f"City {UNKEEPABLE}"),
    ("update", {"values": {"city": {"de": "Köln"}}}, "The new value of City is no text"),
    ("update", {"values": {"city": ["Köln", "Bonn"]}}, "The new value of City is no text"),
    ("update", {"values": {"city": "x" * 201}}, "City has 201 characters; at most 200 fit"),
    ("update", {"values": {"tags": ["a", 5]}}, "Tags is a list of texts"),
    ("update", {"values": {"tags": [f"t{n}" for n in range(51)]}}, "There are 51 tags; at most 50 fit"),
    ("update", {"values": {"\ud800": "x"}}, "cannot be changed for many contacts at once"),
    ("update", {"values": {"email": "x"}}, "“E-mail” cannot be changed for many contacts at once"),
    ("add_tags", {}, "Say at least one tag"),
    ("add_tags", {"tags": 5}, "`tags` is a list of texts"),
    ("add_tags", {"tags": {"vip": 1}}, "`tags` is a list of texts"),
    ("add_tags", {"tags": [["vip"]]}, "`tags` is a list of texts"),
    ("add_tags", {"tags": ["a\x00b"]}, UNKEEPABLE),
    ("add_tags", {"tags": ["\ud800"]}, UNKEEPABLE),
    ("add_tags", {"tags": "\ud800"}, UNKEEPABLE),
    ("add_tags", {"tags": ["Berlin, Mitte"]}, "The tag “Berlin, Mitte” contains “,”, which separates tags in files"),
    ("add_tags", {"tags": ["a;b"]}, "contains “;”"),
    ("add_tags", {"tags": ["a|b"]}, "contains “|”"),
    ("add_tags", {"tags": ["x" * 101]}, "more than 100 characters"),
    ("add_tags", {"tags": [f"t{n}" for n in range(51)]}, "There are 51 tags; at most 50 fit"),
    ("remove_tags", {"tags": ["\x00"]}, UNKEEPABLE),
    ("export", {"columns": 5}, "`columns` is a list of texts"),
    ("export", {"columns": "email"}, "`columns` is a list of texts"),
    ("export", {"columns": [5]}, "`columns` is a list of texts"),
    ("export", {"columns": ["attributes.a\x00"]}, UNKEEPABLE),
    ("export", {"columns": ["attributes.\ud800"]}, UNKEEPABLE),
    ("export", {"columns": ["attributes."]}, "needs a name of 1 to 100 characters"),
    ("export", {"columns": ["\ud800"]}, "There is no column called"),
    ("export", {"colums": ["email"]}, "Export knows no parameter called “colums”"),
    ("export", {"format": ["csv"]}, "Choose one of the formats"),
    ("export", {"formulas": {}}, "Choose one of the formats"),
    ("delete", {"\ud800": 1}, "Delete knows no parameter"),
]


@pytest.fixture(autouse=True)
def people(app: APIFlask, alice: Person) -> BulkAction:
    rows = [[f"p{n}@example.com", f"N{n}", "Köln", "old", str(n)] for n in range(5)]
    return import_rows(app, alice.organisation_id, rows, HEADER, mapping=ATTRIBUTES)


@pytest.fixture
def call(app: APIFlask, alice: Person) -> Call:
    return calling_as(app, alice.organisation_id)


@pytest.mark.parametrize(("verb", "parameters", "said"), REFUSED, ids=ascii)
def test_what_no_record_may_hold_is_refused_in_plain_words(
    app: APIFlask, call: Call, services: Settings, verb: str, parameters: dict[str, Any], said: str
) -> None:
    before = rows_of(services)
    body = {"verb": verb, "entity": "contacts", "selection": {"filter": {}}, "parameters": parameters}
    answer = call("/api/v1/bulk-actions", "POST", json=body | ({"confirm": 5} if verb == "delete" else {}))
    status, detail = problem(answer)
    assert (status, said in detail) == (422, True), detail
    work_off(app)
    assert rows_of(services) == before


@pytest.mark.parametrize(
    "body",
    [
        {"selection": {"filter": {"q": ["a\x00"]}}},
        {"selection": {"filter": {}, "zone": "\ud800"}},
        {"selection": {"filter": {}, "zone": "Nowhere"}},
        {"selection": {"filter": {"where": ["\ud800:is:x"]}}},
        {"selection": {"filter": {}}, "entity": "\ud800"},
        {"selection": []},
        {"selection": {"filter": {}}, "parameters": []},
    ],
    ids=ascii,
)
def test_odd_texts_elsewhere_are_refused_too(call: Call, body: dict[str, Any]) -> None:
    answer = call("/api/v1/bulk-actions", "POST", json={"verb": "export", "entity": "contacts", **body})
    assert problem(answer)[0] == 422


def test_values_are_kept_as_single_records_keep_them(app: APIFlask, alice: Person) -> None:
    organisation_id = alice.organisation_id
    with app.app_context(), tenant(organisation_id):
        values = {"price": 5, "currency": "eur", "is_active": False, "tags": ["b", "a"], "attributes.Size": 40}
        checked = check_parameters(Verb.UPDATE, PRODUCTS, organisation_id, {"values": values})
        assert checked["values"] == {
            "price": "5.0000", "currency": "EUR", "is_active": "f", "tags": '{"a","b"}', "attributes.Size": "40",
        }  # fmt: skip
        assert check_parameters(Verb.ADD_TAGS, CONTACTS, organisation_id, {"tags": "b; a|c,\n d  e"}) == {
            "tags": ["a", "b", "c", "d e"]
        }
        columns = ["email", "attributes.Size", "email"]
        assert check_parameters(Verb.EXPORT, CONTACTS, organisation_id, {"columns": columns})["columns"] == columns[:2]


def test_tags_with_separators_can_still_be_removed(app: APIFlask, alice: Person, services: Settings) -> None:
    with owner_connection(services) as connection:
        connection.execute("UPDATE contacts SET tags = ARRAY['Berlin, Mitte', 'old']")
    do_verb(app, alice.organisation_id, Verb.REMOVE_TAGS, ALL, {"tags": ["Berlin, Mitte"]})
    assert set(rows_of(services, "tags::text").values()) == {("{old}",)}


def test_records_that_would_have_too_many_tags_fail_and_the_others_go_on(
    app: APIFlask, alice: Person, services: Settings
) -> None:
    tags = [f"t{n:02}" for n in range(49)]
    with owner_connection(services) as connection:
        connection.execute("UPDATE contacts SET tags = %s WHERE email_key = 'p1@example.com'", [tags])
        connection.execute("UPDATE contacts SET tags = %s WHERE email_key = 'p2@example.com'", [[*tags, "a", "b"]])
        connection.execute("UPDATE contacts SET tags = %s WHERE email_key = 'p3@example.com'", [["a", *tags]])
    done = do_verb(app, alice.organisation_id, Verb.ADD_TAGS, ALL, {"tags": ["a", "b"]})
    assert (done.state, done.succeeded_count, done.skipped_count, done.failed_count) == (
        BulkActionState.COMPLETED, 2, 1, 2,
    )  # fmt: skip
    assert reasons(services, done) == {"It would have more than 50 tags."}
    kept = {email: len(row[0]) for email, row in rows_of(services, "tags").items()}
    assert kept == {
        "p0@example.com": 3, "p1@example.com": 49, "p2@example.com": 51, "p3@example.com": 50, "p4@example.com": 3,
    }  # fmt: skip


def test_records_that_would_have_too_many_fields_of_their_own_fail(
    app: APIFlask, alice: Person, services: Settings
) -> None:
    many = json.dumps({f"a{n}": "x" for n in range(200)})
    with owner_connection(services) as connection:
        connection.execute("UPDATE contacts SET attributes = %s WHERE email_key = 'p1@example.com'", [many])
    done = do_verb(app, alice.organisation_id, Verb.UPDATE, ALL, {"values": {"attributes.New": "1"}})
    assert (done.succeeded_count, done.failed_count) == (4, 1)
    assert reasons(services, done) == {"It would have more than 200 fields of your own."}
    back = do_verb(
        app, alice.organisation_id, Verb.UPDATE, ALL, {"values": {"attributes.a0": "", "attributes.a1": "y"}}
    )
    assert (back.succeeded_count, back.failed_count) == (5, 0)


def test_lists_offer_own_attributes_that_an_update_brought(app: APIFlask, alice: Person, services: Settings) -> None:
    values = {"attributes.Score": "9", "attributes.Nothing": ""}
    do_verb(app, alice.organisation_id, Verb.UPDATE, ALL, {"values": values})
    with app.app_context(), tenant(alice.organisation_id):
        assert list_attribute_names(alice.organisation_id, CONTACTS) == ["Score", "Shoe size"]
    assert "Score" in alice.client.get("/contacts").text


def test_a_record_that_was_changed_for_many_can_be_changed_alone(
    app: APIFlask, alice: Person, call: Call, services: Settings
) -> None:
    do_verb(app, alice.organisation_id, Verb.UPDATE, ALL, {"values": {"attributes.B": "x" * 20_000}})
    record_id = rows_of(services, "id")["p1@example.com"][0]
    assert call(f"/api/v1/contacts/{record_id}", "PATCH", json={"attributes": {"ok": "1"}}).status_code == 200
