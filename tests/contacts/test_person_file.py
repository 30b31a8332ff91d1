"""The file with everything held about one person, and erasing them at once."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from apiflask import APIFlask

from tests.conftest import Person, owner_connection
from tests.contacts.test_api import Program, body_of, program_of
from tests.jobs.support import run_waiting
from tests.records.people import add_contact
from tests.visits.support import ORIGIN, add_rows, add_site, count_all, make_row, rows_of, scalar, utc
from webapp.config import Settings
from webapp.visits.backlog import Kind
from webapp.visits.models import Site
from webapp.visits.raw import reading, tasks, upkeep

AT = utc("2026-11-20T10:00:00")
ADA, BOB = "ada@example.com", "bob@example.com"


@pytest.fixture
def program(app: APIFlask, alice: Person) -> Program:
    return program_of(app, alice.organisation_id)


@pytest.fixture
def site(app: APIFlask, alice: Person, services: Settings, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Ada's browser, with visits in two months, one of them sealed; bob is named on it later."""
    monkeypatch.setattr(upkeep, "ENOUGH_CHUNKS", 1)
    monkeypatch.setattr(reading, "BATCH_ROWS", 2)
    site = add_site(app, alice.organisation_id)
    days = [0, 0.01, 0.02, 30, 60]
    rows = [make_row(site, AT - timedelta(days=day), visitor="b1", page_url=f"{ORIGIN}/{day}") for day in days]
    rows.append(make_row(site, AT, visitor="b1", kind=int(Kind.EVENT), name="buy", props='{"sum":"1"}'))
    rows.append(make_row(site, AT + timedelta(minutes=1), visitor="b1", kind=int(Kind.IDENTIFY), name=ADA))
    rows.append(make_row(site, AT + timedelta(minutes=2), visitor="b1", kind=int(Kind.IDENTIFY), name=BOB))
    add_rows(services, [*rows, make_row(site, AT, visitor="stranger", page_url=f"{ORIGIN}/stranger")])
    count_all(app, services)
    with app.app_context():
        tasks.seal_chunks()
    add_rows(services, [make_row(site, AT, visitor=ADA, page_url=f"{ORIGIN}/called")])
    count_all(app, services)
    return site


@pytest.fixture
def contact_id(app: APIFlask, alice: Person, services: Settings) -> UUID:
    contact_id = add_contact(app, alice, ADA, {"Shoe size": "39"}, first_name="Ada", tags="vip", notes="Likes tea")
    with owner_connection(services) as connection:
        bulk_action_id = connection.execute(
            "INSERT INTO bulk_actions (organisation_id, id, verb, entity, state, phase, file_name, file_key,"
            " file_byte_count, file_sha256, format, mapping, rules, parameters, planned_offset, row_count, chunk_count,"
            " staged_chunk_count, staged_count, partition_count, merged_partition_count, merged_count, created_count,"
            " updated_count, unchanged_count, rejected_count, duplicate_count, blank_count, skipped_count,"
            " succeeded_count, failed_count, is_dry_run, given_up_chunk_count, created_at)"
            " SELECT %s, gen_random_uuid(), 'update', 'contacts', 'completed', 'finish', 'People.csv', '', 0, '', '{}',"
            " '{}', '{}', '{}', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, false, 0, now() RETURNING id",
            [alice.organisation_id],
        ).fetchone()
        assert bulk_action_id
        connection.execute(
            """INSERT INTO before_images VALUES (%s, %s, %s, '{"notes": "Likes coffee"}', now(), now())""",
            [alice.organisation_id, bulk_action_id[0], contact_id],
        )
    return contact_id


def test_everything_is_in_the_file(alice: Person, bob: Person, site: Site, contact_id: UUID) -> None:
    answer = bob.client.get(f"/contacts/{contact_id}/export")
    assert answer.is_streamed
    assert "ada@example.com" in answer.headers["Content-Disposition"]
    content: dict[str, Any] = json.loads(answer.text)
    assert set(content) - {"written_at", "about", "websites"} == set(content["about"]) - {"not_included"}
    assert content["contact"]["attributes"] == {"Shoe size": "39"}
    assert (content["contact"]["tags"], content["contact"]["notes"]) == (["vip"], "Likes tea")
    assert content["earlier_versions"][0]["values"] == {"notes": "Likes coffee"}
    assert [link["site_id"] for link in content["browsers"]] == [str(site.id)] * 2
    assert [merge["identity"] for merge in content["refused_links"]] == [BOB]
    assert content["called_by_address"][0]["pageview_count"] == 1
    assert len(content["visits"]) == 4
    pages = [row["page"] for row in content["activity"] if row["kind"] == "pageview"]
    assert sorted(pages) == sorted(f"{ORIGIN}/{name}" for name in (0, 0.01, 0.02, 30, 60, "called"))
    [event] = [row for row in content["activity"] if row["kind"] == "event"]
    assert (event["name"], event["props"], event["visited_at"]) == ("buy", {"sum": "1"}, "2026-11-20T10:00:00Z")
    assert "stranger" not in answer.text


def test_programs_get_the_same_file_and_of_deleted_contacts_too(
    program: Program, alice: Person, site: Site, contact_id: UUID
) -> None:
    content = json.loads(program.call("GET", f"/api/v1/contacts/{contact_id}/export").text)
    alice.client.post(f"/contacts/{contact_id}/delete")
    after = json.loads(program.call("GET", f"/api/v1/contacts/{contact_id}/export").text)
    assert {**after, "written_at": ""} == {**content, "written_at": ""}


def test_somebody_of_whom_nothing_is_known_has_a_file(app: APIFlask, alice: Person) -> None:
    content = json.loads(alice.client.get(f"/contacts/{add_contact(app, alice, BOB)}/export").text)
    assert (content["visits"], content["activity"], content["browsers"]) == ([], [], [])


def erased(services: Settings, app: APIFlask, contact_id: UUID) -> None:
    """Nothing of her is left, and nothing of others is gone."""
    with app.app_context():
        run_waiting()
    assert rows_of(services, "SELECT DISTINCT state FROM jobs") == [("completed",)]
    for table in ("contacts", "deleted_contacts", "identities", "refused_merges", "before_images"):
        assert scalar(services, f"SELECT count(*) FROM {table}") == 0
    assert scalar(services, "SELECT count(*) FROM contact_tags") == 0
    assert scalar(services, "SELECT count(*) FROM known_visitors WHERE visitor_key = %s", ADA) == 0
    kept = "SELECT sum(row_count)::int FROM {} WHERE kind = 'activity'"
    files = scalar(services, kept.format("sealed_files") + " AND state = 'sealed'")
    assert (files, scalar(services, kept.format("raw_chunks"))) == (1, None)


def test_an_owner_who_types_the_address_erases(
    app: APIFlask, services: Settings, alice: Person, bob: Person, site: Site, contact_id: UUID
) -> None:
    url = f"/contacts/{contact_id}/erase"
    assert "Erase for good" in alice.client.get(f"/contacts/{contact_id}").text
    assert "Erase for good" not in bob.client.get(f"/contacts/{contact_id}").text
    assert bob.client.post(url, data={"email": ADA}).status_code == 403
    assert "cannot be undone" in alice.client.get(url).text
    refused = alice.client.post(url, data={"email": "adda@example.com"})
    assert refused.status_code == 422
    assert f"Type {ADA}" in refused.text
    answer = alice.client.post(url, data={"email": " ADA@example.com"})
    assert answer.status_code == 303
    assert "is erased" in alice.client.get(answer.location).text
    assert alice.client.get(url).status_code == 404
    erased(services, app, contact_id)


def test_who_lies_in_the_trash_is_erased_too(
    app: APIFlask, services: Settings, alice: Person, site: Site, contact_id: UUID
) -> None:
    alice.client.post(f"/contacts/{contact_id}/delete")
    assert f"/contacts/{contact_id}/erase" in alice.client.get("/contacts/deleted").text
    assert alice.client.post(f"/contacts/{contact_id}/erase", data={"email": ADA}).status_code == 303
    erased(services, app, contact_id)


def test_programs_erase_by_the_address(
    app: APIFlask, services: Settings, program: Program, site: Site, contact_id: UUID
) -> None:
    url = f"/api/v1/contacts/{contact_id}/erase"
    assert program.call("POST", url, json={}).status_code == 422
    assert program.call("POST", url, json={"email": BOB}).status_code == 422
    answer = program.call("POST", url, json={"email": ADA})
    assert answer.status_code == 202
    assert program.call("GET", body_of(answer)["job_url"]).status_code == 200
    assert program.call("POST", url, json={"email": ADA}).status_code == 404
    erased(services, app, contact_id)


def test_the_visits_of_another_contact_of_that_address_stay(
    app: APIFlask, services: Settings, alice: Person, site: Site, contact_id: UUID
) -> None:
    alice.client.post(f"/contacts/{contact_id}/delete")
    add_contact(app, alice, ADA)
    assert alice.client.post(f"/contacts/{contact_id}/erase", data={"email": ADA}).status_code == 303
    with app.app_context():
        run_waiting()
    assert scalar(services, "SELECT count(*) FROM identities") == 1
    assert scalar(services, "SELECT count(*) FROM deleted_contacts") == 0


def test_charlie_gets_nothing_and_erases_nobody(
    app: APIFlask, services: Settings, charlie: Person, site: Site, contact_id: UUID
) -> None:
    other = program_of(app, charlie.organisation_id)
    assert charlie.client.get(f"/contacts/{contact_id}/export").status_code == 404
    assert charlie.client.post(f"/contacts/{contact_id}/erase", data={"email": ADA}).status_code == 404
    assert other.call("GET", f"/api/v1/contacts/{contact_id}/export").status_code == 404
    assert other.call("POST", f"/api/v1/contacts/{contact_id}/erase", json={"email": ADA}).status_code == 404
    own_id = add_contact(app, charlie, ADA)
    content = json.loads(charlie.client.get(f"/contacts/{own_id}/export").text)
    assert (content["visits"], content["browsers"], content["earlier_versions"]) == ([], [], [])
    assert charlie.client.post(f"/contacts/{own_id}/erase", data={"email": ADA}).status_code == 303
    with app.app_context():
        run_waiting()
    assert scalar(services, "SELECT count(*) FROM identities") == 1
    assert scalar(services, "SELECT count(*) FROM contacts") == 1
