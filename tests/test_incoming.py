"""What every request is held to: how large it may be, which texts it may hold, and who is read at all."""

from __future__ import annotations

from io import BytesIO

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.conftest import Person
from tests.probe import probe_app
from webapp.accounts import service
from webapp.config import Settings
from webapp.extensions import db
from webapp.incoming import MAX_BODY_BYTES
from webapp.visits.collecting.beacon import LIST_LIMIT_BYTES

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"


class UnreadBody(BytesIO):
    """A body that fails the test when anybody reads it."""

    def read(self, size: int | None = -1, /) -> bytes:
        raise AssertionError("The body was read.")

    def readinto(self, buffer: object, /) -> int:
        raise AssertionError("The body was read.")


def send_unread(
    client: FlaskClient, path: str, *, length: int = 1000, content_type: str = FORM, secret: str = ""
) -> TestResponse:
    """Say that a body of this length comes, which nobody may begin to read."""
    headers = {"Authorization": f"Bearer {secret}"} if secret else {}
    environment = {"CONTENT_LENGTH": str(length), "CONTENT_TYPE": content_type, "wsgi.input": UnreadBody()}
    return client.post(path, headers=headers, environ_overrides=environment)


@pytest.fixture
def guarded_app(app: APIFlask, services: Settings) -> APIFlask:
    """The app with its forms' tokens checked, as it is served."""
    return probe_app(services, csrf_enabled=True)


@pytest.fixture
def secret(app: APIFlask, alice: Person) -> str:
    with app.app_context():
        _, secret = service.create_api_key(alice.organisation_id, "tests")
        db.session.commit()
    return secret


@pytest.mark.parametrize("path", ["/settings", "/contacts/new", "/bulk-actions", "/sign-out", "/nowhere"])
def test_a_strangers_body_is_not_read(guarded_app: APIFlask, path: str) -> None:
    assert send_unread(guarded_app.test_client(), path).status_code in {302, 404}


@pytest.mark.parametrize("path", ["/api/v1/visits", "/api/v1/contacts", "/api/v1/bulk-actions/upload"])
def test_a_body_without_a_key_is_not_read(guarded_app: APIFlask, path: str) -> None:
    assert send_unread(guarded_app.test_client(), path, content_type=JSON).status_code == 401


def test_a_form_that_is_too_large_is_refused_unread(alice: Person) -> None:
    assert send_unread(alice.client, "/settings", length=MAX_BODY_BYTES + 1).status_code == 413


def test_a_body_of_the_api_that_is_too_large_is_refused_unread(client: FlaskClient, secret: str) -> None:
    answer = send_unread(client, "/api/v1/contacts", length=MAX_BODY_BYTES + 1, content_type=JSON, secret=secret)
    assert answer.status_code == 413
    assert answer.content_type == "application/problem+json"


def test_visits_that_are_too_large_are_refused_unread(client: FlaskClient, secret: str) -> None:
    answer = send_unread(client, "/api/v1/visits", length=LIST_LIMIT_BYTES + 1, content_type=JSON, secret=secret)
    assert answer.status_code == 413
    assert answer.json is not None
    assert answer.json["detail"].startswith("At most 4 MiB at a time")


@pytest.mark.parametrize("path", ["/api/v1/visits", "/api/v1/contacts"])
def test_json_that_is_nested_too_deeply_is_refused(client: FlaskClient, secret: str, path: str) -> None:
    headers = {"Authorization": f"Bearer {secret}"}
    answer = client.post(path, data=b"[" * 60_000, content_type=JSON, headers=headers)
    assert answer.status_code == 400
    assert answer.content_type == "application/problem+json"


@pytest.mark.parametrize("path", ["/bulk-actions", "/api/v1/bulk-actions/upload"])
def test_an_uploaded_file_has_a_bound_of_its_own(alice: Person, client: FlaskClient, secret: str, path: str) -> None:
    rows = b"email,city\n" + b"a@example.com," + b"x" * MAX_BODY_BYTES + b"\n"
    sender, headers = (client, {"Authorization": f"Bearer {secret}"}) if "api" in path else (alice.client, {})
    answer = sender.post(path, data={"file": (BytesIO(rows), "people.csv")}, headers=headers)
    assert answer.status_code in {202, 303}


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/settings", {"name": "a\x00b", "time_zone": "UTC"}),
        ("/settings/api-keys", {"api_key_name": "a\x00b"}),
        ("/visits/sites", {"name": "a\x00b", "origin": "https://a.example"}),
        ("/contacts/new", {"email": "a@example.com", "first_name": "\x00"}),
    ],
)
def test_a_form_with_a_character_that_no_text_may_hold_is_refused(
    alice: Person, path: str, form: dict[str, str]
) -> None:
    answer = alice.client.post(path, data=form)
    assert answer.status_code == 400
    assert "U+0000" in answer.text


def test_an_address_with_a_character_that_no_text_may_hold_is_refused(
    alice: Person, client: FlaskClient, secret: str
) -> None:
    assert alice.client.get("/contacts?q=a%00b").status_code == 400
    answer = client.get("/api/v1/contacts?q=a%00b", headers={"Authorization": f"Bearer {secret}"})
    assert answer.status_code == 400
    assert answer.content_type == "application/problem+json"
