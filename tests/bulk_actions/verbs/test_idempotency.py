"""Calls for a verb, for an undo and to delete everything are each done once, however often they are repeated."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from apiflask import APIFlask

from tests.bulk_actions.support import work_off
from tests.bulk_actions.test_api import calling_as, problem
from tests.bulk_actions.verbs.test_verbs import HEADER, rows_of
from tests.conftest import Person
from tests.records.test_merge import import_rows
from webapp.bulk_actions.models import BulkAction
from webapp.config import Settings

Call = Callable[..., Any]
START = "/api/v1/bulk-actions"
TAG = {"verb": "add_tags", "entity": "contacts", "selection": {"filter": {}}, "parameters": {"tags": ["vip"]}}


@pytest.fixture
def call(app: APIFlask, alice: Person) -> Call:
    calls = calling_as(app, alice.organisation_id)

    def with_key(path: str, method: str = "POST", key: str = "one", **options: Any) -> Any:
        return calls(path, method, headers={"Idempotency-Key": key}, **options)

    return with_key


@pytest.fixture(autouse=True)
def people(app: APIFlask, alice: Person) -> BulkAction:
    return import_rows(app, alice.organisation_id, [[f"p{n}@example.com", "", "Köln"] for n in range(5)], HEADER)


@pytest.mark.parametrize(
    "change",
    [
        {"run_at": "2099-01-01T00:00:00+00:00"},
        {"entity": "products"},
        {"selection": {"filter": {"q": "p1"}}},
        {"parameters": {"tags": ["vip", "new"]}},
    ],
)
def test_another_request_with_a_known_key_is_refused(call: Call, change: dict[str, Any]) -> None:
    first = call(START, json=TAG)
    assert first.status_code == 202
    status, detail = problem(call(START, json={**TAG, **change}))
    assert (status, "asked for something else" in detail) == (422, True)
    assert call(START, json=TAG).json["id"] == first.json["id"]


def test_a_repeated_call_is_answered_also_when_no_more_may_be_started(app: APIFlask, call: Call) -> None:
    first = call(START, json=TAG)
    settings: Settings = app.extensions["settings"]
    app.extensions["settings"] = dataclasses.replace(settings, bulk_actions_per_hour=1)
    try:
        again, other = call(START, json=TAG), call(START, key="two", json=TAG)
    finally:
        app.extensions["settings"] = settings
    assert (again.status_code, again.json["id"], other.status_code) == (202, first.json["id"], 429)


def test_deleting_everything_is_repeated_without_harm(app: APIFlask, call: Call, services: Settings) -> None:
    first = call("/api/v1/contacts?confirm=5", "DELETE")
    work_off(app)
    assert rows_of(services) == {}
    again = call("/api/v1/contacts?confirm=5", "DELETE")
    assert (again.status_code, again.json["id"], again.json["state"]) == (202, first.json["id"], "completed")
    assert call("/api/v1/contacts?confirm=4", "DELETE").status_code == 422
    assert call("/api/v1/products?confirm=5", "DELETE").status_code == 422
    assert call("/api/v1/contacts?confirm=5", "DELETE", key="two").status_code == 409


def test_an_undo_is_repeated_without_harm(app: APIFlask, call: Call, services: Settings, people: BulkAction) -> None:
    undo = f"{START}/{people.id}/undo"
    first = call(undo)
    work_off(app)
    again = call(undo)
    assert (again.status_code, again.json["id"], again.json["state"]) == (202, first.json["id"], "completed")
    assert call(f"{START}/{first.json['id']}/undo").status_code == 422
    assert call(undo, key="two").status_code == 409
    assert rows_of(services) == {}


def test_the_header_is_described_wherever_it_counts(app: APIFlask) -> None:
    description = app.test_client().get("/openapi.json").json
    assert description is not None
    for path, method in ((START, "post"), ("/api/v1/contacts", "delete"), (f"{START}/{{bulk_action_id}}/undo", "post")):
        parameters = description["paths"][path][method]["parameters"]
        assert "Idempotency-Key" in [one["name"] for one in parameters], (method, path)
