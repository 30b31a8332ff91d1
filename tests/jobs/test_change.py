"""Jobs that go through many jobs: exact, whatever interrupts them, and never further than they were asked to."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, timedelta
from typing import Any
from uuid import UUID

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.conftest import Person
from tests.jobs.support import add_job, pretend_worker, reread, run_sent, run_waiting, take, write_outcomes
from tests.jobs.test_verbs import add_one_in_each_state
from webapp.extensions import db, tenant
from webapp.jobs import announcing, change_tasks, matching
from webapp.jobs.announcing import announce_several
from webapp.jobs.broker import waiting_count
from webapp.jobs.filters import JobFilter
from webapp.jobs.models import UNFINISHED_STATES, WITHOUT_SUCCESS, Job, JobState
from webapp.jobs.queries import list_jobs
from webapp.jobs.verbs import Verb, start_change
from webapp.jobs.workers import this_worker
from webapp.lib.clock import utc_now
from webapp.lib.ids import uuid7

BATCH = 10
DEAD = JobFilter(states=frozenset({JobState.DEAD}))
OWN_KINDS = {"change_jobs", "redrive_dead_letters"}


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(change_tasks, "BATCH_SIZE", BATCH)


def fill(organisation_id: UUID, count: int, **values: Any) -> None:
    """Dead jobs, or what the values say."""
    for _ in range(count):
        given = {"state": JobState.DEAD, "ended_at": utc_now(), "kind": "double", "title": "Double"} | values
        db.session.add(Job(organisation_id=organisation_id, id=uuid7(), **given))
    db.session.commit()


def counts(changed: int, skipped: int = 0) -> dict[str, int]:
    """What a change that is over says."""
    return {"changed_count": changed, "skipped_count": skipped}


def begin(organisation_id: UUID, verb: Verb, wanted: JobFilter) -> Job:
    job = start_change(organisation_id, verb, wanted, UTC)
    db.session.commit()
    return job


def run_until_done(job: Job) -> Job:
    """Attempt after attempt, of this job alone."""
    while not reread(job).state.is_final:
        reread(job).run_at = utc_now()
        db.session.commit()
        mine = reread(job).id
        run_sent([message for message in take() if message.job_ids == [mine]])
        write_outcomes()
    return reread(job)


def states(organisation_id: UUID, kind: str = "double") -> Counter[JobState]:
    db.session.rollback()
    db.session.expire_all()
    return Counter(job.state for job in list_jobs(organisation_id, JobFilter(kind=kind), limit=1_000).jobs)


def test_all_that_match_are_changed_in_portions(organisation: UUID) -> None:
    fill(organisation, 3 * BATCH + 4)
    fill(organisation, 5, state=JobState.FAILED)
    job = run_until_done(begin(organisation, Verb.DISCARD, DEAD))
    assert (job.state, job.result) == (JobState.COMPLETED, counts(34))
    assert (job.progress_count, job.total_count) == (34, 34)
    assert states(organisation) == {JobState.DISCARDED: 34, JobState.FAILED: 5}


def test_a_number_that_fills_its_portions_exactly_ends_too(organisation: UUID) -> None:
    fill(organisation, 2 * BATCH)
    job = run_until_done(begin(organisation, Verb.DISCARD, DEAD))
    assert job.result == counts(2 * BATCH)


def test_nothing_that_matches_is_an_end_as_well(organisation: UUID) -> None:
    job = run_until_done(begin(organisation, Verb.RETRY, DEAD))
    assert (job.state, job.result) == (JobState.COMPLETED, counts(0))


def test_jobs_that_come_later_are_not_meant(organisation: UUID) -> None:
    fill(organisation, 3)
    job = begin(organisation, Verb.DISCARD, DEAD)
    fill(organisation, 4)
    assert run_until_done(job).result == counts(3)
    assert states(organisation) == {JobState.DISCARDED: 3, JobState.DEAD: 4}


def test_cancelling_everything_does_not_cancel_itself(organisation: UUID) -> None:
    add_one_in_each_state(organisation)
    job = run_until_done(begin(organisation, Verb.CANCEL, JobFilter()))
    assert (job.state, job.result) == (
        JobState.COMPLETED,
        counts(len(UNFINISHED_STATES)),
    )
    assert states(organisation)[JobState.CANCELLED] == len(UNFINISHED_STATES)


def test_without_a_state_only_those_are_gone_through_that_the_verb_is_for(organisation: UUID) -> None:
    add_one_in_each_state(organisation)
    fill(organisation, 2, state=JobState.FAILED, in_chunks=True, queue="imports", kind="import")
    job = run_until_done(begin(organisation, Verb.RETRY, JobFilter()))
    assert job.result == counts(len(WITHOUT_SUCCESS), 2)


def test_states_that_the_verb_is_not_for_change_nothing(organisation: UUID) -> None:
    fill(organisation, 3, state=JobState.COMPLETED)
    job = run_until_done(begin(organisation, Verb.RETRY, JobFilter(states=frozenset({JobState.COMPLETED}))))
    assert job.result == counts(0)
    assert states(organisation) == {JobState.COMPLETED: 3}


def test_another_organisations_jobs_stay_as_they_are(organisation: UUID, charlie: Person) -> None:
    with tenant(charlie.organisation_id):
        fill(charlie.organisation_id, 3)
    fill(organisation, 3)
    assert run_until_done(begin(organisation, Verb.DISCARD, JobFilter())).result == counts(3)
    with tenant(charlie.organisation_id):
        assert states(charlie.organisation_id) == {JobState.DEAD: 3}


def test_a_text_is_looked_for_in_all_jobs_however_far_back(organisation: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "LOOK_LIMIT", 7)
    fill(organisation, 3, title="Sweep the floor")
    fill(organisation, 50)
    fill(organisation, 2, title="Polish the floor")
    job = run_until_done(begin(organisation, Verb.DISCARD, JobFilter(text="FLOOR")))
    assert job.result == counts(5)


@pytest.mark.parametrize("place", ["before the commit", "after the commit"])
@pytest.mark.parametrize("portion", [1, 2, 4], ids=["first", "second", "last"])
def test_a_change_that_breaks_half_way_goes_on_and_counts_each_job_once(
    organisation: UUID, monkeypatch: pytest.MonkeyPatch, place: str, portion: int
) -> None:
    fill(organisation, 3 * BATCH + 4)
    name = "note_progress" if place == "before the commit" else "announce_several"
    real, calls = getattr(change_tasks, name), []

    def stumble(*args: Any) -> None:
        calls.append(args)
        if len(calls) == portion:
            raise RuntimeError
        real(*args)

    monkeypatch.setattr(change_tasks, name, stumble)
    job = run_until_done(begin(organisation, Verb.DISCARD, DEAD))
    assert (job.state, job.attempt_count) == (JobState.COMPLETED, 2)
    assert job.result == counts(3 * BATCH + 4)
    assert states(organisation) == {JobState.DISCARDED: 3 * BATCH + 4}


def test_a_restart_of_redis_costs_a_change_no_attempt(organisation: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    def be_away(*_: object) -> None:
        raise RedisConnectionError("Redis is away.")

    fill(organisation, BATCH + 1)
    monkeypatch.setattr(announcing, "publish_jobs", be_away)
    job = run_until_done(begin(organisation, Verb.DISCARD, DEAD))
    assert (job.state, job.attempt_count) == (JobState.COMPLETED, 1)


def test_each_dead_job_is_tried_again_once_though_the_change_broke(
    organisation: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(organisation, 3 * BATCH)
    real, calls = announce_several, []

    def stumble(*args: Any) -> None:
        calls.append(args)
        if len(calls) == 2:
            raise RuntimeError
        real(*args)

    monkeypatch.setattr(change_tasks, "announce_several", stumble)
    assert run_until_done(begin(organisation, Verb.RETRY, DEAD)).result == counts(3 * BATCH)
    found = list_jobs(organisation, JobFilter(kind="double"), limit=100).jobs
    assert {(job.state, job.redrive_count) for job in found} == {(JobState.PENDING, 1)}


def test_an_attempt_that_was_overtaken_changes_nothing(organisation: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(organisation, BATCH)
    job = begin(organisation, Verb.DISCARD, DEAD)
    real = matching.find_matching

    def be_overtaken(*args: Any, **more: Any) -> Any:
        with db.engine.begin() as connection:
            from sqlalchemy import text

            connection.execute(
                text("SELECT set_config('footfall.organisation_id', :id, true)"), {"id": str(organisation)}
            )
            connection.execute(text("UPDATE jobs SET attempt_count = attempt_count + 1 WHERE kind = 'change_jobs'"))
        return real(*args, **more)

    monkeypatch.setattr(change_tasks, "find_matching", be_overtaken)
    run_waiting()
    assert reread(job).state is JobState.RUNNING
    assert states(organisation) == {JobState.DEAD: BATCH}


def test_a_change_is_handed_over_between_two_portions(organisation: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(organisation, 3 * BATCH)
    job = begin(organisation, Verb.DISCARD, DEAD)
    real = matching.find_matching

    def stop_soon(*args: Any, **more: Any) -> Any:
        this_worker().stopping.set()
        return real(*args, **more)

    monkeypatch.setattr(change_tasks, "find_matching", stop_soon)
    try:
        run_waiting()
    finally:
        this_worker().stopping.clear()
    assert (reread(job).state, reread(job).progress_count) == (JobState.PENDING, BATCH)
    assert states(organisation) == {JobState.DISCARDED: BATCH, JobState.DEAD: 2 * BATCH}
    monkeypatch.setattr(change_tasks, "find_matching", real)
    assert run_until_done(job).result == counts(3 * BATCH)


def test_a_change_stops_between_two_portions_when_it_is_cancelled(
    organisation: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(organisation, 3 * BATCH)
    job = begin(organisation, Verb.DISCARD, DEAD)
    real = matching.find_matching

    def be_cancelled(*args: Any, **more: Any) -> Any:
        db.session.get_one(Job, (organisation, job_id)).cancel()
        db.session.commit()
        return real(*args, **more)

    job_id = job.id
    monkeypatch.setattr(change_tasks, "find_matching", be_cancelled)
    assert run_until_done(job).state is JobState.CANCELLED
    assert states(organisation) == {JobState.DISCARDED: BATCH, JobState.DEAD: 2 * BATCH}


def test_what_begins_again_is_sent_while_the_change_goes_on(organisation: UUID) -> None:
    pretend_worker()
    fill(organisation, 3)
    job = begin(organisation, Verb.RETRY, DEAD)
    mine = reread(job).id
    run_sent([message for message in take() if message.job_ids == [mine]])
    assert waiting_count("jobs") == 3


# Dead letters, by a schedule -----------------------------------------------------------------------


def redrive(organisation_id: UUID, **given: Any) -> Job:
    given.setdefault("older_than_minutes", 0)
    return run_until_done(add_job(organisation_id, "redrive_dead_letters", given=given))


def test_dead_letters_are_tried_again(organisation: UUID) -> None:
    fill(organisation, 2 * BATCH + 1)
    fill(organisation, 3, state=JobState.FAILED)
    assert redrive(organisation).result == counts(2 * BATCH + 1)
    assert states(organisation) == {JobState.PENDING: 2 * BATCH + 1, JobState.FAILED: 3}


def test_only_those_of_the_kind_are_tried_again(organisation: UUID) -> None:
    fill(organisation, 2)
    fill(organisation, 3, kind="stumble")
    assert redrive(organisation, kind="stumble").result == counts(3)
    assert states(organisation) == {JobState.DEAD: 2}


def test_what_died_just_now_is_left_for_a_while(organisation: UUID) -> None:
    fill(organisation, 2, ended_at=utc_now() - timedelta(minutes=31))
    fill(organisation, 3, ended_at=utc_now() - timedelta(minutes=29))
    assert redrive(organisation, older_than_minutes=30).result == counts(2, 3)


def test_what_was_tried_again_often_is_left_to_people(organisation: UUID) -> None:
    fill(organisation, 2, redrive_count=1)
    fill(organisation, 3, redrive_count=2)
    assert redrive(organisation, most_redrives=2).result == counts(2, 3)


def test_a_run_tries_no_more_than_it_may(organisation: UUID) -> None:
    fill(organisation, 5, redrive_count=9)
    fill(organisation, 3 * BATCH)
    fill(organisation, 5, redrive_count=9)
    job = redrive(organisation, most=BATCH + 3)
    assert job.result == counts(BATCH + 3, 5)
    assert states(organisation) == {JobState.PENDING: BATCH + 3, JobState.DEAD: 2 * BATCH - 3 + 10}


def test_more_that_is_left_than_a_portion_holds_hides_nothing_behind_it(organisation: UUID) -> None:
    fill(organisation, 2)
    fill(organisation, 3 * BATCH, redrive_count=9)
    assert redrive(organisation, most=5).result == counts(2, 3 * BATCH)
