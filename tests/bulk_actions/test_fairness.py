"""Whose turn it is: the order in which chunks are taken, over organisations and over one's bulk actions."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from apiflask import APIFlask

from tests.bulk_actions.support import counts_of, people, read, start, take, work_off
from tests.conftest import Person, owner_connection
from webapp.bulk_actions import chunks, work
from webapp.bulk_actions.chunks import Take
from webapp.bulk_actions.models import BulkAction, BulkActionState, Phase
from webapp.bulk_actions.queries import count_waiting_chunks
from webapp.bulk_actions.service import new_chunk
from webapp.config import Settings
from webapp.extensions import db, tenant
from webapp.lib.clock import utc_now


def test_organisations_take_turns_however_much_each_has_waiting(
    app: APIFlask, organisation_id: UUID, charlie: Person
) -> None:
    large = queue(app, organisation_id, chunk_count=30)
    small = queue(app, charlie.organisation_id, chunk_count=3)
    assert taken(app, 8) == [large, small, large, small, large, small, large, large]


def test_a_newcomer_comes_next_and_makes_up_for_nothing(app: APIFlask, organisation_id: UUID, charlie: Person) -> None:
    large = queue(app, organisation_id, chunk_count=30)
    assert taken(app, 10) == [large] * 10
    small = queue(app, charlie.organisation_id, chunk_count=30)
    assert taken(app, 6)[-4:] in ([large, small] * 2, [small, large] * 2)


def test_whose_chunks_are_small_gets_as_many_rows_done(app: APIFlask, organisation_id: UUID, charlie: Person) -> None:
    large = queue(app, organisation_id, chunk_count=30, row_count=8_000)
    small = queue(app, charlie.organisation_id, chunk_count=60, row_count=2_000)
    order = taken(app, 40)
    assert (order.count(large), order.count(small)) == (8, 32)


def test_an_organisation_with_three_imports_gets_no_more_turns(
    app: APIFlask, organisation_id: UUID, charlie: Person
) -> None:
    several = [queue(app, organisation_id, chunk_count=30) for _ in range(3)]
    other = queue(app, charlie.organisation_id, chunk_count=30)
    order = taken(app, 24)
    assert order.count(other) == 12
    assert [order.count(one) for one in several] == [4, 4, 4]


def test_a_small_import_begun_during_a_large_one_has_every_other_turn_to_its_end(
    app: APIFlask, organisation_id: UUID, charlie: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "MIN_CHUNK_BYTES", 2_000)
    order = record_takes(monkeypatch)
    large = start(app, organisation_id, people(2_000))
    work_off(app, limit=8)
    small = start(app, charlie.organisation_id, people(200))
    del order[:]
    while not read(app, charlie.organisation_id, small).state.is_final:
        assert work_off(app, limit=1) == 1
    turns = [found.bulk_action_id for found in order]
    assert small in turns[:2]
    others_between = [turns[:place].count(large) - turns[:place].count(small) for place in range(len(turns))]
    assert max(others_between) <= 1
    assert not read(app, organisation_id, large).state.is_final
    work_off(app)
    assert counts_of(read(app, organisation_id, large)) == {"row": 2_000, "created": 2_000}
    assert counts_of(read(app, charlie.organisation_id, small)) == {"row": 200, "created": 200}


def test_planning_goes_on_until_enough_waits_to_be_staged(app: APIFlask, organisation_id: UUID) -> None:
    bulk_action_id = queue(app, organisation_id, chunk_count=63)
    add_chunks(app, organisation_id, bulk_action_id, Phase.PLAN, 1)
    assert phases(app, 1) == ["plan"]
    add_chunks(app, organisation_id, bulk_action_id, Phase.PLAN, 1, first=1)
    add_chunks(app, organisation_id, bulk_action_id, Phase.STAGE, 2, first=63)
    assert phases(app, 3) == ["stage", "stage", "plan"]


def test_merging_comes_before_staging(app: APIFlask, organisation_id: UUID) -> None:
    bulk_action_id = queue(app, organisation_id, chunk_count=2)
    add_chunks(app, organisation_id, bulk_action_id, Phase.MERGE, 2)
    assert phases(app, 5) == ["merge", "merge", "stage", "stage"]


def test_a_file_is_never_planned_far_ahead_of_its_staging(
    app: APIFlask, organisation_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "CHUNK_BYTES", 300)
    monkeypatch.setattr(work, "MIN_CHUNK_BYTES", 300)
    bulk_action_id = start(app, organisation_id, people(2_000))
    ahead = []
    while work_off(app, limit=1):
        found = read(app, organisation_id, bulk_action_id)
        ahead.append(found.chunk_count - found.staged_chunk_count)
    assert 60 < max(ahead) < 64 + work.SPANS_PER_STEP
    assert counts_of(read(app, organisation_id, bulk_action_id)) == {"row": 2_000, "created": 2_000}


def test_what_shall_begin_later_waits_for_its_time(app: APIFlask, services: Settings, organisation_id: UUID) -> None:
    bulk_action_id = queue(app, organisation_id, chunk_count=2, run_at=utc_now() + timedelta(hours=1))
    assert taken(app, 1) == []
    assert waiting(app) == 0
    with owner_connection(services) as connection:
        connection.execute("UPDATE bulk_actions SET run_at = now() - interval '1 second'")
    assert waiting(app) == 2
    assert taken(app, 3) == [bulk_action_id] * 2


@pytest.mark.parametrize("state", [state for state in BulkActionState if state.is_final])
def test_nothing_is_taken_of_what_is_over(app: APIFlask, organisation_id: UUID, state: BulkActionState) -> None:
    queue(app, organisation_id, chunk_count=2, state=state)
    assert taken(app, 1) == []
    assert waiting(app) == 0


def test_a_chunk_that_was_tried_before_is_at_work_with_no_other_such(
    app: APIFlask, services: Settings, organisation_id: UUID, charlie: Person
) -> None:
    """One of them may kill its worker again, and the others would be taken for the culprit."""
    for one in (organisation_id, charlie.organisation_id):
        queue(app, one, chunk_count=3)
    with owner_connection(services) as connection:
        connection.execute("UPDATE bulk_action_chunks SET attempt_count = 1 WHERE index < 2")
    attempts = [found.attempt_count for found in takes(app, 6)]
    assert sorted(attempts) == [1, 1, 2]
    with owner_connection(services) as connection:
        connection.execute("UPDATE bulk_action_chunks SET state = 'done' WHERE attempt_count = 2")
    assert [found.attempt_count for found in takes(app, 6)] == [2]


def test_many_workers_take_every_chunk_once(app: APIFlask, organisation_id: UUID, charlie: Person) -> None:
    for one in (organisation_id, charlie.organisation_id):
        queue(app, one, chunk_count=40)
    found: list[Take] = []
    threads = [threading.Thread(target=lambda: found.extend(takes(app, 80))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 80
    assert len({(one.bulk_action_id, one.index) for one in found}) == 80


def test_a_chunk_that_somebody_looks_at_is_left_for_the_next(
    app: APIFlask, services: Settings, organisation_id: UUID
) -> None:
    queue(app, organisation_id, chunk_count=2)
    with owner_connection(services) as connection, connection.transaction():
        connection.execute("SELECT FROM bulk_action_chunks WHERE index = 0 FOR UPDATE")
        assert [found.index for found in takes(app, 2)] == [1]
    assert [found.index for found in takes(app, 2)] == [0]


def queue(app: APIFlask, organisation_id: UUID, chunk_count: int, row_count: int = 1_000, **values: Any) -> UUID:
    """A running bulk action with chunks to stage."""
    with app.app_context(), tenant(organisation_id):
        file = {"file_name": "contacts.csv", "file_key": "key", "file_byte_count": 1, "file_sha256": ""}
        state = values.pop("state", BulkActionState.RUNNING)
        bulk_action = BulkAction(organisation_id=organisation_id, state=state, **file, **values)
        db.session.add(bulk_action)
        db.session.commit()
        bulk_action_id = bulk_action.id
    add_chunks(app, organisation_id, bulk_action_id, Phase.STAGE, chunk_count, row_count=row_count)
    return bulk_action_id


def add_chunks(
    app: APIFlask,
    organisation_id: UUID,
    bulk_action_id: UUID,
    phase: Phase,
    count: int,
    *,
    first: int = 0,
    row_count: int = 1_000,
) -> None:
    with app.app_context(), tenant(organisation_id):
        bulk_action = db.session.get(BulkAction, (organisation_id, bulk_action_id))
        assert bulk_action is not None
        for index in range(first, first + count):
            chunk = new_chunk(bulk_action, phase, index)
            chunk.row_count = row_count
            db.session.add(chunk)
        db.session.commit()


def takes(app: APIFlask, count: int) -> list[Take]:
    """Up to so many chunks, as workers would take them."""
    found = [take(app) for _ in range(count)]
    return [one for one in found if one]


def taken(app: APIFlask, count: int) -> list[UUID]:
    return [found.bulk_action_id for found in takes(app, count)]


def phases(app: APIFlask, count: int) -> list[str]:
    return [found.phase.value for found in takes(app, count)]


def waiting(app: APIFlask) -> int:
    with app.app_context():
        return count_waiting_chunks(utc_now(), 1_000)


def record_takes(monkeypatch: pytest.MonkeyPatch) -> list[Take]:
    """Whatever is taken from now on."""
    found: list[Take] = []
    original = chunks.take_chunk

    def recorded(*arguments: Any) -> Take | None:
        one = original(*arguments)
        found.extend([one] if one else [])
        return one

    monkeypatch.setattr(chunks, "take_chunk", recorded)
    return found
