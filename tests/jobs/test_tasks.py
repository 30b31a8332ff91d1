"""Running jobs against the real database: once, fenced, retried, cancelled, put off."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from sqlalchemy import select

from tests.jobs import support
from tests.jobs.support import add_job, list_attempts, register, reread, run_sent, run_waiting, take, write_outcomes
from webapp.extensions import db, tenant
from webapp.jobs import announcing
from webapp.jobs.claims import Message
from webapp.jobs.kinds import PostponedError, Result, Run
from webapp.jobs.models import MAX_ATTEMPTS, Job, JobLog, JobState
from webapp.jobs.streams import DEAD_LETTERS, RESULTS, count_entries
from webapp.jobs.workers import this_worker
from webapp.lib.clock import utc_now


def make_due(job: Job) -> None:
    """As if the pause before the next attempt were over."""
    with tenant(job.organisation_id):
        reread(job).run_at = utc_now()
        db.session.commit()


def first_fields() -> dict[Any, Any]:
    """What the oldest entry of the results holds."""
    entries: list[Any] = cast("list[Any]", support.broker().xrange("jobs:results"))
    fields: dict[Any, Any] = entries[0][1]
    return fields


def test_a_job_runs_and_keeps_its_result(organisation: UUID) -> None:
    job = add_job(organisation, given={"number": 21})
    run_waiting()
    job = reread(job)
    assert (job.state, job.result, job.progress_count) == (JobState.COMPLETED, {"doubled": 42}, 1)
    (attempt,) = list_attempts(organisation, job.id)
    assert (attempt.outcome, attempt.ended_at is not None) == ("completed", True)


def test_a_message_that_comes_twice_runs_once(organisation: UUID) -> None:
    job = add_job(organisation)
    messages = take()
    run_sent(messages + messages)
    write_outcomes()
    run_sent(messages)
    assert support.runs == [job.id]
    assert reread(job).attempt_count == 1


def test_a_job_that_was_not_sent_is_not_run(organisation: UUID) -> None:
    job = add_job(organisation)
    run_sent([Message(organisation, [job.id])])
    assert support.runs == []


def test_an_outcome_that_is_written_twice_counts_once(organisation: UUID) -> None:
    job = add_job(organisation, "stumble")
    run_sent(take())
    fields = first_fields()
    write_outcomes()
    support.broker().xadd("jobs:results", fields)
    make_due(job)
    write_outcomes()
    assert reread(job).state is JobState.RETRYING
    assert len(list_attempts(organisation, job.id)) == 1


def test_a_failed_attempt_keeps_its_error_and_traceback(organisation: UUID) -> None:
    job = add_job(organisation, "stumble")
    run_waiting()
    job = reread(job)
    (attempt,) = list_attempts(organisation, job.id)
    assert (job.state, job.error, attempt.error) == (JobState.RETRYING, "The shelf is empty.", "The shelf is empty.")
    assert "in stumble" in (attempt.traceback or "")
    assert job.run_at > utc_now()


def test_a_permanent_error_is_not_tried_again(organisation: UUID) -> None:
    job = add_job(organisation, "give_up")
    run_waiting()
    assert (reread(job).state, reread(job).error) == (JobState.FAILED, "The file is gone. Upload it again.")


def test_a_job_whose_attempts_are_spent_becomes_a_dead_letter(organisation: UUID) -> None:
    job = add_job(organisation, "stumble")
    for _ in range(MAX_ATTEMPTS - 1):
        run_waiting()
        make_due(job)
    run_sent(take())
    assert (count_entries(support.broker(), RESULTS), count_entries(support.broker(), DEAD_LETTERS)) == (0, 1)
    assert reread(job).state is JobState.RUNNING
    write_outcomes()
    job = reread(job)
    assert (job.state, job.error, job.ended_at is not None) == (JobState.DEAD, "The shelf is empty.", True)
    assert [attempt.error for attempt in list_attempts(organisation, job.id)] == ["The shelf is empty."] * MAX_ATTEMPTS


def test_a_dead_job_that_begins_again_has_all_its_attempts_again(organisation: UUID) -> None:
    job = add_job(organisation, "stumble")
    for _ in range(MAX_ATTEMPTS):
        run_waiting()
        make_due(job)
    job = reread(job)
    job.begin_again()
    db.session.commit()
    run_waiting()
    job = reread(job)
    assert (job.state, job.attempt_count, job.redrive_count) == (JobState.RETRYING, MAX_ATTEMPTS + 1, 1)


def test_a_job_that_puts_itself_off_spends_no_attempt(organisation: UUID) -> None:
    until = utc_now() + timedelta(minutes=30)

    def wait_its_turn(run: Run) -> Result:
        raise PostponedError(until, "The hourly limit is reached.")

    register(wait_its_turn)
    job = add_job(organisation, "wait_its_turn")
    for _ in range(MAX_ATTEMPTS + 1):
        make_due(job)
        run_waiting()
    job = reread(job)
    assert (job.state, job.run_at, job.wait_reason) == (JobState.PENDING, until, "The hourly limit is reached.")
    assert job.attempt_limit - job.attempt_count == MAX_ATTEMPTS


def test_an_attempt_that_was_overtaken_writes_nothing(organisation: UUID) -> None:
    def be_overtaken(run: Run) -> Result:
        db.session.get_one(Job, (run.organisation_id, run.job_id)).begin("another worker")
        db.session.commit()
        return {"late": True}

    register(be_overtaken)
    job = add_job(organisation, "be_overtaken")
    run_waiting()
    assert (reread(job).state, reread(job).result, reread(job).attempt_count) == (JobState.RUNNING, None, 2)


def test_a_running_job_stops_at_its_next_report_when_it_is_cancelled(organisation: UUID) -> None:
    def be_cancelled(run: Run) -> Result:
        db.session.get_one(Job, (run.organisation_id, run.job_id)).cancel()
        db.session.commit()
        run.report(1, 2)
        raise AssertionError("It went on.")

    register(be_cancelled)
    job = add_job(organisation, "be_cancelled")
    run_waiting()
    assert reread(job).state is JobState.CANCELLED


def test_a_job_that_was_cancelled_in_an_attempt_that_broke_is_not_tried_again(organisation: UUID) -> None:
    def break_when_cancelled(run: Run) -> Result:
        db.session.get_one(Job, (run.organisation_id, run.job_id)).cancel()
        db.session.commit()
        raise RuntimeError("Broken")

    register(break_when_cancelled)
    job = add_job(organisation, "break_when_cancelled")
    run_waiting()
    assert reread(job).state is JobState.CANCELLED


def test_a_job_that_is_cancelled_while_it_waits_never_runs(organisation: UUID) -> None:
    job = add_job(organisation)
    messages = take()
    reread(job).cancel()
    db.session.commit()
    run_sent(messages)
    assert (reread(job).state, support.runs) == (JobState.CANCELLED, [])


def test_a_job_hands_over_from_its_checkpoint_when_its_worker_is_to_stop(organisation: UUID) -> None:
    steps: list[int] = []

    def go_on(run: Run) -> Result:
        for step in range((run.checkpoint or {}).get("step", 0), 3):
            steps.append(step)
            if len(steps) == 1:
                this_worker().stopping.set()
            run.report(step + 1, 3, {"step": step + 1})
        return {}

    register(go_on)
    job = add_job(organisation, "go_on")
    try:
        run_waiting()
    finally:
        this_worker().stopping.clear()
    assert (reread(job).state, reread(job).checkpoint) == (JobState.PENDING, {"step": 1})
    run_waiting()
    assert (reread(job).state, steps) == (JobState.COMPLETED, [0, 1, 2])
    assert [attempt.outcome for attempt in list_attempts(organisation, job.id)] == ["handed over", "completed"]


def test_a_jobs_log_keeps_its_own_lines_and_those_of_libraries(organisation: UUID) -> None:
    def write_lines(run: Run) -> Result:
        run.log("By the job.")
        logging.getLogger("some.library").warning("By a library.")
        run.report(1)
        run.log("After a report, with a \x00.")
        return {}

    register(write_lines)
    job = add_job(organisation, "write_lines")
    run_waiting()
    logging.getLogger("some.library").warning("Outside.")
    lines = db.session.scalars(select(JobLog).where(JobLog.job_id == job.id).order_by(JobLog.position)).all()
    assert [line.message for line in lines] == ["By the job.", "By a library.", "After a report, with a \ufffd."]


@pytest.mark.parametrize("result", [{"text": "\x00 and \ud800"}, {"nested": {"list": ["\x00"]}}], ids=["text", "list"])
def test_a_result_with_characters_that_no_text_may_hold_is_kept_without_them(
    organisation: UUID, result: dict[str, Any]
) -> None:
    def answer_strangely(run: Run) -> Result:
        return result

    register(answer_strangely)
    job = add_job(organisation, "answer_strangely")
    run_waiting()
    assert reread(job).state is JobState.COMPLETED
    assert "\ufffd" in str(reread(job).result)


def test_a_result_that_cannot_be_kept_fails_the_job(organisation: UUID) -> None:
    def answer_with_an_object(run: Run) -> Result:
        return {"object": object()}

    register(answer_with_an_object)
    job = add_job(organisation, "answer_with_an_object")
    run_waiting()
    assert reread(job).state is JobState.FAILED
    assert "cannot be kept" in (reread(job).error or "")


def test_an_outcome_that_postgresql_refuses_keeps_no_other_out(organisation: UUID) -> None:
    def overflow(run: Run) -> Result:
        run.report(2**62)
        return {"number": run.job_id.hex}

    register(overflow, batch_size=10)
    jobs = [add_job(organisation, "overflow") for _ in range(3)]
    run_sent(take())
    broker = support.broker()
    broken = first_fields()[b"outcomes"].replace(str(2**62).encode(), b"99999999999999999999", 1)
    broker.delete("jobs:results")
    broker.xadd("jobs:results", {"outcomes": broken})
    write_outcomes()
    states = [reread(job).state for job in jobs]
    assert sorted(state.value for state in states) == ["completed", "completed", "failed"]
    assert count_entries(broker, RESULTS) == 0


def test_a_job_that_was_put_off_often_is_tried_again_as_soon_as_any_other(organisation: UUID) -> None:
    job = add_job(organisation, "stumble")
    with tenant(organisation):
        found = reread(job)
        found.attempt_count, found.attempt_limit = 12, 12 + MAX_ATTEMPTS
        db.session.commit()
    run_waiting()
    assert reread(job).run_at < utc_now() + timedelta(seconds=8)


@pytest.mark.parametrize("order", ["old first", "new first"])
def test_the_end_of_an_old_attempt_never_takes_the_place_of_the_true_one(organisation: UUID, order: str) -> None:
    job = add_job(organisation, given={"number": 21})
    messages = take()
    run_sent(messages)
    fields = first_fields()
    old: dict[Any, Any] = {b"outcomes": fields[b"outcomes"].replace(b'"completed"', b'"retrying"')}
    new: dict[Any, Any] = {b"outcomes": fields[b"outcomes"].replace(b'"number":1', b'"number":2')}
    with tenant(organisation):
        reread(job).attempt_count = 2
        db.session.commit()
    support.broker().delete("jobs:results")
    for each in (old, new) if order == "old first" else (new, old):
        support.broker().xadd("jobs:results", each)
    write_outcomes()
    assert (reread(job).state, reread(job).result) == (JobState.COMPLETED, {"doubled": 42})


@pytest.mark.parametrize(
    "report", [(0.5, 1, None), (1, 2, {"x": object()}), (1, 2, ["a list"])], ids=["half", "object", "list"]
)
def test_a_report_that_cannot_be_kept_is_an_error_in_plain_words(organisation: UUID, report: Any) -> None:
    def report_strangely(run: Run) -> Result:
        run.report(*report)
        return {}

    register(report_strangely)
    job = add_job(organisation, "report_strangely")
    run_waiting()
    assert reread(job).state in {JobState.FAILED, JobState.RETRYING}
    assert reread(job).error


def test_a_kind_that_ends_its_thread_takes_no_other_outcome_with_it(organisation: UUID) -> None:
    def leave(run: Run) -> Result:
        if run.parameters["number"] == 2:
            raise SystemExit(3)
        return {}

    register(leave, batch_size=10, parameters=(support.NUMBER,))
    jobs = [add_job(organisation, "leave", given={"number": number}) for number in (1, 2, 3)]
    run_waiting()
    assert [reread(job).state.value for job in jobs] == ["completed", "retrying", "completed"]


def test_a_bad_call_of_a_logger_is_no_reason_for_the_work_to_fail(
    organisation: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)

    def log_badly(run: Run) -> Result:
        logging.getLogger("some.library").warning("%d rows", "many")
        return {}

    register(log_badly)
    job = add_job(organisation, "log_badly")
    run_waiting()
    assert reread(job).state is JobState.COMPLETED


def test_a_jobs_log_has_an_end(organisation: UUID) -> None:
    def talk(run: Run) -> Result:
        for _ in range(1_200):
            run.log("語" * 1_900)
        return {}

    register(talk)
    job = add_job(organisation, "talk")
    run_waiting()
    lines = db.session.scalars(select(JobLog).where(JobLog.job_id == job.id).order_by(JobLog.position)).all()
    assert lines[-1].message == "What came after this was left out."
    assert sum(len(line.message) for line in lines) < 250_000
    assert reread(job).state is JobState.COMPLETED


def test_pages_that_cannot_be_told_stop_no_job(organisation: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    def be_away(*_: object) -> None:
        raise RedisConnectionError("Redis is away.")

    monkeypatch.setattr(announcing, "publish_jobs", be_away)
    job = add_job(organisation)
    run_waiting()
    assert (reread(job).state, reread(job).attempt_count) == (JobState.COMPLETED, 1)
