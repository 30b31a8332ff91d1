"""Undoing one after another, undoing again after a cancelled undo, and what restoring says of those that stay out."""

from __future__ import annotations

from uuid import UUID

import pytest
from apiflask import APIFlask

from tests.bulk_actions.support import read, work_off
from tests.bulk_actions.verbs.test_verbs import (
    ALL,
    HEADER,
    Do,
    counts,
    do,
    ids_of,
    people,
    reasons,
    rows_of,
    small_chunks,
    undo,
    undo_of,
)
from tests.conftest import owner_connection
from tests.records.test_merge import import_rows
from webapp.bulk_actions.models import BulkAction, BulkActionState, Verb
from webapp.bulk_actions.queries import lock_bulk_action
from webapp.bulk_actions.service import cancel
from webapp.bulk_actions.tasks import send_work
from webapp.bulk_actions.verbs.selection import Selection
from webapp.bulk_actions.verbs.service import NotUndoableError, start_undo
from webapp.config import Settings
from webapp.extensions import db, tenant

__all__ = ["do", "people", "small_chunks", "undo"]
FIELDS = "id, first_name, city, tags, attributes, created_at"


def test_bulk_actions_are_undone_one_after_another(
    people: BulkAction, do: Do, undo: Do, app: APIFlask, organisation_id: UUID, services: Settings
) -> None:
    before = rows_of(services, FIELDS)
    tagged = do(Verb.ADD_TAGS, ALL, {"tags": "vip"})
    rows = [[f"p{n:02}@example.com", "Somebody", "Oslo"] for n in range(25)]
    moved = import_rows(app, organisation_id, rows, HEADER)
    emptied = do(Verb.UPDATE, ALL, {"values": {"city": ""}})
    assert counts(undo(emptied)) == {"row": 25, "succeeded": 25}
    again = do(Verb.REMOVE_TAGS, ALL, {"tags": "vip"})
    assert counts(undo(again)) == {"row": 20, "succeeded": 20}
    assert counts(undo(moved)) == {"row": 25, "succeeded": 25}
    assert counts(undo(tagged)) == {"row": 20, "succeeded": 20}
    assert rows_of(services, FIELDS) == before
    assert counts(undo(people)) == {"row": 20, "succeeded": 20}
    assert rows_of(services) == {}


def test_what_was_changed_in_between_stays_also_when_the_change_before_is_undone(
    people: BulkAction, do: Do, undo: Do, services: Settings
) -> None:
    first = do(Verb.UPDATE, ALL, {"values": {"city": "Bonn"}})
    second = do(Verb.UPDATE, ALL, {"values": {"city": "Oslo"}})
    one = Selection(ids=(ids_of(services)["p03@example.com"],))
    do(Verb.UPDATE, one, {"values": {"city": "Mine"}})
    assert counts(undo(second)) == {"row": 20, "succeeded": 19, "failed": 1}
    back = undo(first)
    assert counts(back) == {"row": 20, "succeeded": 19, "failed": 1}
    assert reasons(services, back) == {"It was changed since."}
    assert rows_of(services)["p03@example.com"][1] == "Mine"
    assert rows_of(services)["p05@example.com"][1] == "Köln"


def test_undoing_tells_every_reader_of_changes_that_records_changed(
    people: BulkAction, do: Do, undo: Do, services: Settings
) -> None:
    done = do(Verb.UPDATE, ALL, {"values": {"city": "Bonn"}})
    changed = rows_of(services, "updated_at")
    undo(done)
    assert all(moment > changed[email] for email, moment in rows_of(services, "updated_at").items())


def test_after_a_cancelled_undo_another_does_the_rest(
    people: BulkAction, do: Do, undo: Do, app: APIFlask, organisation_id: UUID, services: Settings
) -> None:
    rows = [[f"p{n:02}@example.com", "Somebody"] for n in range(10, 30)]
    more = import_rows(app, organisation_id, rows, HEADER)
    half = cancelled_midway(app, organisation_id, more)
    assert half.state is BulkActionState.CANCELLED
    done_count = half.succeeded_count
    assert 0 < done_count < 20
    assert counts(undo(more)) == {"row": 20, "succeeded": 20 - done_count, "skipped": done_count}
    assert {row[0] for row in rows_of(services).values()} == {f"N{n}" for n in range(20)}


def cancelled_midway(app: APIFlask, organisation_id: UUID, source: BulkAction) -> BulkAction:
    """An undo whose plan and first two chunks were done when it was cancelled."""
    with app.app_context(), tenant(organisation_id):
        locked = lock_bulk_action(organisation_id, source.id)
        assert locked is not None
        undo_id = start_undo(locked, None, most_per_hour=100).id
        db.session.commit()
    send_work()
    work_off(app, limit=3)
    with app.app_context(), tenant(organisation_id):
        running = lock_bulk_action(organisation_id, undo_id)
        assert running is not None
        cancel(running)
        db.session.commit()
    work_off(app)
    return read(app, organisation_id, undo_id)


def test_what_is_gone_since_is_told_apart(people: BulkAction, do: Do, undo: Do, services: Settings) -> None:
    changed = do(Verb.UPDATE, ALL, {"values": {"city": "Bonn"}})
    do(Verb.DELETE, Selection(ids=(ids_of(services)["p03@example.com"],)))
    back = undo(changed)
    assert counts(back) == {"row": 20, "succeeded": 19, "failed": 1}
    assert reasons(services, back) == {"It was deleted since."}
    assert counts(undo(people)) == {"row": 20, "succeeded": 19, "skipped": 1}


def test_only_what_this_deletion_deleted_comes_back(
    people: BulkAction, do: Do, undo: Do, app: APIFlask, organisation_id: UUID, services: Settings
) -> None:
    ids = ids_of(services)
    done = do(Verb.DELETE)
    some = Selection(ids=(ids["p01@example.com"], ids["p02@example.com"]))
    assert counts(do(Verb.RESTORE, some)) == {"row": 2, "succeeded": 2}
    do(Verb.DELETE, Selection(ids=(ids["p02@example.com"],)))
    import_rows(app, organisation_id, [["p03@example.com", "Other"]], HEADER)
    with owner_connection(services) as connection:
        connection.execute("DELETE FROM deleted_contacts WHERE id = %s", [ids["p04@example.com"]])
    back = undo(done)
    assert counts(back) == {"row": 20, "succeeded": 16, "skipped": 1, "failed": 3}
    assert reasons(services, back) == {"Another contact has its E-mail by now.", "It is not in the trash any more."}
    assert "p02@example.com" not in rows_of(services)


def test_an_undo_cannot_be_undone(people: BulkAction, undo: Do) -> None:
    back = undo(people)
    with pytest.raises(NotUndoableError, match="changed nothing that could be undone"):
        undo(back)


def test_two_undos_at_once_are_one(people: BulkAction, app: APIFlask, organisation_id: UUID) -> None:
    with app.app_context(), tenant(organisation_id):
        locked = lock_bulk_action(organisation_id, people.id)
        assert locked is not None
        start_undo(locked, None, most_per_hour=100)
        db.session.commit()
    with pytest.raises(NotUndoableError, match="undone already, or just being undone"):
        undo_of(app, organisation_id, people)
