"""Messages twice, lost or crossed, workers gone, people who cancel: the result is exact all the same."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
from apiflask import APIFlask
from redis.client import PubSub

from tests.bulk_actions.support import (
    age_everything,
    contacts,
    count_rows,
    counts_of,
    people,
    read,
    start,
    sweep,
    sweep_and_work_off,
    take,
    work_off,
)
from tests.conftest import Person, owner_connection
from webapp.bulk_actions import chunks, service, tasks, work
from webapp.bulk_actions.chunks import OverError
from webapp.bulk_actions.models import BulkActionState, Phase
from webapp.bulk_actions.queries import find_unswept, get_bulk_action, lock_bulk_action
from webapp.config import Settings
from webapp.extensions import db, tenant
from webapp.jobs.broker import waiting_count
from webapp.jobs.models import JobState
from webapp.jobs.queries import get_job
from webapp.lib.redis import broker_client
from webapp.live.channels import bulk_action_channel, job_channel, state_key
from webapp.records import merge
from webapp.records.merge import Merge, MergeCounts, merge_rows


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "MIN_CHUNK_BYTES", 2_000)
    monkeypatch.setattr(chunks, "MIN_ROWS_PER_PARTITION", 50)


def test_every_message_twice_counts_nothing_twice(
    app: APIFlask, services: Settings, organisation_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = tasks.send_work
    monkeypatch.setattr(tasks, "send_work", lambda count=1: send(2 * count))
    bulk_action_id = start(app, organisation_id, people(500))
    work_off(app)
    assert counts_of(read(app, organisation_id, bulk_action_id)) == {"row": 500, "created": 500}
    assert len(contacts(services, organisation_id)) == 500


def test_messages_that_come_after_the_end_do_nothing(app: APIFlask, services: Settings, organisation_id: UUID) -> None:
    bulk_action_id = start(app, organisation_id, people(100))
    work_off(app)
    tasks.send_work(3)
    work_off(app)
    assert counts_of(read(app, organisation_id, bulk_action_id)) == {"row": 100, "created": 100}
    assert count_rows(services, "staged_contacts") == 0


@pytest.mark.parametrize("done_count", range(1, 14))
def test_a_broker_that_loses_everything_is_healed_by_the_sweeper(
    app: APIFlask, services: Settings, organisation_id: UUID, done_count: int
) -> None:
    bulk_action_id = start(app, organisation_id, people(300))
    work_off(app, limit=done_count)
    broker_client(services).flushall()
    age_everything(services)
    sweep_and_work_off(app)
    assert counts_of(read(app, organisation_id, bulk_action_id)) == {"row": 300, "created": 300}
    assert count_rows(services, "staged_contacts") == 0


@pytest.mark.parametrize("function", ["finish_stage", "finish_merge", "lock_running"])
def test_a_failure_at_the_end_of_the_work_undoes_all_of_it(
    app: APIFlask, services: Settings, organisation_id: UUID, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    original: Callable[..., object] = getattr(work, function)
    failures = iter([True])

    def fail_once(*arguments: object) -> object:
        result = original(*arguments)
        if next(failures, False):
            raise RuntimeError("The lamp fell over.")
        return result

    monkeypatch.setattr(work, function, fail_once)
    bulk_action_id = start(app, organisation_id, people(300))
    with pytest.raises(RuntimeError, match="The lamp fell over"):
        work_off(app)
    work_off(app)
    age_everything(services)
    sweep_and_work_off(app)
    assert counts_of(read(app, organisation_id, bulk_action_id)) == {"row": 300, "created": 300}
    assert len(contacts(services, organisation_id)) == 300


def test_a_chunk_that_somebody_is_at_work_on_is_left_alone(
    app: APIFlask, services: Settings, organisation_id: UUID
) -> None:
    bulk_action_id = start(app, organisation_id, people(20))
    work_off(app, limit=1)
    assert take(app)
    age_everything(services)
    broker_client(services).flushall()
    with owner_connection(services) as connection, connection.transaction():
        connection.execute("SELECT 1 FROM bulk_action_chunks FOR UPDATE")
        sweep(app)
        assert waiting_count("imports") == 0
        tasks.send_work()
        work_off(app)
        assert read(app, organisation_id, bulk_action_id).staged_chunk_count == 0
    sweep_and_work_off(app)
    assert counts_of(read(app, organisation_id, bulk_action_id)) == {"row": 20, "created": 20}


def test_copies_of_a_message_that_come_at_once_are_one_attempt(
    app: APIFlask, services: Settings, organisation_id: UUID
) -> None:
    start(app, organisation_id, people(20))
    work_off(app, limit=1)
    takes = [take(app) for _ in range(2 * chunks.MAX_ATTEMPTS)]
    assert [found and found.attempt_count for found in takes] == [1, *[None] * (2 * chunks.MAX_ATTEMPTS - 1)]
    age_everything(services)
    sweep(app)
    again = take(app)
    assert again
    assert (again.phase, again.attempt_count) == (Phase.STAGE, 2)


def test_of_two_workers_that_took_a_chunk_one_after_the_other_only_the_second_has_it(
    app: APIFlask, services: Settings, organisation_id: UUID
) -> None:
    start(app, organisation_id, people(20))
    work_off(app, limit=1)
    first = take(app)
    age_everything(services)
    sweep(app)
    second = take(app)
    assert first
    assert second
    with app.app_context(), tenant(organisation_id):
        with pytest.raises(OverError):
            chunks.hold(first)
        assert chunks.hold(second).index == 0
        db.session.rollback()


def test_cancelling_while_rows_are_staged_changes_no_contact(
    app: APIFlask, services: Settings, organisation_id: UUID
) -> None:
    bulk_action_id = start(app, organisation_id, people(500))
    work_off(app, limit=4)
    cancel(app, organisation_id, bulk_action_id)
    work_off(app)
    age_everything(services)
    sweep_and_work_off(app)
    bulk_action = read(app, organisation_id, bulk_action_id)
    assert bulk_action.state is BulkActionState.CANCELLED
    assert contacts(services, organisation_id) == []
    assert count_rows(services, "staged_contacts") == 0
    with app.app_context(), tenant(organisation_id):
        job = get_job(organisation_id, bulk_action.job_id or UUID(int=0))
        assert job is not None
        assert job.state is JobState.CANCELLED


def test_cancelling_while_contacts_are_written_keeps_and_counts_the_written_ones(
    app: APIFlask, services: Settings, organisation_id: UUID
) -> None:
    bulk_action_id = start(app, organisation_id, people(500))
    while read(app, organisation_id, bulk_action_id).merged_partition_count < 2:
        work_off(app, limit=1)
    cancel(app, organisation_id, bulk_action_id)
    work_off(app)
    created_count = read(app, organisation_id, bulk_action_id).created_count
    assert 0 < created_count < 500
    assert len(contacts(services, organisation_id)) == created_count


def test_a_chunk_whose_import_is_cancelled_under_its_hands_rolls_back(
    app: APIFlask, services: Settings, organisation_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cancel_meanwhile(wanted: Merge, now: datetime) -> MergeCounts:
        counts = merge_rows(wanted, now)
        thread = threading.Thread(target=cancel, args=(app, organisation_id, bulk_action_id))
        thread.start()
        thread.join()
        return counts

    monkeypatch.setattr(work, "merge_rows", cancel_meanwhile)
    bulk_action_id = start(app, organisation_id, people(300))
    work_off(app)
    assert read(app, organisation_id, bulk_action_id).state is BulkActionState.CANCELLED
    assert contacts(services, organisation_id) == []


@pytest.mark.parametrize("done_count", [0, 3])
def test_whoever_watches_hears_at_once_that_it_was_cancelled(
    app: APIFlask, services: Settings, alice: Person, done_count: int
) -> None:
    bulk_action_id = start(app, alice.organisation_id, people(500))
    work_off(app, limit=done_count)
    job_id = read(app, alice.organisation_id, bulk_action_id).job_id
    assert job_id is not None
    channels = bulk_action_channel(alice.organisation_id, bulk_action_id), job_channel(alice.organisation_id, job_id)
    with broker_client(services).pubsub() as listener:  # type: ignore[no-untyped-call]
        listener.subscribe(*map(state_key, channels))
        alice.client.post(f"/bulk-actions/{bulk_action_id}/cancel")
        heard = heard_by(listener)
    for channel in channels:
        assert heard[state_key(channel)] == kept_state(services, channel)
        assert (heard[state_key(channel)]["final"], heard[state_key(channel)]["data"]["state"]) == (True, "cancelled")
    work_off(app)
    for channel in channels:
        assert kept_state(services, channel)["data"] == heard[state_key(channel)]["data"]


def test_an_end_that_nobody_lived_to_tell_is_told_by_the_sweeper(
    app: APIFlask, services: Settings, organisation_id: UUID
) -> None:
    bulk_action_id = start(app, organisation_id, people(20))
    work_off(app, limit=1)
    cancel(app, organisation_id, bulk_action_id)
    channel = bulk_action_channel(organisation_id, bulk_action_id)
    assert not kept_state(services, channel)["final"]
    age_everything(services)
    sweep_and_work_off(app)
    assert kept_state(services, channel)["final"]


def test_a_job_that_is_asked_to_stop_stops_its_import(app: APIFlask, services: Settings, organisation_id: UUID) -> None:
    bulk_action_id = start(app, organisation_id, people(500))
    work_off(app, limit=3)
    with owner_connection(services) as connection:
        connection.execute("UPDATE jobs SET cancel_requested_at = now()")
    work_off(app)
    assert read(app, organisation_id, bulk_action_id).state is BulkActionState.CANCELLED


def test_imports_of_the_same_people_at_the_same_time_are_counted_exactly(
    app: APIFlask, services: Settings, organisation_id: UUID
) -> None:
    ids = [start(app, organisation_id, people(2_000, name)) for name in ("Ada", "Bea", "Cleo")]
    threads = [threading.Thread(target=work_off, args=(app,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    age_everything(services)
    sweep_and_work_off(app)
    imports = [read(app, organisation_id, bulk_action_id) for bulk_action_id in ids]
    assert [one.state for one in imports] == [BulkActionState.COMPLETED] * 3
    assert sum(one.created_count for one in imports) == 2_000
    assert sum(one.updated_count for one in imports) == 4_000
    assert {row[1] for row in contacts(services, organisation_id)} <= {"Ada", "Bea", "Cleo"}


def test_a_contact_created_meanwhile_is_updated_instead(
    app: APIFlask, services: Settings, organisation_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    race = iter([True])
    create = merge._create

    def create_second(work: merge.Work, wanted: Merge) -> int:
        if next(race, False):
            with owner_connection(services) as connection:
                connection.execute(
                    "INSERT INTO contacts (organisation_id, id, email, email_key, created_at, updated_at)"
                    " VALUES (%s, gen_random_uuid(), 'P7@example.com', 'p7@example.com', now(), now())",
                    [organisation_id],
                )
        return create(work, wanted)

    monkeypatch.setattr(merge, "_create", create_second)
    bulk_action_id = start(app, organisation_id, people(10))
    work_off(app)
    assert counts_of(read(app, organisation_id, bulk_action_id)) == {"row": 10, "created": 9, "updated": 1}


def test_another_organisation_sees_nothing_of_an_import(
    app: APIFlask, services: Settings, organisation_id: UUID, charlie: Person
) -> None:
    bulk_action_id = start(app, organisation_id, people(10))
    work_off(app)
    with app.app_context(), tenant(charlie.organisation_id):
        assert get_bulk_action(organisation_id, bulk_action_id) is None
        assert get_bulk_action(charlie.organisation_id, bulk_action_id) is None
        assert lock_bulk_action(organisation_id, bulk_action_id) is None


def test_the_sweeper_sees_what_is_unfinished_in_every_organisation_and_nothing_else(
    app: APIFlask, services: Settings, organisation_id: UUID, charlie: Person
) -> None:
    first = start(app, organisation_id, people(10))
    work_off(app)
    second = start(app, charlie.organisation_id, people(10))
    with app.app_context():
        assert find_unswept(10) == [(charlie.organisation_id, second)]
    assert first != second


def heard_by(listener: PubSub) -> dict[str, Any]:
    """The last message of each channel."""
    heard = {}
    while message := listener.get_message(timeout=0.2):
        if message["type"] == "message":
            heard[message["channel"].decode()] = json.loads(message["data"])
    return heard


def kept_state(settings: Settings, channel: str) -> dict[str, Any]:
    """What a stream of the channel begins with."""
    state = broker_client(settings).get(state_key(channel))
    assert isinstance(state, bytes)
    content: dict[str, Any] = json.loads(state)
    return content


def cancel(app: APIFlask, organisation_id: UUID, bulk_action_id: UUID) -> None:
    with app.app_context(), tenant(organisation_id):
        bulk_action = lock_bulk_action(organisation_id, bulk_action_id)
        assert bulk_action is not None
        service.cancel(bulk_action)
        db.session.commit()
