"""What pages are told of jobs: the last word is always the right one, however late, and whoever died meanwhile."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from apiflask import APIFlask
from redis.exceptions import ConnectionError as BrokerAwayError
from sqlalchemy import event

from tests.conftest import Person, owner_connection
from tests.jobs.support import add_job, broker, reread, run_waiting
from webapp.config import Settings
from webapp.extensions import db, tenant
from webapp.jobs import announcing, live
from webapp.jobs.models import Job, JobState
from webapp.lib.clock import utc_now
from webapp.live.channels import job_channel, jobs_channel, state_key
from webapp.live.publish import WATCHED_KEY, publish, watch

PATIENCE_SECONDS = 60.0


def watched_job(organisation_id: UUID, **more: Any) -> Job:
    job = add_job(organisation_id, **more)
    watch(broker(), job_channel(organisation_id, job.id))
    return job


def is_watched(job: Job) -> bool:
    return broker().zscore(WATCHED_KEY, job_channel(job.organisation_id, job.id)) is not None


def told(job: Job) -> str | None:
    """The state that a browser is told when it comes now."""
    kept = broker().get(state_key(job_channel(job.organisation_id, job.id)))
    return json.loads(kept)["data"]["state"] if isinstance(kept, bytes) else None


def cancel_unsaid(job: Job) -> None:
    """Cancelled by somebody who died before saying so."""
    reread(job).cancel()
    db.session.commit()


@contextmanager
def held_before_saying(app: APIFlask, job: Job, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Somebody else read the job before what happens inside, and says afterwards how it stood."""
    has_read, may_say = threading.Event(), threading.Event()

    def publish_slowly(*given: Any, **more: Any) -> None:
        if threading.current_thread() is other:
            has_read.set()
            assert may_say.wait(PATIENCE_SECONDS)
        publish(*given, **more)

    def say() -> None:
        with app.app_context(), tenant(job.organisation_id):
            live.publish_jobs(job.organisation_id, [job.id])

    other = threading.Thread(target=say)
    monkeypatch.setattr(live, "publish", publish_slowly)
    other.start()
    assert has_read.wait(PATIENCE_SECONDS)
    try:
        yield
    finally:
        may_say.set()
        other.join()


def test_an_old_state_that_was_said_after_the_end_is_corrected(
    organisation: UUID, app_context: APIFlask, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = watched_job(organisation)
    with held_before_saying(app_context, job, monkeypatch):
        run_waiting()
        live.publish_late(broker())
        assert told(job) == "completed"
    assert told(job) == "pending", "What was read before the end was said after it."
    live.publish_late(broker())
    assert told(job) == "completed"


def test_an_old_end_that_was_said_after_a_retry_is_corrected(
    organisation: UUID, app_context: APIFlask, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = watched_job(organisation)
    cancel_unsaid(job)
    with held_before_saying(app_context, job, monkeypatch):
        reread(job).begin_again()
        db.session.commit()
        live.publish_jobs(organisation, [job.id])
    assert told(job) == "cancelled"
    live.publish_late(broker())
    assert told(job) == "pending"
    run_waiting()
    live.publish_late(broker())
    assert told(job) == "completed"


def test_an_end_that_nobody_said_is_said_however_many_jobs_were_looked_at_later(
    organisation: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "WALK_STEP", 20)
    job = watched_job(organisation)
    later = utc_now() + timedelta(hours=1)
    for other in [add_job(organisation, run_at=later) for _ in range(220)]:
        watch(broker(), job_channel(organisation, other.id))
    cancel_unsaid(job)
    broker().zadd(WATCHED_KEY, {job_channel(organisation, job.id): -60}, incr=True)
    for _ in range(40):
        live.publish_late(broker())
    assert told(job) == "cancelled"


def test_looking_after_many_jobs_of_an_organisation_takes_one_query(organisation: UUID) -> None:
    for _ in range(30):
        watched_job(organisation, run_at=utc_now() + timedelta(hours=1))
    queries: list[str] = []

    def note(*given: Any) -> None:
        if "FROM jobs" in given[2]:
            queries.append(given[2])

    event.listen(db.engine, "before_cursor_execute", note)
    try:
        live.publish_late(broker())
    finally:
        event.remove(db.engine, "before_cursor_execute", note)
    assert len(queries) == 1


def test_an_end_is_looked_after_for_some_seconds_and_then_forgotten(
    organisation: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, other = watched_job(organisation), watched_job(organisation, run_at=utc_now() + timedelta(hours=1))
    run_waiting()
    live.publish_late(broker())
    live.publish_late(broker())
    assert is_watched(job)
    monkeypatch.setattr(live, "SETTLED_MILLISECONDS", 0)
    live.publish_late(broker())
    assert not is_watched(job)
    assert is_watched(other)


def test_a_job_that_was_taken_up_again_stays_looked_after(organisation: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "SETTLED_MILLISECONDS", 0)
    job = watched_job(organisation)
    cancel_unsaid(job)
    live.publish_late(broker())
    reread(job).begin_again()
    db.session.commit()
    live.publish_late(broker())
    assert is_watched(job)
    assert told(job) == "pending"


def test_each_organisation_s_jobs_are_read_as_its_own(
    organisation: UUID, charlie: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [watched_job(organisation), watched_job(charlie.organisation_id)]
    for job in jobs:
        with tenant(job.organisation_id):
            cancel_unsaid(job)
    live.publish_late(broker())
    assert [told(job) for job in jobs] == ["cancelled", "cancelled"]


def test_a_job_that_is_gone_is_not_looked_after(organisation: UUID) -> None:
    watch(broker(), job_channel(organisation, uuid4()))
    live.publish_late(broker())
    assert not live.is_anything_late(broker())


def test_a_late_hint_survives_whoever_was_to_say_it(organisation: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):  # the second one comes too soon after the first to be said at once
        live.publish_jobs(organisation, [add_job(organisation).id])
    key = state_key(jobs_channel(organisation))
    broker().delete(key)

    def fail(*given: Any, **more: Any) -> None:
        raise BrokerAwayError("The broker is away.")

    with monkeypatch.context() as patch:
        patch.setattr(live, "publish", fail)
        with pytest.raises(BrokerAwayError):
            live.publish_late(broker())
    assert live.is_anything_late(broker())
    live.publish_late(broker())
    assert broker().exists(key)
    assert not live.is_anything_late(broker())


def test_a_page_of_no_job_is_not_watched(
    alice: Person, services: Settings, app: APIFlask, organisation_id: UUID
) -> None:
    app.extensions["settings"] = replace(services, operators=(alice.email,))
    with owner_connection(services) as connection:
        connection.execute("UPDATE users SET email_is_verified = true WHERE id = %s", [alice.user_id])
    for address in (f"/jobs/{uuid4()}", f"/operations/organisations/{organisation_id}/jobs/{uuid4()}"):
        assert alice.client.get(address).status_code == 404
    with app.app_context():
        assert not broker().exists(WATCHED_KEY)


def test_what_changes_before_a_page_is_watched_is_on_the_page(
    alice: Person, organisation: UUID, services: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = add_job(organisation)

    def change_and_watch(*given: Any) -> None:
        with owner_connection(services) as connection:
            connection.execute("UPDATE jobs SET title = 'Counting sheep' WHERE id = %s", [job.id])
        watch(*given)

    monkeypatch.setattr(announcing, "watch", change_and_watch)
    assert "Counting sheep" in alice.client.get(f"/jobs/{job.id}").get_data(as_text=True)
    assert is_watched(job)


def test_a_page_of_a_job_that_is_over_is_not_watched(alice: Person, organisation: UUID) -> None:
    job = add_job(organisation)
    cancel_unsaid(job)
    assert reread(job).state is JobState.CANCELLED
    assert alice.client.get(f"/jobs/{job.id}").status_code == 200
    assert not is_watched(job)
