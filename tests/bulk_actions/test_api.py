"""Imports over the API: started by an upload, read, listed, and streamed."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from uuid import UUID

import pytest
from apiflask import APIFlask
from werkzeug.test import TestResponse

from tests.bulk_actions.support import contacts, count_rows, csv_of, start, work_off
from tests.conftest import Person, owner_connection
from webapp.accounts.service import create_api_key
from webapp.bulk_actions.files import Upload
from webapp.config import Settings
from webapp.extensions import db, tenant
from webapp.lib.redis import broker_client
from webapp.lib.signing import unsign
from webapp.live.channels import PURPOSE, bulk_action_channel, state_key

UPLOAD = "/api/v1/bulk-actions/upload"
Call = Callable[..., TestResponse]


def calling_as(app: APIFlask, organisation_id: UUID) -> Call:
    """What calls the API with a key of this organisation."""
    with app.app_context(), tenant(organisation_id):
        _, secret = create_api_key(organisation_id, "Tests")
        db.session.commit()

    def call(path: str, method: str = "GET", headers: dict[str, str] | None = None, **options: Any) -> TestResponse:
        headers = {"Authorization": f"Bearer {secret}"} | (headers or {})
        return app.test_client().open(path, method=method, headers=headers, **options)

    return call


@pytest.fixture
def call(app: APIFlask, organisation_id: UUID) -> Call:
    return calling_as(app, organisation_id)


def upload(call: Call, content: bytes, **fields: str) -> TestResponse:
    return call(UPLOAD, "POST", data={**fields, "file": (io.BytesIO(content), "people.csv")})


def problem(answer: TestResponse) -> tuple[int, str]:
    assert answer.content_type == "application/problem+json"
    assert answer.json is not None
    return answer.status_code, answer.json["detail"]


def test_an_upload_starts_an_import_with_automatic_matching(
    app: APIFlask, services: Settings, organisation_id: UUID, call: Call
) -> None:
    answer = upload(call, csv_of([["ada@example.com", "Ada"]], ["Mail", "Forename"]), entity="contacts")
    assert answer.status_code == 202
    assert answer.json is not None
    assert answer.json["state"] == "pending"
    assert answer.json["mapping"] == [
        {"column": 1, "name": "Mail", "field": "email"},
        {"column": 2, "name": "Forename", "field": "first_name"},
    ]
    work_off(app)
    shown = call(f"/api/v1/bulk-actions/{answer.json['id']}").json
    assert shown is not None
    assert (shown["state"], shown["row_count"], shown["created_count"], shown["fraction"]) == ("completed", 1, 1, 1.0)
    assert contacts(services, organisation_id)[0][:2] == ("ada@example.com", "Ada")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "The file is empty"),
        (b"Email,Name\n", "a header and no rows"),
        (b"%PDF-1.7", "This is a PDF, not a CSV"),
        (b"Name,City\nAda,London\n", "No column is matched to “E-mail”"),
    ],
)
def test_what_cannot_be_imported_is_refused_and_forgotten(
    services: Settings, call: Call, content: bytes, words: str
) -> None:
    status, detail = problem(upload(call, content))
    assert status == 422
    assert words in detail
    assert count_rows(services, "bulk_actions") == 0


def test_no_transaction_waits_for_an_upload(services: Settings, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    idle_counts = []

    def look(upload: Upload, blocks: Iterable[bytes]) -> Iterator[bytes]:
        with owner_connection(services) as connection:
            row = connection.execute(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND state LIKE 'idle in transaction%'"
            ).fetchone()
        idle_counts.append(row)
        yield from watched(upload, blocks)

    watched = Upload.watched
    monkeypatch.setattr(Upload, "watched", look)
    assert upload(call, csv_of([["ada@example.com"]])).status_code == 202
    assert idle_counts == [(0,)]


def test_two_columns_of_one_name_are_told_apart_by_their_place(call: Call) -> None:
    answer = upload(call, b"email,email,city\na@example.com,b@example.com,Leeds\n")
    assert answer.json is not None
    assert [(one["column"], one["name"], one["field"]) for one in answer.json["mapping"]] == [
        (1, "email", "email"),
        (2, "email (2)", None),
        (3, "city", "city"),
    ]


def test_an_unknown_entity_and_a_missing_file_are_named(call: Call) -> None:
    assert problem(upload(call, b"Email\na@example.com\n", entity="cars"))[0] == 422
    assert "“file”" in problem(call(UPLOAD, "POST", data={"entity": "contacts"}, content_type="multipart/form-data"))[1]
    assert "multipart/form-data" in problem(call(UPLOAD, "POST", data=b"Email\n"))[1]


def test_a_file_over_the_limit_is_refused_by_its_length_alone(app: APIFlask, services: Settings, call: Call) -> None:
    limit = services.upload_limit_bytes
    length = {"CONTENT_LENGTH": str(10 * limit)}
    answer = call(UPLOAD, "POST", content_type="multipart/form-data; boundary=x", environ_overrides=length)
    status, detail = problem(answer)
    assert status == 413
    assert "The file is larger than 2 GB" in detail
    assert count_rows(services, "bulk_actions") == 0


def test_lists_are_paged_newest_first(app: APIFlask, organisation_id: UUID, call: Call) -> None:
    ids = [str(start(app, organisation_id, csv_of([["ada@example.com"]]))) for _ in range(3)]
    first = call("/api/v1/bulk-actions?limit=2").json
    assert first is not None
    assert [one["id"] for one in first["data"]] == ids[:0:-1]
    rest = call(f"/api/v1/organisations/{organisation_id}/bulk-actions?limit=2&cursor={first['next_cursor']}").json
    assert rest is not None
    assert ([one["id"] for one in rest["data"]], rest["next_cursor"]) == (ids[:1], None)
    empty = call("/api/v1/bulk-actions?state=completed").json
    assert empty is not None
    assert empty["data"] == []
    assert call("/api/v1/bulk-actions?state=asleep").status_code == 422


def test_events_lead_to_a_signed_stream_of_json(
    app: APIFlask, services: Settings, organisation_id: UUID, call: Call
) -> None:
    bulk_action_id = start(app, organisation_id, csv_of([["ada@example.com"]]))
    answer = call(f"/api/v1/bulk-actions/{bulk_action_id}/events")
    assert answer.status_code == 302
    prefix, _, signed = answer.location.rpartition("/")
    assert prefix == f"{services.edge_url}/live"
    channel = bulk_action_channel(organisation_id, bulk_action_id)
    assert unsign(services.secret_key, PURPOSE, signed, 60) == f"json {channel}"
    assert published(services, channel)["data"]["state"] == "pending"
    work_off(app)
    last = published(services, channel)
    assert (last["final"], last["data"]["state"], last["data"]["created_count"]) == (True, "completed", 1)
    assert "Every row is accounted for" in last["html"]


def published(settings: Settings, channel: str) -> dict[str, Any]:
    state = broker_client(settings).get(state_key(channel))
    assert isinstance(state, bytes)
    content: dict[str, Any] = json.loads(state)
    return content


def test_another_organisations_key_finds_nothing(app: APIFlask, organisation_id: UUID, charlie: Person) -> None:
    bulk_action_id = start(app, organisation_id, csv_of([["ada@example.com"]]))
    call = calling_as(app, charlie.organisation_id)
    for path in (
        f"/api/v1/bulk-actions/{bulk_action_id}",
        f"/api/v1/bulk-actions/{bulk_action_id}/events",
        f"/api/v1/organisations/{organisation_id}/bulk-actions",
    ):
        assert problem(call(path))[0] == 404
    listed = call("/api/v1/bulk-actions").json
    assert listed is not None
    assert listed["data"] == []


@pytest.mark.parametrize("path", [UPLOAD, "/api/v1/bulk-actions", "/api/v1/bulk-actions/" + str(UUID(int=1))])
def test_without_a_key_there_is_no_answer(app: APIFlask, path: str) -> None:
    method = "POST" if path == UPLOAD else "GET"
    assert app.test_client().open(path, method=method).status_code == 401
