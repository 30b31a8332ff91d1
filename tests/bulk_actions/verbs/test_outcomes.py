"""Each record has exactly one outcome, and the true one, whatever others do to it meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import pytest
from apiflask import APIFlask

from tests.bulk_actions.support import age_everything, read, sweep_and_work_off, work_off
from tests.bulk_actions.verbs.test_verbs import (
    ALL,
    HEADER,
    Do,
    counts,
    do,
    exported,
    ids_of,
    people,
    reasons,
    rows_of,
    small_chunks,
    undo,
)
from tests.conftest import owner_connection
from tests.records.test_merge import import_rows
from webapp.bulk_actions import chunks
from webapp.bulk_actions.models import BulkAction, BulkActionState, Verb
from webapp.bulk_actions.queries import lock_bulk_action
from webapp.bulk_actions.tasks import send_work
from webapp.bulk_actions.verbs import outcomes
from webapp.bulk_actions.verbs.service import Order, start_undo, start_verb
from webapp.config import Settings
from webapp.contacts.models import CONTACTS
from webapp.extensions import db, tenant

__all__ = ["do", "people", "small_chunks", "undo"]
GONE = "It was deleted before its turn came."
TAG = {"tags": ["vip"]}
CHANGE = "UPDATE contacts SET first_name = 'Mine', updated_at = now() WHERE email_key = 'p03@example.com'"
REMOVE = "DELETE FROM contacts WHERE email_key = 'p03@example.com'"


def begin(
    app: APIFlask, organisation_id: UUID, verb: Verb, parameters: Mapping[str, Any] | None = None, limit: int = 1
) -> UUID:
    """Start a verb over all contacts, and do its plan, or `limit` messages."""
    with app.app_context(), tenant(organisation_id):
        order = Order(verb, CONTACTS, ALL, parameters or {})
        bulk_action_id = start_verb(organisation_id, None, order, most_per_hour=100).id
        db.session.commit()
    send_work()
    work_off(app, limit)
    return bulk_action_id


def begin_undo(app: APIFlask, organisation_id: UUID, source: BulkAction) -> UUID:
    with app.app_context(), tenant(organisation_id):
        locked = lock_bulk_action(organisation_id, source.id)
        assert locked is not None
        undo_id = start_undo(locked, None, most_per_hour=100).id
        db.session.commit()
    send_work()
    work_off(app, 1)
    return undo_id


def outcomes_of(settings: Settings, bulk_action_id: UUID) -> dict[UUID, tuple[str, str | None]]:
    """The outcome of each record, with its reason; none may have two."""
    query = (
        "SELECT record_id, outcome, reasons[place] FROM bulk_action_outcomes,"
        " unnest(record_ids) WITH ORDINALITY AS record (record_id, place) WHERE bulk_action_id = %s"
    )
    with owner_connection(settings) as connection:
        rows = connection.execute(query, [bulk_action_id]).fetchall()
    found = {row[0]: (row[1], row[2]) for row in rows}
    assert len(found) == len(rows)
    return found


@pytest.mark.parametrize(
    ("verb", "parameters"), [(Verb.ADD_TAGS, TAG), (Verb.DELETE, {}), (Verb.EXPORT, {"columns": ["email"]})]
)
def test_what_is_deleted_between_the_freezing_and_its_turn_has_failed(
    people: BulkAction, app: APIFlask, organisation_id: UUID, services: Settings, verb: Verb, parameters: dict[str, Any]
) -> None:
    ids = ids_of(services)
    bulk_action_id = begin(app, organisation_id, verb, parameters)
    with owner_connection(services) as connection:
        connection.execute(REMOVE)
    work_off(app)
    done = read(app, organisation_id, bulk_action_id)
    assert (done.state, counts(done)) == (BulkActionState.COMPLETED, {"row": 20, "succeeded": 19, "failed": 1})
    gone = ids["p03@example.com"]
    assert outcomes_of(services, done.id) == {
        record_id: ("failed", GONE) if record_id == gone else ("succeeded", None) for record_id in ids.values()
    }
    if verb is Verb.EXPORT:
        written = exported(app, organisation_id, done).decode("utf-8-sig").split()
        assert sorted(written[1:]) == sorted(email for email in ids if email != "p03@example.com")


def test_what_a_verb_would_not_change_is_skipped_beside_what_it_changes_and_what_is_gone(
    people: BulkAction, do: Do, app: APIFlask, organisation_id: UUID, services: Settings
) -> None:
    bulk_action_id = begin(app, organisation_id, Verb.ADD_TAGS, TAG)
    with owner_connection(services) as connection:
        connection.execute(REMOVE)
        connection.execute("UPDATE contacts SET tags = '{old,vip}' WHERE email_key < 'p02@example.com'")
    work_off(app)
    done = read(app, organisation_id, bulk_action_id)
    assert counts(done) == {"row": 20, "succeeded": 17, "skipped": 2, "failed": 1}
    assert reasons(services, done) == {GONE}
    assert {row[2][-1] for row in rows_of(services).values()} == {"vip"}


def test_two_bulk_actions_on_the_same_records_take_turns_and_tell_the_truth(
    people: BulkAction, app: APIFlask, organisation_id: UUID, services: Settings
) -> None:
    tagging = begin(app, organisation_id, Verb.ADD_TAGS, TAG)
    deletion = begin(app, organisation_id, Verb.DELETE, limit=100)
    tagged, deleted = (outcomes_of(services, one) for one in (tagging, deletion))
    assert set(deleted.values()) == {("succeeded", None)}
    assert len(tagged) == len(deleted) == 20
    assert set(tagged.values()) <= {("succeeded", None), ("failed", GONE)}
    with owner_connection(services) as connection:
        bearers = connection.execute("SELECT id FROM deleted_contacts WHERE 'vip' = ANY (tags)").fetchall()
    assert {row[0] for row in bearers} == {one for one, (outcome, _) in tagged.items() if outcome == "succeeded"}


def meanwhile(app: APIFlask, settings: Settings, statement: str) -> None:
    """Work off everything while another transaction has written a record and commits when somebody waits for that."""
    with owner_connection(settings) as connection:
        connection.autocommit = False
        connection.execute(statement)
        worker = threading.Thread(target=work_off, args=[app])
        worker.start()
        wait_for_waiting(settings)
        connection.commit()
        worker.join()


def wait_for_waiting(settings: Settings) -> None:
    deadline = time.monotonic() + 30
    with owner_connection(settings) as connection:
        while not connection.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone():
            assert time.monotonic() < deadline, "Nobody waits for the record."
            time.sleep(0.01)


def trash_of(settings: Settings) -> dict[str, str]:
    with owner_connection(settings) as connection:
        return dict(connection.execute("SELECT email_key, first_name FROM deleted_contacts").fetchall())


@pytest.mark.parametrize(("statement", "first_name"), [(CHANGE, "Mine"), (REMOVE, None)])
def test_a_deletion_takes_a_record_as_another_left_it_at_that_moment(
    people: BulkAction, app: APIFlask, organisation_id: UUID, services: Settings, statement: str, first_name: str | None
) -> None:
    deletion = begin(app, organisation_id, Verb.DELETE)
    meanwhile(app, services, statement)
    done = read(app, organisation_id, deletion)
    expected = {"row": 20, "succeeded": 20} if first_name else {"row": 20, "succeeded": 19, "failed": 1}
    assert counts(done) == expected
    assert trash_of(services).get("p03@example.com") == first_name


def test_an_update_keeps_what_another_wrote_at_that_moment(
    people: BulkAction, undo: Do, app: APIFlask, organisation_id: UUID, services: Settings
) -> None:
    update = begin(app, organisation_id, Verb.UPDATE, {"values": {"first_name": "All"}})
    meanwhile(app, services, CHANGE)
    done = read(app, organisation_id, update)
    assert counts(done) == {"row": 20, "succeeded": 20}
    assert counts(undo(done)) == {"row": 20, "succeeded": 20}
    assert rows_of(services)["p03@example.com"][0] == "Mine"


def test_an_undo_leaves_what_another_changed_at_that_moment(
    people: BulkAction, do: Do, app: APIFlask, organisation_id: UUID, services: Settings
) -> None:
    source = do(Verb.UPDATE, ALL, {"values": {"city": "Bonn"}})
    undoing = begin_undo(app, organisation_id, source)
    meanwhile(app, services, CHANGE)
    done = read(app, organisation_id, undoing)
    assert counts(done) == {"row": 20, "succeeded": 19, "failed": 1}
    assert reasons(services, done) == {"It was changed since."}
    assert rows_of(services)["p03@example.com"][:2] == ("Mine", "Bonn")


def test_of_two_who_restore_a_record_at_once_one_does(
    people: BulkAction, do: Do, app: APIFlask, organisation_id: UUID, services: Settings
) -> None:
    deletion = do(Verb.DELETE)
    undoing = begin_undo(app, organisation_id, deletion)
    columns = ", ".join(CONTACTS.data_columns)
    back = (
        "WITH taken AS (DELETE FROM deleted_contacts WHERE email_key = 'p03@example.com' RETURNING *)"
        f" INSERT INTO contacts ({columns}) SELECT {columns} FROM taken"
    )
    meanwhile(app, services, back)
    done = read(app, organisation_id, undoing)
    assert counts(done) == {"row": 20, "succeeded": 19, "skipped": 1}
    assert (len(rows_of(services)), trash_of(services)) == (20, {})


def test_undoing_an_import_that_created_and_changed_leaves_what_was_written_since(
    people: BulkAction, do: Do, undo: Do, app: APIFlask, organisation_id: UUID, services: Settings
) -> None:
    rows = [[f"p{n:02}@example.com", "Somebody"] for n in range(10, 30)]
    more = import_rows(app, organisation_id, rows, HEADER)
    tagged = do(Verb.ADD_TAGS, ALL, TAG)
    with owner_connection(services) as connection:
        for email in ("p12@example.com", "p22@example.com"):
            connection.execute("UPDATE contacts SET updated_at = now() WHERE email_key = %s", [email])
        connection.execute("DELETE FROM contacts WHERE email_key IN ('p13@example.com', 'p23@example.com')")
    assert counts(undo(tagged)) == {"row": 30, "succeeded": 26, "failed": 4}
    back = undo(more)
    assert counts(back) == {"row": 20, "succeeded": 16, "skipped": 1, "failed": 3}
    assert reasons(services, back) == {"It was changed since.", "It was deleted since."}
    assert len(outcomes_of(services, back.id)) == 20
    left = {email: row[0] for email, row in rows_of(services).items() if email >= "p10@example.com"}
    expected = {f"p{n}@example.com": f"N{n}" for n in range(10, 20) if n != 13}
    assert left == {**expected, "p12@example.com": "Somebody", "p22@example.com": "Somebody"}


@pytest.mark.parametrize(
    ("verb", "parameters"), [(Verb.ADD_TAGS, TAG), (Verb.DELETE, {}), (Verb.EXPORT, {"columns": ["email"]})]
)
def test_a_chunk_that_broke_off_before_its_commit_is_done_once_more_and_counts_once(
    people: BulkAction,
    app: APIFlask,
    organisation_id: UUID,
    services: Settings,
    monkeypatch: pytest.MonkeyPatch,
    verb: Verb,
    parameters: dict[str, Any],
) -> None:
    bulk_action_id = begin(app, organisation_id, verb, parameters)
    broken = breaking(chunks.mark_done)
    monkeypatch.setattr(outcomes, "mark_done", broken)
    with pytest.raises(ArithmeticError):
        work_off(app)
    monkeypatch.undo()
    age_everything(services)
    sweep_and_work_off(app)
    done = read(app, organisation_id, bulk_action_id)
    assert (done.state, counts(done)) == (BulkActionState.COMPLETED, {"row": 20, "succeeded": 20})
    assert len(outcomes_of(services, done.id)) == 20


def breaking(original: Callable[[Any], None]) -> Callable[[Any], None]:
    """Breaks off after everything else of the first chunk's transaction."""

    def mark(chunk: Any) -> None:
        original(chunk)
        db.session.flush()
        raise ArithmeticError("broken off")

    return mark
