"""Who changes their address stays who they were: their page, their file, filters, and their erasure know both."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
from apiflask import APIFlask

from tests.bulk_actions.support import csv_of, import_file
from tests.conftest import Person
from tests.contacts.test_api import Program, body_of, program_of
from tests.contacts.test_timeline import read
from tests.jobs.support import run_waiting
from tests.records.people import add_contact, emails
from tests.visits.people.test_erasing import LEFT, age_trash, delete
from tests.visits.support import ORIGIN, add_rows, add_site, count_all, make_row, rows_of, scalar, utc
from webapp.config import Settings
from webapp.extensions import db, tenant
from webapp.records.tasks import empty_trash
from webapp.visits.backlog import Kind
from webapp.visits.models import Site

AT = utc("2026-11-20T10:00:00")
OLD, NEW, BOB = "ada@example.com", "ada.new@example.com", "bob@example.com"
STATS = "/api/v1/analytics/visitor-stats"
FORMER = "SELECT key, record_id FROM former_contact_keys ORDER BY key"


@pytest.fixture
def program(app: APIFlask, alice: Person) -> Program:
    return program_of(app, alice.organisation_id)


@pytest.fixture
def site(app: APIFlask, alice: Person, services: Settings) -> Site:
    """Two visits under the old address, in two browsers, and a visitor whom the site calls by it."""
    site = add_site(app, alice.organisation_id)
    for number in (1, 2):
        browser = f"b{number}"
        visit(app, services, site, browser, OLD, f"/old-{number}", later=number)
    add_rows(services, [make_row(site, AT, visitor=OLD, page_url=f"{ORIGIN}/called")])
    count_all(app, services)
    return site


@pytest.fixture
def contact_id(app: APIFlask, alice: Person, site: Site) -> UUID:
    return add_contact(app, alice, OLD, first_name="Ada")


def visit(app: APIFlask, settings: Settings, site: Site, visitor: str, name: str, path: str, later: int = 0) -> None:
    at = AT + timedelta(hours=later)
    named = make_row(site, at + timedelta(seconds=9), visitor=visitor, kind=Kind.IDENTIFY, name=name)
    add_rows(settings, [make_row(site, at, visitor=visitor, page_url=f"{ORIGIN}{path}"), named])
    count_all(app, settings)


def rename(person: Person, contact_id: UUID, email: str) -> None:
    assert person.client.post(f"/contacts/{contact_id}/edit", data={"email": email}).status_code == 303


def by_form(person: Person, program: Program, contact_id: UUID) -> None:
    rename(person, contact_id, NEW.title())


def by_api(person: Person, program: Program, contact_id: UUID) -> None:
    assert program.call("PATCH", f"/api/v1/contacts/{contact_id}", json={"email": NEW}).status_code == 200


def by_statement(person: Person, program: Program, contact_id: UUID) -> None:
    """Whatever writes many at once."""
    with program.app.app_context(), tenant(person.organisation_id):
        db.session.connection().exec_driver_sql(
            "UPDATE contacts SET email = %s, email_key = %s WHERE organisation_id = %s",
            (NEW, NEW, person.organisation_id),
        )
        db.session.commit()


def run_jobs(app: APIFlask, settings: Settings) -> None:
    with app.app_context():
        run_waiting()
    assert rows_of(settings, "SELECT state, error FROM jobs WHERE state <> 'completed'") == []


@pytest.mark.parametrize("change", [by_form, by_api, by_statement])
def test_a_changed_address_keeps_its_visits(
    app: APIFlask,
    services: Settings,
    alice: Person,
    program: Program,
    site: Site,
    contact_id: UUID,
    change: Callable[[Person, Program, UUID], None],
) -> None:
    change(alice, program, contact_id)
    visit(app, services, site, "b3", NEW, "/new", later=3)
    page = read(alice, contact_id)
    for path in ("/old-1", "/old-2", "/called", "/new"):
        assert path in page
    assert f"under earlier addresses: {OLD}" in read(alice, contact_id, "/summary")
    content = json.loads(alice.client.get(f"/contacts/{contact_id}/export").text)
    assert len(content["visits"]) == 4
    assert [former["address"] for former in content["former_addresses"]] == [OLD]
    assert [called["address"] for called in content["called_by_address"]] == [OLD]
    for address in (OLD, NEW):
        assert body_of(program.call("GET", STATS, query_string={"identity": address}))["data"]["visit_count"] == 4


@pytest.mark.parametrize("change", [by_form, by_api, by_statement])
def test_erasing_takes_what_is_known_under_the_former_address(
    app: APIFlask,
    services: Settings,
    alice: Person,
    program: Program,
    site: Site,
    contact_id: UUID,
    change: Callable[[Person, Program, UUID], None],
) -> None:
    change(alice, program, contact_id)
    assert alice.client.post(f"/contacts/{contact_id}/erase", data={"email": NEW}).status_code == 303
    run_jobs(app, services)
    assert rows_of(services, LEFT, OLD, OLD, OLD) == [(0, 0, 0)]
    assert scalar(services, "SELECT count(*) FROM former_contact_keys") == 0
    assert scalar(services, "SELECT coalesce(sum(row_count), 0)::int FROM raw_chunks") == 0
    assert body_of(program.call("GET", STATS, query_string={"identity": OLD}))["data"]["visit_count"] == 0


def test_what_leaves_the_trash_is_erased_under_all_its_addresses(
    app: APIFlask, services: Settings, alice: Person, site: Site, contact_id: UUID
) -> None:
    rename(alice, contact_id, NEW)
    delete(alice, contact_id)
    age_trash(services)
    with app.app_context():
        empty_trash()
    run_jobs(app, services)
    assert rows_of(services, LEFT, OLD, OLD, OLD) == [(0, 0, 0)]
    assert rows_of(services, FORMER) == []


def test_lists_find_who_was_seen_under_a_former_address(alice: Person, site: Site, contact_id: UUID) -> None:
    assert emails(alice.client.get("/contacts?seen=yes").text) == [OLD]
    rename(alice, contact_id, NEW)
    assert emails(alice.client.get("/contacts?seen=yes").text) == [NEW]
    assert emails(alice.client.get("/contacts?seen=no").text) == []


def test_behaviour_counts_what_was_done_under_all_addresses(
    app: APIFlask, services: Settings, alice: Person, site: Site, contact_id: UUID
) -> None:
    rename(alice, contact_id, NEW)
    visit(app, services, site, "b3", NEW, "/new", later=3)
    add_contact(app, alice, BOB)
    for did, found in (
        ("ever:page:is:/old-1", [NEW]),
        ("ever:4x:anything", [NEW]),
        ("ever:5x:anything", []),
        ("not:ever:page:is:/old-1", [BOB]),
        ("ever:page:is:/new", [NEW]),
    ):
        assert emails(alice.client.get("/contacts", query_string={"did": did}).text) == found, did


@pytest.mark.parametrize("way", ["form", "import"])
def test_a_former_address_that_another_contact_has_is_theirs(
    app: APIFlask, services: Settings, alice: Person, program: Program, site: Site, contact_id: UUID, way: str
) -> None:
    rename(alice, contact_id, NEW)
    if way == "form":
        other_id = add_contact(app, alice, OLD)
    else:
        assert import_file(app, alice.organisation_id, csv_of([[OLD, "Bob"]])).created_count == 1
        other_id = scalar(services, "SELECT id FROM contacts WHERE email_key = %s", OLD)
    assert "/old-1" in read(alice, other_id)
    assert "Not known on the websites yet" in read(alice, contact_id)
    assert emails(alice.client.get("/contacts?seen=yes").text) == [OLD]
    assert emails(alice.client.get("/contacts?did=ever:page:is:/old-1").text) == [OLD]
    assert alice.client.post(f"/contacts/{contact_id}/erase", data={"email": NEW}).status_code == 303
    run_jobs(app, services)
    assert "/old-1" in read(alice, other_id)


def test_the_last_to_have_had_an_address_has_it(
    app: APIFlask, services: Settings, alice: Person, site: Site, contact_id: UUID
) -> None:
    rename(alice, contact_id, NEW)
    other_id = add_contact(app, alice, OLD)
    rename(alice, other_id, BOB)
    assert rows_of(services, FORMER) == [(OLD, other_id)]
    assert "/old-1" in read(alice, other_id)
    assert "/old-1" not in read(alice, contact_id)
    rename(alice, contact_id, OLD)  # back to what it was: it has it, and the other does not any more
    assert rows_of(services, FORMER) == [(NEW, contact_id)]
    assert "/old-1" in read(alice, contact_id)
    delete(alice, contact_id)
    assert "/old-1" not in read(alice, other_id)


def test_an_address_that_was_deleted_with_another_does_not_come_back(
    app: APIFlask, services: Settings, alice: Person, site: Site, contact_id: UUID
) -> None:
    rename(alice, contact_id, NEW)
    delete(alice, add_contact(app, alice, OLD))
    assert "/old-1" not in read(alice, contact_id)
    age_trash(services)
    with app.app_context():
        empty_trash()
    run_jobs(app, services)
    assert rows_of(services, LEFT, OLD, OLD, OLD) == [(0, 0, 0)]


def test_what_somebody_else_had_after_the_trashed_contact_is_not_erased_with_it(
    app: APIFlask, services: Settings, alice: Person, site: Site, contact_id: UUID
) -> None:
    delete(alice, contact_id)
    other_id = add_contact(app, alice, OLD)
    rename(alice, other_id, NEW)
    age_trash(services)
    with app.app_context():
        empty_trash()
    run_jobs(app, services)
    assert "/old-1" in read(alice, other_id)


def test_ones_own_new_address_on_the_same_browser_is_nobody_else(
    app: APIFlask, services: Settings, alice: Person, site: Site, contact_id: UUID
) -> None:
    """A server names them on the same visitor: the link was refused, but it is the same person."""
    visit(app, services, site, "b1", NEW, "/after-the-change", later=4)
    visit(app, services, site, "b1", NEW, "/much-later", later=5)
    assert "/much-later" not in read(alice, contact_id)
    rename(alice, contact_id, NEW)
    assert "/much-later" in read(alice, contact_id)
    assert "Somebody else was named" not in read(alice, contact_id, "/summary")


def test_a_trashed_contact_is_not_told_until_it_is_restored(
    app: APIFlask, services: Settings, alice: Person, program: Program, site: Site, contact_id: UUID
) -> None:
    add_contact(app, alice, BOB)
    visit(app, services, site, "b1", BOB, "/both", later=4)
    rename(alice, contact_id, NEW)

    def told() -> list[object]:
        links = body_of(program.call("GET", "/api/v1/refused-merges"))["data"]
        stats = [body_of(program.call("GET", STATS, query_string={"identity": key}))["data"] for key in (OLD, NEW)]
        called = body_of(program.call("GET", STATS, query_string={"siteId": str(site.id), "identifier": OLD}))["data"]
        return [len(links), OLD in alice.client.get("/visits/refused-merges").text, stats, called]

    before = told()
    assert before[:2] == [1, True]
    delete(alice, contact_id)
    nothing = body_of(program.call("GET", STATS, query_string={"identity": "nobody@example.com"}))["data"]
    assert told() == [0, False, [nothing, nothing], nothing]
    assert program.call("POST", f"/api/v1/contacts/{contact_id}/restore").status_code in {200, 204}
    assert told() == before


def test_a_trashed_contact_whose_address_another_has_is_told_as_the_others(
    app: APIFlask, alice: Person, program: Program, site: Site, contact_id: UUID
) -> None:
    delete(alice, contact_id)
    add_contact(app, alice, OLD)
    assert body_of(program.call("GET", STATS, query_string={"identity": OLD}))["data"]["visit_count"] == 3


def test_former_addresses_are_the_organisations_own(
    app: APIFlask, services: Settings, alice: Person, charlie: Person, site: Site, contact_id: UUID
) -> None:
    theirs = add_contact(app, charlie, OLD)
    rename(charlie, theirs, NEW)
    assert "/old-1" in read(alice, contact_id)
    assert "Not known on the websites yet" in read(charlie, theirs)
    assert rows_of(services, FORMER) == [(OLD, theirs)]
