"""API keys: who may in, as whom, and what is kept of them."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from apiflask import APIFlask
from werkzeug.test import TestResponse

from tests.conftest import Person, owner_connection
from tests.probe import probe_app
from webapp.accounts import service
from webapp.accounts.api_keys import new_secret, organisation_in
from webapp.config import Settings
from webapp.extensions import current_tenant, db


@pytest.fixture
def probe(app: APIFlask, services: Settings) -> APIFlask:
    return probe_app(services)


def make_key(app: APIFlask, organisation_id: UUID) -> str:
    with app.app_context():
        _, secret = service.create_api_key(organisation_id, "web shop")
        db.session.commit()
    return secret


def call(app: APIFlask, authorization: str | None) -> TestResponse:
    headers = {"Authorization": authorization} if authorization is not None else {}
    return app.test_client().get("/api/v1/probe/keyed", headers=headers)


def last_used_at(services: Settings) -> datetime | None:
    with owner_connection(services) as connection:
        row = connection.execute("SELECT last_used_at FROM api_keys").fetchone()
    return row[0] if row else None


def test_a_key_sees_its_organisation_and_no_other(probe: APIFlask, alice: Person, charlie: Person) -> None:
    answer = call(probe, f"Bearer {make_key(probe, alice.organisation_id)}")
    assert answer.json == {"tenant": str(alice.organisation_id), "count": 1}
    assert current_tenant() is None


def test_a_key_names_its_organisation(organisation_id: UUID) -> None:
    assert organisation_in(new_secret(organisation_id)) == organisation_id


def test_only_the_hash_is_kept(probe: APIFlask, alice: Person, services: Settings) -> None:
    secret = make_key(probe, alice.organisation_id)
    with owner_connection(services) as connection:
        kept = connection.execute("SELECT secret_hash, api_keys::text FROM api_keys").fetchone()
    assert kept is not None
    assert kept[0] == hashlib.sha256(secret.encode()).digest()
    assert secret.rsplit("_", 1)[1] not in kept[1]


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer ", "Bearer ff_nonsense", "Basic YTpi", "Bearer ff_é", "Bearer a b"]
)
def test_a_missing_or_malformed_key_is_refused(probe: APIFlask, authorization: str | None) -> None:
    assert_refused(call(probe, authorization))


def test_a_wrong_key_is_refused(probe: APIFlask, alice: Person) -> None:
    make_key(probe, alice.organisation_id)
    assert_refused(call(probe, f"Bearer {new_secret(alice.organisation_id)}"))


def test_a_secret_under_another_organisations_name_is_refused(probe: APIFlask, alice: Person, charlie: Person) -> None:
    secret = make_key(probe, alice.organisation_id)
    forged = secret.replace(alice.organisation_id.hex, charlie.organisation_id.hex)
    assert_refused(call(probe, f"Bearer {forged}"))


def test_a_revoked_key_is_refused(probe: APIFlask, alice: Person, services: Settings) -> None:
    secret = make_key(probe, alice.organisation_id)
    with owner_connection(services) as connection:
        connection.execute("UPDATE api_keys SET revoked_at = now()")
    assert_refused(call(probe, f"Bearer {secret}"))


def test_a_signed_in_browsers_cookie_opens_nothing(probe: APIFlask, alice: Person) -> None:
    client = probe.test_client()
    with client.session_transaction() as cookie:
        cookie["_user_id"] = alice.cookie_id
    assert_refused(client.get("/api/v1/probe/keyed"))


def test_the_last_use_is_noted_once_a_minute(probe: APIFlask, alice: Person, services: Settings) -> None:
    secret = make_key(probe, alice.organisation_id)
    assert last_used_at(services) is None
    call(probe, f"Bearer {secret}")
    first = last_used_at(services)
    assert first is not None
    assert datetime.now(UTC) - first < timedelta(seconds=30)
    call(probe, f"Bearer {secret}")
    assert last_used_at(services) == first
    with owner_connection(services) as connection:
        connection.execute("UPDATE api_keys SET last_used_at = last_used_at - interval '61 seconds'")
    call(probe, f"Bearer {secret}")
    again = last_used_at(services)
    assert again is not None
    assert again > first


def assert_refused(answer: TestResponse) -> None:
    assert answer.status_code == 401
    assert answer.content_type == "application/problem+json"
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="Footfall"'
    assert answer.json is not None
    assert answer.json["title"] == "API key required"
    assert answer.json["status"] == 401
    assert current_tenant() is None
