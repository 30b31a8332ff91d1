"""The trash: what lies there, the way back, and how it is emptied."""

from __future__ import annotations

import re
from uuid import UUID

import pytest
from apiflask import APIFlask

from tests.bulk_actions.support import read, sweep, work_off
from tests.bulk_actions.test_api import calling_as
from tests.bulk_actions.verbs.test_verbs import HEADER, counts, rows_of, undo_of
from tests.conftest import Person, owner_connection
from tests.records.people import add_contact
from tests.records.test_merge import import_rows
from webapp.bulk_actions.models import BulkAction, BulkActionState
from webapp.config import Settings
from webapp.records.tasks import empty_trash


@pytest.fixture(autouse=True)
def people(app: APIFlask, alice: Person) -> BulkAction:
    rows = [[f"p{n}@example.com", f"N{n}", "Köln", "old", str(n)] for n in range(5)]
    return import_rows(app, alice.organisation_id, rows, HEADER)


def delete_all(alice: Person, number: str = "5") -> str:
    answer = alice.client.post("/bulk-actions/delete-all/contacts", data={"typed_count": number})
    assert answer.status_code == 303, answer.text
    return str(answer.location)


def test_everything_is_deleted_at_once_and_comes_back(app: APIFlask, alice: Person, services: Settings) -> None:
    before = rows_of(services)
    report = delete_all(alice)
    work_off(app)
    assert rows_of(services) == {}
    done = read(app, alice.organisation_id, UUID(report.rsplit("/", 1)[1]))
    assert counts(done) == {"row": 5, "succeeded": 5}
    assert "p3@example.com" in alice.client.get("/contacts/deleted").text
    back = undo_of(app, alice.organisation_id, done)
    assert counts(back) == {"row": 5, "succeeded": 5}
    assert rows_of(services) == before


def test_another_number_deletes_nothing(app: APIFlask, alice: Person, services: Settings) -> None:
    answer = alice.client.post("/bulk-actions/delete-all/contacts", data={"typed_count": "4"})
    assert answer.status_code == 422
    assert "Type the number 5" in answer.text
    work_off(app)
    assert len(rows_of(services)) == 5


def test_what_came_after_the_number_was_typed_stays(app: APIFlask, alice: Person, services: Settings) -> None:
    report = delete_all(alice)
    with owner_connection(services) as connection:  # before any worker comes
        connection.execute("UPDATE bulk_actions SET run_at = now() + interval '1 hour' WHERE verb = 'delete_all'")
    import_rows(app, alice.organisation_id, [[f"q{n}@example.com", "Q"] for n in range(7)], HEADER)
    with owner_connection(services) as connection:
        connection.execute("UPDATE bulk_actions SET run_at = NULL WHERE verb = 'delete_all'")
    sweep(app)
    work_off(app)
    done = read(app, alice.organisation_id, UUID(report.rsplit("/", 1)[1]))
    assert counts(done) == {"row": 5, "succeeded": 5}
    assert sorted(rows_of(services)) == [f"q{n}@example.com" for n in range(7)]


def test_no_more_are_deleted_than_were_typed(app: APIFlask, alice: Person, services: Settings) -> None:
    """One that was on its way into the database when the number was typed."""
    report = delete_all(alice)
    add_contact(app, alice, "late@example.com")
    with owner_connection(services) as connection:
        connection.execute("UPDATE contacts SET created_at = created_at - interval '1 hour'")
    work_off(app)
    done = read(app, alice.organisation_id, UUID(report.rsplit("/", 1)[1]))
    assert done.state is BulkActionState.FAILED
    assert done.error == (
        "6 contacts are selected by now, and 5 were confirmed. Nothing was done to them. Choose once more."
    )
    assert len(rows_of(services)) == 6


def test_only_owners_may_delete_everything(bob: Person) -> None:
    assert bob.client.get("/bulk-actions/delete-all/contacts").status_code == 403
    assert "Delete all" not in bob.client.get("/contacts/deleted").text


def test_programs_name_the_number_too(app: APIFlask, alice: Person, services: Settings) -> None:
    call = calling_as(app, alice.organisation_id)
    refused = call("/api/v1/contacts?confirm=3", "DELETE")
    assert refused.status_code == 409
    assert "confirm=5" in refused.text
    assert call("/api/v1/contacts?confirm=5", "DELETE").status_code == 202
    work_off(app)
    assert rows_of(services) == {}


def test_deleted_records_are_found_by_their_key_and_restored_by_ticks(
    app: APIFlask, alice: Person, services: Settings
) -> None:
    delete_all(alice)
    work_off(app)
    page = alice.client.get("/contacts/deleted?q=P2").text
    ids = re.findall(r'name="ids" value="([^"]+)"', page)
    assert len(ids) == 1
    confirm = alice.client.post("/bulk-actions/new", data={"entity": "contacts", "verb": "restore", "ids": ids}).text
    assert "Restore 1 contact" in confirm
    selection = re.search(r'name="selection" value="([^"]*)"', confirm)
    assert selection
    data = {"entity": "contacts", "verb": "restore", "selection": selection[1].replace("&#34;", '"')}
    assert alice.client.post("/bulk-actions/start-verb", data=data).status_code == 303
    work_off(app)
    assert list(rows_of(services)) == ["p2@example.com"]


def test_the_trash_is_emptied_after_thirty_days(app: APIFlask, alice: Person, services: Settings) -> None:
    delete_all(alice)
    work_off(app)
    with owner_connection(services) as connection:
        connection.execute("UPDATE deleted_contacts SET deleted_at = now() - interval '31 days' WHERE email LIKE 'p1%'")
    with app.app_context():
        empty_trash()
    with owner_connection(services) as connection:
        left = [row[0] for row in connection.execute("SELECT email FROM deleted_contacts ORDER BY 1")]
    assert left == [f"p{n}@example.com" for n in (0, 2, 3, 4)]


def test_charlie_sees_nothing_of_it(app: APIFlask, alice: Person, charlie: Person) -> None:
    delete_all(alice)
    work_off(app)
    assert "p1@example.com" not in charlie.client.get("/contacts/deleted").text
