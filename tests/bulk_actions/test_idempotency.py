"""Calls that are repeated start one import, and a file that was imported before is named."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from apiflask import APIFlask
from werkzeug.test import TestResponse

from tests.bulk_actions.support import count_rows, csv_of, people, upload, work_off
from tests.bulk_actions.test_api import UPLOAD, Call, calling_as
from tests.bulk_actions.test_resumable import stored_keys
from tests.conftest import Person, owner_connection
from webapp.bulk_actions import api
from webapp.config import Settings

PEOPLE = csv_of([["ada@example.com", "Ada"], ["grace@example.com", "Grace"]])


@pytest.fixture
def call(app: APIFlask, organisation_id: UUID) -> Call:
    return calling_as(app, organisation_id)


def send(call: Call, content: bytes = PEOPLE, key: str = "one", **fields: str) -> TestResponse:
    form = {**fields, "file": (io.BytesIO(content), "people.csv")}
    return call(UPLOAD, "POST", headers={"Idempotency-Key": key}, data=form)


def json_of(answer: TestResponse) -> dict[str, Any]:
    assert answer.status_code == 202, answer.text
    assert isinstance(answer.json, dict)
    return answer.json


def test_a_repeated_call_answers_with_the_first_ones_import(app: APIFlask, services: Settings, call: Call) -> None:
    first = json_of(send(call))
    work_off(app)
    again = json_of(send(call))
    assert again["id"] == first["id"]
    assert again["state"] == "completed"
    assert count_rows(services, "bulk_actions") == count_rows(services, "jobs") == 1


def test_two_calls_at_once_start_one_import(app: APIFlask, services: Settings, call: Call) -> None:
    with ThreadPoolExecutor(max_workers=4) as threads:
        answers = list(threads.map(lambda _: json_of(send(call, people(5_000))), range(4)))
    assert len({answer["id"] for answer in answers}) == 1
    assert count_rows(services, "bulk_actions") == count_rows(services, "jobs") == 1
    assert len(stored_keys(app, services)) == 1
    work_off(app)
    assert count_rows(services, "contacts") == 5_000


def test_a_call_that_died_half_way_leaves_its_key_free(
    app: APIFlask, services: Settings, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(api, "start_draft", dies)
        with pytest.raises(KeyboardInterrupt):
            send(call)
    assert count_rows(services, "bulk_actions") == 0
    assert json_of(send(call))["state"] == "pending"
    assert count_rows(services, "bulk_actions") == 1


def test_another_file_with_a_known_key_is_refused(app: APIFlask, services: Settings, call: Call) -> None:
    send(call)
    answer = send(call, people(3))
    assert answer.status_code == 422
    assert answer.content_type == "application/problem+json"
    assert "Idempotency-Key" in answer.text
    assert count_rows(services, "bulk_actions") == 1
    assert len(stored_keys(app, services)) == 1


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ({"dry_run": "true"}, {}),
        ({}, {"dry_run": "true"}),
        ({"mode": "update_only"}, {"mode": "create_only"}),
        ({"run_at": "2099-01-01T00:00:00+00:00"}, {}),
        ({}, {"mapping": '{"2": "last_name"}'}),
    ],
)
def test_the_same_file_with_other_options_and_a_known_key_is_refused(
    app: APIFlask, services: Settings, call: Call, first: dict[str, str], then: dict[str, str]
) -> None:
    started = json_of(send(call, PEOPLE, "one", **first))
    file_keys = stored_keys(app, services)
    assert send(call, PEOPLE, "one", **then).status_code == 422
    assert stored_keys(app, services) == file_keys
    assert json_of(send(call, PEOPLE, "one", **first))["id"] == started["id"]


def test_a_file_that_was_tried_is_imported_under_a_key_of_its_own(
    app: APIFlask, services: Settings, call: Call
) -> None:
    assert json_of(send(call, key="try", dry_run="true"))["is_dry_run"]
    assert not json_of(send(call, key="real"))["is_dry_run"]
    work_off(app)
    assert count_rows(services, "contacts") == 2


def test_every_organisation_has_keys_of_its_own(app: APIFlask, services: Settings, call: Call, charlie: Person) -> None:
    mine = json_of(send(call))
    theirs = json_of(send(calling_as(app, charlie.organisation_id)))
    assert mine["id"] != theirs["id"]
    assert count_rows(services, "bulk_actions") == 2


def test_the_header_is_described(app: APIFlask) -> None:
    answer = app.test_client().get("/openapi.json").json
    assert answer is not None
    parameters = answer["paths"][UPLOAD]["post"]["parameters"]
    assert [(one["in"], one["name"]) for one in parameters] == [("header", "Idempotency-Key")]


def test_a_program_is_told_that_the_file_was_imported_before(
    app: APIFlask, services: Settings, alice: Person, call: Call
) -> None:
    first = json_of(send(call, key="one"))
    assert first["earlier_imports"] == []
    work_off(app)
    with owner_connection(services) as connection:
        connection.execute("UPDATE bulk_actions SET created_by = %s", [alice.user_id])
    (earlier,) = json_of(send(call, key="two"))["earlier_imports"]
    assert (earlier["id"], earlier["created_by"], earlier["created_count"]) == (first["id"], "Alice", 2)


def test_a_person_is_told_so_before_the_import_is_started(app: APIFlask, alice: Person, call: Call) -> None:
    first = json_of(send(call))
    draft_id = upload(app, alice.organisation_id, PEOPLE)
    page = alice.client.get(f"/bulk-actions/{draft_id}/mapping").text
    assert f"/bulk-actions/{first['id']}" in page
    other_id = upload(app, alice.organisation_id, people(3))
    assert f"/bulk-actions/{first['id']}" not in alice.client.get(f"/bulk-actions/{other_id}/mapping").text


def test_a_file_that_another_kind_of_records_was_made_of_is_named(app: APIFlask, alice: Person, call: Call) -> None:
    first = json_of(send(call, key="one"))
    work_off(app)
    again = json_of(send(call, PEOPLE, "two", entity="products", mapping='{"1": "sku"}'))
    assert [(one["id"], one["entity"]) for one in again["earlier_imports"]] == [(first["id"], "contacts")]
    data = {"entity": "products", "file": (io.BytesIO(PEOPLE), "people.csv")}
    page = alice.client.post("/bulk-actions", data=data, follow_redirects=True).text
    assert "This very file was imported before, as contacts" in page
    assert f"/bulk-actions/{first['id']}" in page


@pytest.mark.parametrize(("created_count", "is_named"), [(1, True), (0, False)])
def test_a_cancelled_import_is_named_when_it_wrote_something(
    services: Settings, call: Call, created_count: int, *, is_named: bool
) -> None:
    first = json_of(send(call, key="one"))
    call(f"/api/v1/bulk-actions/{first['id']}/cancel", "POST")
    with owner_connection(services) as connection:
        connection.execute("UPDATE bulk_actions SET created_count = %s", [created_count])
    assert len(json_of(send(call, key="two"))["earlier_imports"]) == int(is_named)


def test_another_organisation_is_not_told(app: APIFlask, call: Call, charlie: Person) -> None:
    send(call)
    assert json_of(send(calling_as(app, charlie.organisation_id)))["earlier_imports"] == []
