"""Looking through the trash: in order, by the beginning of what people remember, some rows at a time."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from apiflask import APIFlask

from tests.conftest import Person
from tests.contacts.test_api import Program, assert_problem, body_of, program_of
from tests.records.support import add_record, key_of, values_of
from webapp.contacts.models import CONTACTS
from webapp.extensions import db, tenant
from webapp.lib.pagination import BadCursorError, encode_cursor
from webapp.records import trash_queries
from webapp.records.entities import Entity
from webapp.records.service import create_record
from webapp.records.trash import Deletion, delete_records
from webapp.records.trash_queries import list_deleted

NAMES = ("ada", "ben", "cleo", "dora", "eve")
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def deleted(here: UUID, entity: Entity) -> list[UUID]:
    """Five records of the kind, each deleted a minute after the one before; the latest first."""
    return delete_in_turn(here, entity)


def delete_in_turn(organisation_id: UUID, entity: Entity) -> list[UUID]:
    ids = []
    for minute, name in enumerate(NAMES):
        record = create_record(entity, organisation_id, values_of(entity, name))
        db.session.flush()
        delete_records(entity, organisation_id, [record.id], Deletion(NOON + timedelta(minutes=minute)))
        ids.append(record.id)
        db.session.expunge(record)
    db.session.commit()
    return ids[::-1]


def all_pages(entity: Entity, organisation_id: UUID, **query: object) -> tuple[list[UUID], int]:
    """(ids, number of pages) of following the cursors to the end."""
    found, page_count, cursor = [], 0, None
    while True:
        page = list_deleted(entity, organisation_id, cursor=cursor, **query)  # type: ignore[arg-type]
        found += [one.record.id for one in page.records]
        page_count, cursor = page_count + 1, page.next_cursor
        if cursor is None:
            return found, page_count


def test_pages_follow_each_other_the_latest_first(here: UUID, entity: Entity, deleted: list[UUID]) -> None:
    assert all_pages(entity, here, limit=2) == (deleted, 3)


def test_a_record_is_found_by_its_key_and_by_its_name(here: UUID, entity: Entity, deleted: list[UUID]) -> None:
    for q in (key_of(entity, "cleo"), "CLE", "cleo"):
        assert all_pages(entity, here, q=q) == ([deleted[2]], 1), q
    assert all_pages(entity, here, q="leo") == ([], 1)
    assert all_pages(entity, here, q="%") == ([], 1)


@pytest.mark.parametrize("entity", [CONTACTS], ids=["contacts"], indirect=True)
def test_a_contact_is_found_by_last_name_company_and_phone(here: UUID, entity: Entity) -> None:
    values = values_of(entity, "ada", last_name="Byron", company="Engines", phone="+49 30 901820")
    record = create_record(entity, here, values)
    db.session.flush()
    delete_records(entity, here, [record.id], Deletion(NOON))
    for q in ("byr", "ada b", "ENG", "+4930"):
        assert all_pages(entity, here, q=q) == ([record.id], 1), q


def test_a_search_stops_after_some_rows_and_its_cursor_goes_on(
    here: UUID, entity: Entity, deleted: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trash_queries, "WALK_ROWS", 2)
    first = list_deleted(entity, here, q="ada")
    assert (list(first.records), first.is_partial) == ([], True)
    assert all_pages(entity, here, q="ada") == ([deleted[-1]], 3)
    assert not list_deleted(entity, here).is_partial


def test_a_deleted_record_is_shown_as_it_was(here: UUID, entity: Entity, deleted: list[UUID]) -> None:
    (eve, *_) = list_deleted(entity, here).records
    assert entity.label_of(eve.record) == "Eve"
    assert (eve.deleted_at, eve.deleted_by, eve.deletion_id) == (NOON + timedelta(minutes=4), None, None)


@pytest.mark.parametrize("moment", ["now", "2026-11-20T12:00:00", ""])
def test_a_damaged_place_is_refused(here: UUID, entity: Entity, moment: str) -> None:
    with pytest.raises(BadCursorError):
        list_deleted(entity, here, cursor=encode_cursor(moment, here))


def test_the_page_restores_one_with_its_button(app: APIFlask, alice: Person, entity: Entity) -> None:
    record_id = add_record(app, alice, entity)
    alice.client.post(f"/{entity.name}/{record_id}/delete")
    page = alice.client.get(f"/{entity.name}/deleted?q=Ad").text
    assert re.search(rf'name="undo" value="{record_id}" formaction="/{entity.name}/restore"', page)
    assert re.search(r'data-label="By">\s*Alice', page)
    answer = alice.client.post(f"/{entity.name}/restore", data={"undo": str(record_id)})
    assert answer.location == f"/{entity.name}/{record_id}"
    assert "Nothing was deleted" in alice.client.get(f"/{entity.name}/deleted").text


def test_a_search_of_the_page_that_is_not_over_says_so(
    app: APIFlask, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trash_queries, "WALK_ROWS", 1)
    with app.app_context(), tenant(alice.organisation_id):
        delete_in_turn(alice.organisation_id, CONTACTS)
    page = alice.client.get("/contacts/deleted?q=ada").text
    assert "Nothing so far" in page
    cursor = re.search(r"cursor=([^\"&]+)", page)
    assert cursor
    assert alice.client.get("/contacts/deleted?cursor=nonsense").status_code == 400
    assert alice.client.get(f"/contacts/deleted?q=ada&cursor={cursor[1]}").status_code == 200


def test_charlie_finds_nothing_of_it(app: APIFlask, alice: Person, charlie: Person, entity: Entity) -> None:
    record_id = add_record(app, alice, entity)
    alice.client.post(f"/{entity.name}/{record_id}/delete")
    assert key_of(entity, "ada") not in charlie.client.get(f"/{entity.name}/deleted?q=ada").text
    charlie.client.post(f"/{entity.name}/restore", data={"undo": str(record_id)})
    assert alice.client.get(f"/{entity.name}/{record_id}").status_code == 404


# The API -------------------------------------------------------------------------------------------


@pytest.fixture
def program(app: APIFlask, alice: Person) -> Program:
    return program_of(app, alice.organisation_id)


def add_deleted(program: Program, entity: Entity, name: str = "ada") -> str:
    url = f"/api/v1/{entity.name}"
    record = body_of(program.call("POST", url, json=values_of(entity, name)))
    assert program.call("DELETE", f"{url}/{record['id']}").status_code == 204
    return str(record["id"])


def test_programs_list_what_was_deleted(program: Program, entity: Entity) -> None:
    for name in ("ada", "ben", "cleo"):
        add_deleted(program, entity, name)
    url = f"/api/v1/{entity.name}/deleted"
    page = body_of(program.call("GET", url, query_string={"limit": 2}))
    assert [one[entity.key.name] for one in page["data"]] == [key_of(entity, "cleo"), key_of(entity, "ben")]
    rest = body_of(program.call("GET", url, query_string={"cursor": page["next_cursor"]}))
    assert [one[entity.key.name] for one in rest["data"]] == [key_of(entity, "ada")]
    assert (rest["next_cursor"], rest["is_partial"]) == (None, False)
    (found,) = body_of(program.call("GET", url, query_string={"q": "be"}))["data"]
    deleted_at, gone_at = (datetime.fromisoformat(found[name]) for name in ("deleted_at", "gone_at"))
    assert gone_at - deleted_at == timedelta(days=30)
    assert (found["deleted_by"], found["deletion_id"]) == (None, None)


def test_programs_restore_a_record_once_and_again(program: Program, entity: Entity) -> None:
    record_id = add_deleted(program, entity)
    for _ in range(2):
        answer = program.call("POST", f"/api/v1/{entity.name}/{record_id}/restore")
        assert (answer.status_code, body_of(answer)["id"]) == (200, record_id)
    assert body_of(program.call("GET", f"/api/v1/{entity.name}/{record_id}"))["id"] == record_id
    assert body_of(program.call("GET", f"/api/v1/{entity.name}/deleted"))["data"] == []


def test_a_record_whose_key_is_taken_stays_in_the_trash(program: Program, entity: Entity) -> None:
    record_id = add_deleted(program, entity)
    other = body_of(program.call("POST", f"/api/v1/{entity.name}", json=values_of(entity)))
    answer = program.call("POST", f"/api/v1/{entity.name}/{record_id}/restore")
    problem = assert_problem(answer, 409, f"{entity.singular.capitalize()} exists")
    assert problem[f"{entity.singular}_id"] == other["id"]
    assert len(body_of(program.call("GET", f"/api/v1/{entity.name}/deleted"))["data"]) == 1


@pytest.mark.parametrize("query", [{"cursor": "nonsense"}, {"limit": "0"}, {"page": "2"}])
def test_a_query_of_the_trash_that_makes_no_sense_is_refused(program: Program, query: dict[str, str]) -> None:
    answer = program.call("GET", "/api/v1/contacts/deleted", query_string=query)
    assert [one["field"] for one in assert_problem(answer, 422, "Unprocessable Entity")["errors"]] == list(query)


def test_charlies_programs_neither_see_nor_restore_it(
    app: APIFlask, program: Program, charlie: Person, entity: Entity
) -> None:
    record_id = add_deleted(program, entity)
    stranger = program_of(app, charlie.organisation_id)
    assert body_of(stranger.call("GET", f"/api/v1/{entity.name}/deleted"))["data"] == []
    answer = stranger.call("POST", f"/api/v1/{entity.name}/{record_id}/restore")
    assert_problem(answer, 404, f"{entity.singular.capitalize()} not found")
    assert body_of(program.call("GET", f"/api/v1/{entity.name}/deleted"))["data"][0]["id"] == record_id
