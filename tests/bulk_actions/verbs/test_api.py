"""Verbs over the API: start, repeat, cancel, undo, and read what became of each record."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from apiflask import APIFlask

from tests.bulk_actions.support import csv_of, work_off
from tests.bulk_actions.test_api import calling_as, problem
from tests.bulk_actions.verbs.test_verbs import HEADER, rows_of
from tests.conftest import Person, owner_connection
from tests.records.test_merge import import_rows
from webapp.bulk_actions.models import BulkAction
from webapp.config import Settings

Call = Callable[..., Any]
ALL: dict[str, Any] = {"filter": {}}


@pytest.fixture
def call(app: APIFlask, alice: Person) -> Call:
    return calling_as(app, alice.organisation_id)


@pytest.fixture(autouse=True)
def people(app: APIFlask, alice: Person) -> BulkAction:
    rows = [[f"p{n}@example.com", f"N{n}", "Köln", "old", str(n)] for n in range(5)]
    return import_rows(app, alice.organisation_id, rows, HEADER)


def started(app: APIFlask, call: Call, verb: str, **more: Any) -> dict[str, Any]:
    answer = call("/api/v1/bulk-actions", "POST", json={"verb": verb, "entity": "contacts", "selection": ALL, **more})
    assert answer.status_code == 202, answer.text
    work_off(app)
    done: dict[str, Any] = call(answer.headers["Location"]).json
    return done


def test_a_verb_is_started_and_read(app: APIFlask, call: Call, services: Settings) -> None:
    selection = {"filter": {"where": ["first_name:is:N1"]}}
    done = started(app, call, "update", selection=selection, parameters={"values": {"city": "Bonn"}})
    assert (done["state"], done["succeeded_count"], done["verb"]) == ("completed", 1, "update")
    assert rows_of(services, "city")["p1@example.com"] == ("Bonn",)
    page = call(f"/api/v1/bulk-actions/{done['id']}/records?outcome=succeeded").json
    assert [row["reason"] for row in page["data"]] == [None]
    assert page["next_cursor"] is None


def test_outcomes_are_paged(call: Call, people: BulkAction) -> None:
    seen, cursor = [], ""
    for _ in range(3):
        page = call(f"/api/v1/bulk-actions/{people.id}/records?outcome=created&limit=2&cursor={cursor}").json
        seen += [row["record_id"] for row in page["data"]]
        cursor = page["next_cursor"] or ""
    assert len(set(seen)) == 5
    assert cursor == ""


def test_a_repeated_call_is_answered_with_the_first_ones_action(app: APIFlask, call: Call, services: Settings) -> None:
    body = {"verb": "add_tags", "entity": "contacts", "selection": ALL, "parameters": {"tags": ["vip"]}}
    first, second = (with_key(app, services, call, "one", body) for _ in range(2))
    assert first.json["id"] == second.json["id"]
    other = with_key(app, services, call, "one", {**body, "parameters": {"tags": ["other"]}})
    assert other.status_code == 422
    assert "asked for something else" in other.json["detail"]


def with_key(app: APIFlask, services: Settings, call: Call, key: str, body: dict[str, Any]) -> Any:
    return call("/api/v1/bulk-actions", "POST", json=body, environ_overrides={"HTTP_IDEMPOTENCY_KEY": key})


def test_a_repeated_upload_starts_one_import(app: APIFlask, call: Call) -> None:
    def upload(content: bytes) -> Any:
        data = {"file": (io.BytesIO(content), "people.csv")}
        override = {"HTTP_IDEMPOTENCY_KEY": "upload-1"}
        return call("/api/v1/bulk-actions/upload", "POST", data=data, environ_overrides=override)

    content = csv_of([["new@example.com", "New"]], HEADER)
    first, second = upload(content), upload(content)
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json["id"] == second.json["id"]
    assert upload(content + b"more@example.com,,,,\n").status_code == 422
    work_off(app)
    assert call(f"/api/v1/bulk-actions/{first.json['id']}").json["created_count"] == 1


def test_an_upload_says_mapping_rules_and_that_it_only_tries(app: APIFlask, call: Call, services: Settings) -> None:
    data = {
        "mapping": json.dumps({"2": "last_name", "5": "attributes.Size"}),
        "rules": json.dumps({"policies": {"city": "fill"}}),
        "mode": "update_only",
        "dry_run": "true",
        "file": (
            io.BytesIO(csv_of([["p1@example.com", "Last", "Rome", "", "40"], ["q@example.com"]], HEADER)),
            "x.csv",
        ),
    }
    answer = call("/api/v1/bulk-actions/upload", "POST", data=data)
    assert answer.status_code == 202, answer.text
    work_off(app)
    done = call(f"/api/v1/bulk-actions/{answer.json['id']}").json
    assert (done["updated_count"], done["rejected_count"], done["is_dry_run"]) == (1, 1, True)
    assert done["mapping"][1]["field"] == "last_name"
    assert rows_of(services, "last_name, city")["p1@example.com"] == (None, "Köln")
    rejected = call(f"/api/v1/bulk-actions/{done['id']}/rows").json["data"]
    assert rejected[0]["reason"] == "There is no contact with this e-mail."


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("mapping", "{", "is not JSON"),
        ("mapping", '{"99": "city"}', "There is no column “99”"),
        ("mapping", '{"2": "shoe"}', "There is no field called “shoe”"),
        ("mode", "burn", "The rules cannot be used"),
        ("run_at", "tomorrow", "is not a moment"),
        ("run_at", "2026-11-23T10:00:00", "needs its offset"),
    ],
)
def test_an_option_that_cannot_be_used_starts_nothing(call: Call, field: str, value: str, words: str) -> None:
    data = {field: value, "file": (io.BytesIO(csv_of([["x@example.com"]], HEADER)), "x.csv")}
    status, detail = problem(call("/api/v1/bulk-actions/upload", "POST", data=data))
    assert status == 422
    assert words in detail
    assert len(call("/api/v1/bulk-actions").json["data"]) == 1


def test_undo_and_its_refusal(app: APIFlask, call: Call, services: Settings, people: BulkAction) -> None:
    answer = call(f"/api/v1/bulk-actions/{people.id}/undo", "POST")
    assert answer.status_code == 202
    work_off(app)
    assert rows_of(services) == {}
    assert problem(call(f"/api/v1/bulk-actions/{people.id}/undo", "POST"))[0] == 409


def test_a_waiting_one_is_cancelled(app: APIFlask, call: Call, services: Settings) -> None:
    body = {"verb": "delete", "entity": "contacts", "selection": ALL, "confirm": 5}
    body["run_at"] = "2099-01-01T00:00:00+00:00"
    waiting = call("/api/v1/bulk-actions", "POST", json=body).json
    work_off(app)
    assert call(f"/api/v1/bulk-actions/{waiting['id']}/cancel", "POST").json["state"] == "cancelled"
    assert len(rows_of(services)) == 5


def test_an_export_is_downloaded(app: APIFlask, call: Call) -> None:
    done = started(app, call, "export", parameters={"columns": ["email"]})
    answer = call(f"/api/v1/bulk-actions/{done['id']}/file")
    assert len(answer.data.decode("utf-8-sig").split()) == 6
    assert problem(call(f"/api/v1/bulk-actions/{started(app, call, 'delete', confirm=5)['id']}/file"))[0] == 404


def test_too_many_say_when_to_come_back(app: APIFlask, call: Call) -> None:
    settings: Settings = app.extensions["settings"]
    started(app, call, "export")
    app.extensions["settings"] = dataclasses.replace(settings, bulk_actions_per_hour=1)
    try:
        body = {"verb": "delete", "entity": "contacts", "selection": ALL, "confirm": 5}
        answer = call("/api/v1/bulk-actions", "POST", json=body)
    finally:
        app.extensions["settings"] = settings
    assert answer.status_code == 429
    assert 3_000 < int(answer.headers["Retry-After"]) <= 3_600


@pytest.mark.parametrize("number", [None, 4, 6])
def test_deleting_needs_the_number_of_records(
    app: APIFlask, call: Call, services: Settings, number: int | None
) -> None:
    some = {"filter": {"where": ["first_name:is_not:N0"]}}
    for selection, count in ((ALL, 5), (some, 4)):
        body = {"verb": "delete", "entity": "contacts", "selection": selection}
        confirm = {} if number is None else {"confirm": number + count - 5}
        answer = call("/api/v1/bulk-actions", "POST", json=body | confirm)
        assert problem(answer)[0] == 409
        assert answer.json["count"] == count
        assert f"confirm={count}" in answer.json["detail"]
    work_off(app)
    assert len(rows_of(services)) == 5
    assert started(app, call, "delete", selection=some, confirm=4)["succeeded_count"] == 4
    assert list(rows_of(services)) == ["p0@example.com"]


def test_no_more_are_deleted_than_the_number_says(app: APIFlask, call: Call, services: Settings) -> None:
    some = {"filter": {"where": ["first_name:is:N0"]}}
    body = {"verb": "delete", "entity": "contacts", "selection": some, "confirm": 1}
    path = call("/api/v1/bulk-actions", "POST", json=body).headers["Location"]
    with owner_connection(services) as connection:  # before any worker comes
        connection.execute("UPDATE contacts SET first_name = 'N0'")
    work_off(app)
    done = call(path).json
    assert (done["state"], done["succeeded_count"]) == ("failed", 0)
    assert "5 contacts are selected by now, and 1 were confirmed." in done["error"]
    assert len(rows_of(services)) == 5


def test_a_number_is_no_text(call: Call) -> None:
    body = {"verb": "delete", "entity": "contacts", "selection": ALL, "confirm": "5"}
    assert problem(call("/api/v1/bulk-actions", "POST", json=body))[0] == 422


def test_other_verbs_may_name_the_number_too(call: Call) -> None:
    body = {"verb": "add_tags", "entity": "contacts", "selection": ALL, "parameters": {"tags": ["vip"]}}
    assert problem(call("/api/v1/bulk-actions", "POST", json={**body, "confirm": 6}))[0] == 409
    assert call("/api/v1/bulk-actions", "POST", json={**body, "confirm": 5}).status_code == 202


def test_a_repeated_deletion_is_answered_though_its_records_are_gone(
    app: APIFlask, call: Call, services: Settings
) -> None:
    body = {"verb": "delete", "entity": "contacts", "selection": ALL, "confirm": 5}
    first = with_key(app, services, call, "gone", body)
    work_off(app)
    assert rows_of(services) == {}
    assert with_key(app, services, call, "gone", body).json["id"] == first.json["id"]


@pytest.mark.parametrize(
    "body",
    [
        {"verb": "burn", "entity": "contacts", "selection": ALL},
        {"verb": "delete", "entity": "shoes", "selection": ALL},
        {"verb": "delete", "entity": "contacts", "selection": {"ids": []}},
        {"verb": "delete", "entity": "contacts", "selection": {"ids": ["x"]}},
        {"verb": "delete", "entity": "contacts", "selection": {"filter": {"where": ["shoe:is:1"]}}},
        {"verb": "update", "entity": "contacts", "selection": ALL, "parameters": {"values": {"email": "x"}}},
    ],
)
def test_what_makes_no_sense_is_refused(call: Call, body: dict[str, Any]) -> None:
    assert problem(call("/api/v1/bulk-actions", "POST", json=body))[0] == 422


def test_another_organisations_key_reaches_none_of_it(
    app: APIFlask, charlie: Person, people: BulkAction, services: Settings
) -> None:
    stranger = calling_as(app, charlie.organisation_id)
    for path, method in (("records?outcome=created", "GET"), ("rows", "GET"), ("file", "GET"), ("undo", "POST")):
        assert stranger(f"/api/v1/bulk-actions/{people.id}/{path}", method).status_code == 404
    assert stranger(f"/api/v1/bulk-actions/{people.id}/cancel", "POST").status_code == 404
    assert len(rows_of(services)) == 5
