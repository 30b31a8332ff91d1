"""Each verb over ticked records and over all that match: exact, undoable, one organisation at a time."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from apiflask import APIFlask

from tests.bulk_actions.support import read, uploads, work_off
from tests.conftest import owner_connection
from tests.records.test_merge import import_rows
from webapp.bulk_actions.models import BulkAction, BulkActionState, Verb
from webapp.bulk_actions.queries import get_bulk_action, lock_bulk_action
from webapp.bulk_actions.tasks import send_work
from webapp.bulk_actions.verbs import plan
from webapp.bulk_actions.verbs.export import export_of, stream_csv
from webapp.bulk_actions.verbs.selection import Selection
from webapp.bulk_actions.verbs.service import NotUndoableError, Order, TooManyError, start_undo, start_verb
from webapp.config import Settings
from webapp.contacts.models import CONTACTS
from webapp.extensions import db, tenant
from webapp.records.entities import get_entity

HEADER = ["Email", "First name", "City", "Tags", "Shoe size"]
ATTRIBUTES: dict[str, str | None] = {
    "0": "email", "1": "first_name", "2": "city", "3": "tags", "4": "attributes.Shoe size",
}  # fmt: skip
ALL = Selection(arguments={})
Do = Callable[..., BulkAction]


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "RECORDS_PER_CHUNK", 7)


def do_verb(
    app: APIFlask,
    organisation_id: UUID,
    verb: Verb,
    selection: Selection = ALL,
    parameters: Mapping[str, Any] | None = None,
    entity: str = "contacts",
) -> BulkAction:
    with app.app_context(), tenant(organisation_id):
        order = Order(verb, get_entity(entity), selection, parameters or {})
        bulk_action = start_verb(organisation_id, None, order, most_per_hour=100)
        db.session.commit()
        bulk_action_id = bulk_action.id
    send_work()
    work_off(app)
    return read(app, organisation_id, bulk_action_id)


def undo_of(app: APIFlask, organisation_id: UUID, source: BulkAction) -> BulkAction:
    with app.app_context(), tenant(organisation_id):
        locked = lock_bulk_action(organisation_id, source.id)
        assert locked is not None
        undo = start_undo(locked, None, most_per_hour=100)
        db.session.commit()
        undo_id = undo.id
    send_work()
    work_off(app)
    return read(app, organisation_id, undo_id)


@pytest.fixture
def do(app: APIFlask, organisation_id: UUID) -> Do:
    return partial(do_verb, app, organisation_id)


@pytest.fixture
def undo(app: APIFlask, organisation_id: UUID) -> Do:
    return partial(undo_of, app, organisation_id)


@pytest.fixture
def people(app: APIFlask, organisation_id: UUID) -> BulkAction:
    rows = [[f"p{n:02}@example.com", f"N{n}", "Köln" if n % 2 else "Rome", "old", str(n)] for n in range(20)]
    return import_rows(app, organisation_id, rows, HEADER, mapping=ATTRIBUTES)


def rows_of(settings: Settings, columns: str = "first_name, city, tags, attributes") -> dict[str, tuple[Any, ...]]:
    with owner_connection(settings) as connection:
        query = f"SELECT email_key, {columns} FROM contacts ORDER BY 1"
        return {row[0]: row[1:] for row in connection.execute(query)}


def ids_of(settings: Settings) -> dict[str, UUID]:
    return {email: row[0] for email, row in rows_of(settings, "id").items()}


def counts(bulk_action: BulkAction) -> dict[str, int]:
    found = {name: getattr(bulk_action, f"{name}_count") for name in ("row", "succeeded", "skipped", "failed")}
    return {name: count for name, count in found.items() if count}


def reasons(settings: Settings, bulk_action: BulkAction) -> set[str]:
    query = "SELECT unnest(reasons) FROM bulk_action_outcomes WHERE bulk_action_id = %s AND outcome = 'failed'"
    with owner_connection(settings) as connection:
        return {row[0] for row in connection.execute(query, [bulk_action.id])}


def test_updating_changes_the_chosen_fields_of_all_that_match(people: BulkAction, do: Do, services: Settings) -> None:
    values = {"city": "Bonn", "attributes.Shoe size": "99", "tags": ["new"]}
    done = do(Verb.UPDATE, Selection(arguments={"where": ["city:is:rome"]}), {"values": values})
    assert (done.state, counts(done)) == (BulkActionState.COMPLETED, {"row": 10, "succeeded": 10})
    assert rows_of(services)["p04@example.com"] == ("N4", "Bonn", ["new"], {"Shoe size": "99"})
    assert rows_of(services)["p05@example.com"] == ("N5", "Köln", ["old"], {"Shoe size": "5"})
    again = do(Verb.UPDATE, Selection(arguments={"where": ["city:is:bonn"]}), {"values": {"city": "Bonn"}})
    assert counts(again) == {"row": 10, "skipped": 10}


def test_a_blank_value_empties_fields(people: BulkAction, do: Do, services: Settings) -> None:
    done = do(Verb.UPDATE, ALL, {"values": {"city": "", "tags": "", "owner_id": None, "attributes.Shoe size": ""}})
    assert counts(done) == {"row": 20, "succeeded": 20}
    assert set(rows_of(services, "city, tags::text, attributes::text").values()) == {(None, "{}", "{}")}


def test_tags_are_added_and_removed_without_touching_others(people: BulkAction, do: Do, services: Settings) -> None:
    some = Selection(ids=tuple(list(ids_of(services).values())[:3]))
    assert counts(do(Verb.ADD_TAGS, some, {"tags": "vip, old"})) == {"row": 3, "succeeded": 3}
    assert rows_of(services)["p00@example.com"][2] == ["old", "vip"]
    assert counts(do(Verb.ADD_TAGS, some, {"tags": ["vip"]})) == {"row": 3, "skipped": 3}
    assert counts(do(Verb.REMOVE_TAGS, ALL, {"tags": "vip"})) == {"row": 20, "succeeded": 3, "skipped": 17}
    assert rows_of(services)["p00@example.com"][2] == ["old"]


def test_deleted_records_are_restored_by_undo_unless_their_key_is_taken(
    people: BulkAction, do: Do, undo: Do, app: APIFlask, organisation_id: UUID, services: Settings
) -> None:
    before = rows_of(services, "id, first_name, tags, created_at, updated_at")
    done = do(Verb.DELETE, Selection(arguments={"tag": ["old"]}))
    assert counts(done) == {"row": 20, "succeeded": 20}
    assert rows_of(services) == {}
    import_rows(app, organisation_id, [["P03@example.com", "Other"]], HEADER)
    back = undo(done)
    assert counts(back) == {"row": 20, "succeeded": 19, "failed": 1}
    assert reasons(services, back) == {"Another contact has its E-mail by now."}
    after = rows_of(services, "id, first_name, tags, created_at, updated_at")
    assert {email: row for email, row in after.items() if email != "p03@example.com"} == {
        email: row for email, row in before.items() if email != "p03@example.com"
    }


def test_what_went_before_its_turn_has_failed_with_the_reason(people: BulkAction, do: Do, services: Settings) -> None:
    ids = ids_of(services)
    some = Selection(ids=(ids["p01@example.com"], ids["p02@example.com"]))
    do(Verb.DELETE, Selection(ids=(ids["p01@example.com"],)))
    done = do(Verb.ADD_TAGS, some, {"tags": "vip"})
    assert counts(done) == {"row": 2, "succeeded": 1, "failed": 1}
    assert reasons(services, done) == {"It was deleted before its turn came."}


def test_undoing_an_import_removes_what_it_created_and_restores_what_it_changed(
    people: BulkAction, do: Do, undo: Do, app: APIFlask, organisation_id: UUID, services: Settings
) -> None:
    before = rows_of(services)
    rows = [[f"p{n:02}@example.com", "", "Oslo", "new", "1"] for n in range(15, 30)]
    more = import_rows(app, organisation_id, rows, HEADER, mapping=ATTRIBUTES)
    assert (more.created_count, more.updated_count) == (10, 5)
    ids = ids_of(services)
    touched = Selection(ids=(ids["p16@example.com"], ids["p25@example.com"]))
    do(Verb.UPDATE, touched, {"values": {"first_name": "Somebody"}})
    back = undo(more)
    assert counts(back) == {"row": 15, "succeeded": 13, "failed": 2}
    assert reasons(services, back) == {"It was changed since."}
    after = rows_of(services)
    assert after.pop("p25@example.com")[:2] == ("Somebody", "Oslo")
    assert after.pop("p16@example.com")[:2] == ("Somebody", "Oslo")
    assert after == {email: row for email, row in before.items() if email != "p16@example.com"}


def test_undoing_an_update_gives_back_values_of_every_type(
    people: BulkAction, do: Do, undo: Do, services: Settings
) -> None:
    before = rows_of(services)
    done = do(Verb.UPDATE, ALL, {"values": {"city": "", "tags": "x; y", "attributes.Shoe size": "0"}})
    assert counts(undo(done)) == {"row": 20, "succeeded": 20}
    assert rows_of(services) == before


def test_nothing_is_undone_twice(people: BulkAction, undo: Do) -> None:
    undo(people)
    with pytest.raises(NotUndoableError, match="undone already"):
        undo(people)


def test_a_selection_is_frozen_when_its_work_begins(
    people: BulkAction, app: APIFlask, organisation_id: UUID, services: Settings
) -> None:
    with app.app_context(), tenant(organisation_id):
        order = Order(Verb.DELETE, CONTACTS, ALL)
        bulk_action = start_verb(organisation_id, None, order, most_per_hour=100)
        db.session.commit()
        bulk_action_id = bulk_action.id
    send_work()
    import_rows(app, organisation_id, [["late@example.com", "Late"]], HEADER)
    assert counts(read(app, organisation_id, bulk_action_id)) == {"row": 20, "succeeded": 20}
    assert list(rows_of(services)) == ["late@example.com"]


def test_an_exported_file_dropped_again_changes_nothing(
    people: BulkAction, do: Do, app: APIFlask, organisation_id: UUID
) -> None:
    do(Verb.UPDATE, ALL, {"values": {"phone": "+49 30 1234567", "notes": 'say "hi",\nthen = go'}})
    columns = ["email", "first_name", "city", "phone", "tags", "notes", "attributes.Shoe size"]
    done = do(Verb.EXPORT, ALL, {"columns": columns})
    content = exported(app, organisation_id, done)
    rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    assert rows[0] == ["E-mail", "First name", "City", "Phone", "Tags", "Notes", "Shoe size"]
    assert min(rows[1:]) == ["p00@example.com", "N0", "Rome", "+49301234567", "old", 'say "hi",\nthen = go', "0"]
    assert len(rows) == 21
    mapping = {str(place): name for place, name in enumerate(columns)}
    again = import_rows(app, organisation_id, rows[1:], rows[0], mapping=mapping)
    assert (again.unchanged_count, again.rejected_count, again.updated_count) == (20, 0, 0)


def exported(app: APIFlask, organisation_id: UUID, done: BulkAction) -> bytes:
    with app.app_context(), tenant(organisation_id):
        bulk_action = get_bulk_action(organisation_id, done.id)
        assert bulk_action is not None
        return b"".join(stream_csv(export_of(bulk_action), bulk_action.partition_count, uploads(app)))


@pytest.mark.parametrize(("formulas", "cell"), [("keep", "=1+1"), ("neutralise", "'=1+1")])
def test_formulas_are_kept_or_neutralised_as_chosen(
    people: BulkAction, do: Do, app: APIFlask, organisation_id: UUID, formulas: str, cell: str
) -> None:
    do(Verb.UPDATE, ALL, {"values": {"notes": "=1+1"}})
    done = do(Verb.EXPORT, ALL, {"columns": ["email", "notes"], "formulas": formulas})
    assert f"p00@example.com,{cell}\r\n".encode().strip() in exported(app, organisation_id, done)


@pytest.mark.parametrize(("formulas", "heading"), [("keep", b"=1+1"), ("neutralise", b"'=1+1")])
def test_names_of_own_fields_are_kept_or_neutralised_as_cells_are(
    app: APIFlask, organisation_id: UUID, do: Do, formulas: str, heading: bytes
) -> None:
    mapping: dict[str, str | None] = {"0": "email", "1": "attributes.=1+1"}
    import_rows(app, organisation_id, [["z@example.com", "7"]], ["Email", "=1+1"], mapping=mapping)
    done = do(Verb.EXPORT, ALL, {"columns": ["email", "attributes.=1+1"], "formulas": formulas})
    lines = exported(app, organisation_id, done).removeprefix(b"\xef\xbb\xbf").split()
    assert lines == [b"E-mail," + heading, b"z@example.com,7"]


def test_an_export_holds_own_fields_too_unless_columns_are_chosen(
    people: BulkAction, app: APIFlask, organisation_id: UUID, do: Do
) -> None:
    lines = exported(app, organisation_id, do(Verb.EXPORT, ALL)).decode().splitlines()
    assert lines[0].endswith("Tags,Owner,Notes,Created,Changed,Shoe size")
    assert sorted(lines[1:])[19].endswith("Z,19")


def test_a_workbook_holds_texts_as_texts_and_prices_as_numbers(
    app: APIFlask, organisation_id: UUID, do: Do, tmp_path: Any
) -> None:
    from python_calamine import CalamineWorkbook

    rows = [["0012", "Cup", "1234.5", "EUR"], ["0013", "=Mug", "", ""]]
    import_rows(app, organisation_id, rows, ["SKU", "Name", "Price", "Currency"], entity="products")
    columns = ["sku", "name", "price", "is_active"]
    done = do(Verb.EXPORT, ALL, {"format": "xlsx", "columns": columns}, entity="products")
    assert done.state is BulkActionState.COMPLETED
    with app.app_context(), tenant(organisation_id):
        bulk_action = get_bulk_action(organisation_id, done.id)
        assert bulk_action is not None
        (tmp_path / "x.xlsx").write_bytes(b"".join(uploads(app).stream(export_of(bulk_action).workbook_key)))
    sheet = CalamineWorkbook.from_path(str(tmp_path / "x.xlsx")).get_sheet_by_index(0).to_python()
    assert sheet[0] == ["SKU", "Name", "Price", "Active"]
    assert sorted(sheet[1:], key=str) == [["0012", "Cup", 1234.5, "yes"], ["0013", "=Mug", "", "yes"]]


def test_no_more_are_started_within_an_hour_than_the_organisation_may(
    people: BulkAction, app: APIFlask, organisation_id: UUID
) -> None:
    order = Order(Verb.ADD_TAGS, CONTACTS, ALL, {"tags": ["vip"]})
    with app.app_context(), tenant(organisation_id):
        first = start_verb(organisation_id, None, order, most_per_hour=1)
        with pytest.raises(TooManyError) as caught:
            start_verb(organisation_id, None, order, most_per_hour=1)
        assert caught.value.retry_at > first.created_at


def test_imports_and_tries_use_up_no_verbs(people: BulkAction, app: APIFlask, organisation_id: UUID) -> None:
    import_rows(app, organisation_id, [["new@example.com"]], ["Email"], is_dry_run=True)
    with app.app_context(), tenant(organisation_id):
        source = lock_bulk_action(organisation_id, people.id)
        assert source is not None
        assert start_undo(source, None, most_per_hour=1).source_id == people.id


def test_another_organisations_records_are_out_of_reach(
    people: BulkAction, app: APIFlask, services: Settings, charlie: Any
) -> None:
    ids = Selection(ids=tuple(ids_of(services).values()))
    for selection in (ids, ALL):
        done = do_verb(app, charlie.organisation_id, Verb.DELETE, selection)
        assert done.succeeded_count == 0
    assert len(rows_of(services)) == 20


def test_the_empty_selection_ends_at_once(do: Do) -> None:
    assert do(Verb.DELETE).state is BulkActionState.COMPLETED
