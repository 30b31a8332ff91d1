"""The settings page: owners change the organisation, members read it, others see nothing of it."""

from __future__ import annotations

import re

import pytest
from apiflask import APIFlask

from tests.conftest import Person, owner_connection
from webapp.config import Settings

CHANGES = [
    ("/settings", {"name": "New", "time_zone": "Europe/Berlin"}),
    ("/settings/invitations", {"email": "dana@example.com"}),
    ("/settings/api-keys", {"api_key_name": "web shop"}),
    ("/settings/members/{alice}/delete", {}),
    ("/settings/members/{bob}/delete", {}),
]


def one(settings: Settings, query: str) -> object:
    with owner_connection(settings) as connection:
        row = connection.execute(query).fetchone()
    return row[0] if row else None


def test_an_owner_changes_name_and_time_zone(alice: Person, services: Settings) -> None:
    answer = alice.client.post("/settings", data={"name": " New  name ", "time_zone": "Europe/Berlin"})
    assert answer.status_code == 303
    page = alice.client.get("/settings").text
    assert "New name" in page
    assert "The settings are saved." in page
    assert one(services, "SELECT time_zone FROM organisations WHERE slug = 'acme'") == "Europe/Berlin"


@pytest.mark.parametrize(
    "form",
    [{"name": "", "time_zone": "UTC"}, {"name": "x" * 101, "time_zone": "UTC"}, {"name": "A", "time_zone": "Mars"}],
)
def test_settings_that_make_no_sense_are_refused(alice: Person, services: Settings, form: dict[str, str]) -> None:
    answer = alice.client.post("/settings", data=form)
    assert answer.status_code == 422
    assert 'aria-invalid="true"' in answer.text
    assert one(services, "SELECT name FROM organisations WHERE slug = 'acme'") == "Acme"


def test_an_invitation_is_listed_and_can_be_withdrawn(alice: Person, services: Settings) -> None:
    alice.client.post("/settings/invitations", data={"email": "Dana@Example.com", "role": "owner"})
    assert "Dana@example.com" in alice.client.get("/settings").text
    assert one(services, "SELECT role FROM invitations") == "owner"
    invitation_id = one(services, "SELECT id FROM invitations")
    assert alice.client.post(f"/settings/invitations/{invitation_id}/delete").status_code == 303
    assert one(services, "SELECT count(*) FROM invitations") == 0


@pytest.mark.parametrize("email", ["", "dana", "dana@", "a b@example.com", "x" * 300 + "@example.com"])
def test_an_invitation_needs_an_address(alice: Person, email: str) -> None:
    assert alice.client.post("/settings/invitations", data={"email": email}).status_code == 422


def test_a_keys_secret_is_shown_once(alice: Person, app: APIFlask) -> None:
    answer = alice.client.post("/settings/api-keys", data={"api_key_name": "web shop"})
    assert answer.status_code == 201
    assert answer.headers["Cache-Control"] == "no-store"
    found = re.search(r"ff_[0-9a-f]{32}_[\w-]{43}", answer.text)
    assert found is not None
    assert found[0] not in alice.client.get("/settings").text
    headers = {"Authorization": f"Bearer {found[0]}"}
    assert app.test_client().get("/api/v1/contacts", headers=headers).status_code == 200


@pytest.mark.parametrize("name", ["", "x" * 101])
def test_a_key_without_a_name_is_refused(alice: Person, services: Settings, name: str) -> None:
    answer = alice.client.post("/settings/api-keys", data={"api_key_name": name})
    assert answer.status_code == 422
    assert "Name the key in 1 to 100 characters." in answer.text
    assert one(services, "SELECT count(*) FROM api_keys") == 0


def test_a_revoked_key_opens_nothing_more(alice: Person, app: APIFlask, services: Settings) -> None:
    page = alice.client.post("/settings/api-keys", data={"api_key_name": "web shop"}).text
    secret = re.findall(r"ff_[0-9a-f]{32}_[\w-]{43}", page)[0]
    api_key_id = one(services, "SELECT id FROM api_keys")
    assert alice.client.post(f"/settings/api-keys/{api_key_id}/delete").status_code == 303
    headers = {"Authorization": f"Bearer {secret}"}
    assert app.test_client().get("/api/v1/contacts", headers=headers).status_code == 401
    assert "No keys yet" in alice.client.get("/settings").text


def test_an_owner_removes_a_member_but_not_the_last_owner(alice: Person, bob: Person) -> None:
    assert "Bob" in alice.client.get("/settings").text
    assert alice.client.post(f"/settings/members/{bob.user_id}/delete").status_code == 303
    assert "bob@example.com" not in alice.client.get("/settings").text
    answer = alice.client.post(f"/settings/members/{alice.user_id}/delete")
    assert answer.status_code == 422
    assert "keeps at least one owner" in answer.text


@pytest.mark.parametrize(("path", "form"), CHANGES, ids=lambda value: str(value))
def test_a_member_reads_settings_and_changes_nothing(
    alice: Person, bob: Person, services: Settings, path: str, form: dict[str, str]
) -> None:
    page = bob.client.get("/settings").text
    assert "Only an owner can change settings" in page
    assert 'action="/settings' not in page
    url = path.format(alice=alice.user_id, bob=bob.user_id)
    assert bob.client.post(url, data=form).status_code == 403
    assert one(services, "SELECT count(*) FROM memberships") == 2


def test_charlie_sees_nothing_of_alices_settings(alice: Person, charlie: Person) -> None:
    alice.client.post("/settings/invitations", data={"email": "dana@example.com"})
    page = charlie.client.get("/settings").text
    for text in ("alice@example.com", "dana@example.com", "Acme"):
        assert text not in page


def test_what_a_person_typed_is_shown_as_text(alice: Person) -> None:
    alice.client.post("/settings", data={"name": "<script>alert(1)</script>", "time_zone": "UTC"})
    assert "<script>alert" not in alice.client.get("/settings").text
