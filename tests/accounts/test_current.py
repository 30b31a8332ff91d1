"""Whose rows a request may see, and that nothing of it is left for the thread's next request."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from sqlalchemy import event

from tests.conftest import Person, add_organisation, owner_connection
from tests.probe import probe_app
from webapp.accounts import service
from webapp.accounts.current import NoOrganisationError, current_membership, current_organisation
from webapp.config import Settings
from webapp.extensions import current_tenant, db, enter_tenant
from webapp.lib.ids import uuid7

NOTHING = {"tenant": None, "count": 0}


@pytest.fixture
def probe(app: APIFlask, services: Settings) -> APIFlask:
    return probe_app(services)


def as_person(probe: APIFlask, person: Person) -> FlaskClient:
    client = probe.test_client()
    with client.session_transaction() as cookie:
        cookie["_user_id"] = person.cookie_id
    return client


@pytest.fixture
def statements(probe: APIFlask) -> Iterator[list[str]]:
    seen: list[str] = []
    with probe.app_context():
        engine = db.engine

    def note(connection: object, cursor: object, statement: str, *_: object) -> None:
        seen.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    yield seen
    event.remove(engine, "before_cursor_execute", note)


def test_a_member_sees_their_organisation_and_no_other(probe: APIFlask, alice: Person, charlie: Person) -> None:
    assert as_person(probe, alice).get("/probe").json == {"tenant": str(alice.organisation_id), "count": 1}
    assert as_person(probe, charlie).get("/probe").json == {"tenant": str(charlie.organisation_id), "count": 1}


@pytest.mark.parametrize("path", ["/probe", "/probe/boom", "/probe/404", "/probe/leak", "/probe/broken", "/nowhere"])
def test_the_threads_next_request_inherits_nothing(probe: APIFlask, alice: Person, path: str) -> None:
    as_person(probe, alice).get(path)
    assert current_tenant() is None
    assert probe.test_client().get("/api/v1/probe/open").json == NOTHING


def test_a_request_does_not_see_what_the_thread_did_before(probe: APIFlask, alice: Person) -> None:
    with probe.app_context():
        enter_tenant(alice.organisation_id)
    assert probe.test_client().get("/api/v1/probe/open").json == NOTHING
    with probe.app_context():
        enter_tenant(None)


def test_the_person_and_their_organisations_are_read_by_one_statement(
    probe: APIFlask, alice: Person, statements: list[str]
) -> None:
    client = as_person(probe, alice)
    client.get("/probe")
    assert [statement.split()[0:2] for statement in statements[:-1]] == [
        ["SELECT", "users.id,"],
        ["SELECT", "set_config('footfall.organisation_id',"],
    ]


def test_no_connection_is_held_while_a_body_arrives(probe: APIFlask, alice: Person) -> None:
    expected = {"before": 0, "after": 0, "name": "Acme", "tenant": str(alice.organisation_id), "count": 1}
    assert as_person(probe, alice).post("/probe/connections").json == expected
    with probe.app_context():
        _, secret = service.create_api_key(alice.organisation_id, "a program")
        db.session.commit()
    headers = {"Authorization": f"Bearer {secret}"}
    for _ in range(2):  # the first use of a key is noted, the second is not
        assert probe.test_client().post("/api/v1/probe/connections", headers=headers).json == expected


def test_somebody_who_was_removed_is_out_at_the_next_click(probe: APIFlask, bob: Person, services: Settings) -> None:
    client = as_person(probe, bob)
    assert client.get("/probe").status_code == 200
    with owner_connection(services) as connection:
        connection.execute("DELETE FROM memberships WHERE user_id = %s", [bob.user_id])
    answer = client.get("/probe", follow_redirects=True)
    assert "You no longer belong to an organisation" in answer.text


def test_a_chosen_organisation_counts_only_for_its_members(probe: APIFlask, alice: Person, charlie: Person) -> None:
    client = as_person(probe, alice)
    with client.session_transaction() as cookie:
        cookie["organisation_id"] = charlie.organisation_id.hex
    assert client.get("/probe").json == {"tenant": str(alice.organisation_id), "count": 1}


def test_a_person_switches_between_their_organisations(probe: APIFlask, alice: Person, services: Settings) -> None:
    second = add_organisation(probe, "second", "Second")
    with owner_connection(services) as connection:
        connection.execute("INSERT INTO memberships VALUES (%s, %s, 'member', now())", [second, alice.user_id])
    client = as_person(probe, alice)
    assert client.post(f"/organisations/{second}/switch").status_code == 303
    assert client.get("/probe").json == {"tenant": str(second), "count": 1}


def test_nobody_switches_to_an_organisation_of_others(probe: APIFlask, alice: Person, charlie: Person) -> None:
    client = as_person(probe, alice)
    assert client.post(f"/organisations/{charlie.organisation_id}/switch").status_code == 404
    assert client.post(f"/organisations/{uuid7()}/switch").status_code == 404


def test_a_cookie_of_somebody_who_is_gone_signs_nobody_in(probe: APIFlask) -> None:
    client = probe.test_client()
    with client.session_transaction() as cookie:
        cookie["_user_id"] = f"{uuid7()}:1"
    assert client.get("/probe").headers["Location"] == "/sign-in?next=/probe"


def test_a_database_that_is_away_gives_the_error_page(services: Settings, alice: Person) -> None:
    nowhere = replace(services, database_url="postgresql://nobody@127.0.0.1:9/nothing")
    answer = as_person(probe_app(nowhere), alice).get("/probe")
    assert (answer.status_code, answer.mimetype) == (500, "text/html")
    assert "Something broke on our side" in answer.text


def test_code_that_asks_for_an_organisation_outside_of_one_is_told_so(probe: APIFlask) -> None:
    with probe.app_context(), pytest.raises(NoOrganisationError):
        current_organisation()
    with probe.app_context(), pytest.raises(NoOrganisationError):
        current_membership()
