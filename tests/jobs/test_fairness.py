"""Whose jobs are sent next: organisations take turns, the noisy wait, limits hold, and everyone is told."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from uuid import UUID

import pytest
from apiflask import APIFlask

from tests.conftest import Person, add_organisation, owner_connection
from tests.jobs.support import add_job, double, pretend_worker, register, reread, take
from webapp.config import Settings
from webapp.extensions import db, tenant
from webapp.jobs.broker import waiting_count
from webapp.jobs.claims import Message
from webapp.jobs.models import Job, PausedQueue
from webapp.jobs.queries import count_jobs_before
from webapp.jobs.tasks import dispatch
from webapp.lib.clock import utc_now

ADD_MANY = """
    INSERT INTO jobs (organisation_id, id, kind, queue, title, state, parameters, progress_count, attempt_count,
                      attempt_limit, redrive_count, in_chunks, created_at, run_at)
    SELECT %(organisation_id)s, gen_random_uuid(), %(kind)s, 'jobs', 'Many', 'pending', '{"number": 1}', 0, 0, 3, 0,
           false, now(), now() - interval '1 hour' + i * interval '1 millisecond'
    FROM generate_series(1, %(count)s) AS i
"""


def add_many(settings: Settings, organisation_id: UUID, count: int, kind: str = "double") -> None:
    with owner_connection(settings) as connection:
        connection.execute(ADD_MANY, {"organisation_id": organisation_id, "kind": kind, "count": count})


def organisations_of(messages: list[Message]) -> list[UUID]:
    return [message.organisation_id for message in messages for _ in message.job_ids]


def before(job: Job) -> int:
    with tenant(job.organisation_id):
        return count_jobs_before(reread(job), 100)


@pytest.fixture
def other(app_context: APIFlask) -> UUID:
    return add_organisation(app_context, "quiet", "Quiet")


def test_the_workers_get_no_more_than_they_may_hold(organisation: UUID, services: Settings) -> None:
    add_many(services, organisation, 10)
    assert len(take(4)) == 4
    assert len(take(4)) == 0
    assert len(take(6)) == 2


def test_an_organisation_that_comes_late_does_not_wait_for_all_of_anothers(
    organisation: UUID, other: UUID, services: Settings
) -> None:
    add_many(services, organisation, 1_000)
    take(4)
    job = add_job(other)
    (message,) = take(5)
    assert message.job_ids == [job.id]


def test_organisations_take_turns(organisation: UUID, other: UUID, services: Settings) -> None:
    add_many(services, organisation, 100)
    add_many(services, other, 100)
    assert Counter(organisations_of(take(10))) == {organisation: 5, other: 5}


def test_a_noisy_organisation_waits_behind_a_quiet_one_with_more_in_flight_than_its_share(
    organisation: UUID, other: UUID, services: Settings
) -> None:
    """30 in flight and over a tenth of all is noisy; below 30 nobody is."""
    add_many(services, organisation, 200)
    assert len(take(31)) == 31
    add_many(services, other, 200)
    chosen = organisations_of(take(60))
    assert Counter(chosen) == {other: 29}


def test_a_noisy_organisation_goes_on_while_nobody_else_waits(organisation: UUID, services: Settings) -> None:
    add_many(services, organisation, 200)
    take(100)
    assert len(take(150)) == 50


def test_an_organisations_own_jobs_keep_their_order(organisation: UUID) -> None:
    jobs = [add_job(organisation) for _ in range(5)]
    sent = [job_id for message in take() for job_id in message.job_ids]
    assert sent == [job.id for job in jobs]


def test_no_more_of_a_kind_run_at_once_than_it_allows(organisation: UUID, other: UUID, services: Settings) -> None:
    register(double, concurrency_limit=2)
    add_many(services, organisation, 10)
    add_many(services, other, 10)
    assert Counter(organisations_of(take())) == {organisation: 2, other: 2}
    assert take() == []


def test_a_kind_at_its_limit_keeps_no_other_kind_waiting(organisation: UUID, services: Settings) -> None:
    register(double, concurrency_limit=1)
    add_many(services, organisation, 100)
    job = add_job(organisation, "give_up")
    assert [job.id] in [message.job_ids for message in take()]


def test_quick_jobs_of_one_organisation_share_a_message(organisation: UUID, other: UUID, services: Settings) -> None:
    register(double, batch_size=10)
    add_many(services, organisation, 25)
    add_many(services, other, 5)
    messages = take(10)
    assert sorted(len(message.job_ids) for message in messages) == [5, 5, 10, 10]
    with owner_connection(services) as connection:
        for message in messages:
            rows = connection.execute("SELECT organisation_id FROM jobs WHERE id = ANY(%s)", [message.job_ids])
            assert {row[0] for row in rows} == {message.organisation_id}


def test_a_quick_job_that_was_tried_before_goes_alone(organisation: UUID, services: Settings) -> None:
    register(double, batch_size=10)
    add_many(services, organisation, 5)
    with owner_connection(services) as connection:
        connection.execute("UPDATE jobs SET attempt_count = 1, state = 'retrying'")
    assert [len(message.job_ids) for message in take()] == [1] * 5


def test_quick_jobs_that_were_tried_before_take_a_message_of_the_room_each(
    organisation: UUID, services: Settings
) -> None:
    register(double, batch_size=10)
    add_many(services, organisation, 50)
    with owner_connection(services) as connection:
        connection.execute("UPDATE jobs SET attempt_count = 1, state = 'retrying'")
    assert len(take(4)) == 4
    assert take(4) == []


def test_a_job_that_somebody_changes_just_now_keeps_no_other_waiting(organisation: UUID, services: Settings) -> None:
    locked, free = add_job(organisation), add_job(organisation)
    with owner_connection(services) as connection, connection.transaction():
        connection.execute("SELECT FROM jobs WHERE id = %s FOR UPDATE", [locked.id])
        assert [message.job_ids for message in take()] == [[free.id]]
    assert [message.job_ids for message in take()] == [[locked.id]]


def test_a_job_for_later_is_not_sent_before_its_time(organisation: UUID) -> None:
    job = add_job(organisation, run_at=utc_now() + timedelta(hours=1))
    assert take() == []
    with tenant(organisation):
        reread(job).run_at = utc_now() - timedelta(seconds=1)
        db.session.commit()
    assert [message.job_ids for message in take()] == [[job.id]]


def test_nothing_of_a_paused_queue_is_sent(organisation: UUID) -> None:
    add_job(organisation)
    db.session.add(PausedQueue(queue="jobs"))
    db.session.commit()
    assert take() == []
    db.session.delete(db.session.get_one(PausedQueue, "jobs"))
    db.session.commit()
    assert len(take()) == 1


def test_a_kind_that_this_version_does_not_know_waits_for_one_that_does(organisation: UUID, services: Settings) -> None:
    add_many(services, organisation, 1, kind="from_the_future")
    job = add_job(organisation)
    assert [message.job_ids for message in take()] == [[job.id]]


def test_without_a_living_worker_nothing_is_sent(organisation: UUID) -> None:
    job = add_job(organisation)
    dispatch()
    assert reread(job).sent_at is None
    pretend_worker()
    dispatch()
    assert reread(job).sent_at is not None
    assert waiting_count("jobs") == 1


def test_a_job_knows_how_many_of_its_own_organisation_are_before_it(organisation: UUID) -> None:
    jobs = [add_job(organisation) for _ in range(4)]
    assert [before(job) for job in jobs] == [0, 1, 2, 3]


def test_a_job_knows_that_organisations_take_turns(
    organisation: UUID, other: UUID, services: Settings, charlie: Person
) -> None:
    add_many(services, organisation, 50)
    first, second = add_job(other), add_job(other)
    assert 0 <= before(first) <= 1
    assert 2 <= before(second) <= 3
    add_many(services, charlie.organisation_id, 1)
    assert 3 <= before(second) <= 4


def test_the_noisy_are_told_that_the_quiet_come_first(organisation: UUID, other: UUID, services: Settings) -> None:
    add_many(services, organisation, 40)
    take(40)
    job = add_job(organisation)
    assert before(job) == 0
    add_many(services, other, 20)
    assert before(job) == 20
    quiet = add_job(other)
    assert before(quiet) == 20


def test_what_is_sent_has_nothing_before_it(organisation: UUID) -> None:
    job = add_job(organisation)
    take()
    assert before(job) == 0


def test_a_count_of_those_before_stops_at_its_limit(organisation: UUID, services: Settings) -> None:
    add_many(services, organisation, 300)
    assert before(add_job(organisation)) == 100
