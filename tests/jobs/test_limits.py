"""Limits that hold across all workers: so many requests in any window, and a place in the queue for the rest."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from apiflask import APIFlask
from sqlalchemy import func, select

from tests.conftest import Person
from tests.jobs.support import add_job, reread
from webapp.extensions import db, tenant
from webapp.jobs.limits import reserve
from webapp.jobs.models import Job, RateReservation

HOUR = timedelta(hours=1)
TEN = datetime(2026, 3, 1, 10, 0, tzinfo=UTC)
ELEVEN = TEN + HOUR


def minutes(count: float) -> datetime:
    """So many minutes after ten."""
    return TEN + timedelta(minutes=count)


def ask(job: Job, now: datetime, *, most: int = 3, name: str = "test") -> datetime:
    turn = reserve(job.organisation_id, name, job.id, most=most, window=HOUR, now=now)
    db.session.commit()
    return turn


def jobs_of(organisation_id: UUID, count: int) -> list[Job]:
    return [add_job(organisation_id) for _ in range(count)]


def count_rows() -> int:
    return db.session.scalars(select(func.count()).select_from(RateReservation)).one()


def test_as_many_as_may_go_at_once_and_the_next_waits_for_the_first_to_be_a_window_old(organisation: UUID) -> None:
    first, second, third, fourth = jobs_of(organisation, 4)
    assert [ask(first, TEN), ask(second, minutes(5)), ask(third, minutes(9))] == [TEN, minutes(5), minutes(9)]
    assert ask(fourth, minutes(10)) == ELEVEN


def test_those_that_wait_get_moments_of_their_own_in_the_order_of_asking(organisation: UUID) -> None:
    jobs = jobs_of(organisation, 10)
    told = [ask(job, minutes(number)) for number, job in enumerate(jobs)]
    hours = [TEN, TEN + HOUR, TEN + 2 * HOUR]
    assert told[:9] == [hour + timedelta(minutes=number) for hour in hours for number in range(3)]
    assert told[9] == TEN + 3 * HOUR


def test_a_job_that_wakes_at_its_moment_goes(organisation: UUID) -> None:
    *before, late = jobs_of(organisation, 4)
    for job in before:
        ask(job, TEN)
    assert ask(late, minutes(1)) == ELEVEN
    assert ask(late, ELEVEN) == ELEVEN


def test_a_job_that_wakes_too_early_keeps_its_place(organisation: UUID) -> None:
    *before, late, last = jobs_of(organisation, 5)
    for number, job in enumerate(before):
        ask(job, minutes(number))
    assert (ask(late, minutes(5)), ask(last, minutes(6))) == (ELEVEN, minutes(61))
    assert (ask(late, minutes(30)), ask(last, minutes(31))) == (ELEVEN, minutes(61))
    assert count_rows() == 5


def test_one_that_comes_new_does_not_take_the_place_of_one_that_has_waited(organisation: UUID) -> None:
    *before, waiting, new = jobs_of(organisation, 5)
    for number, job in enumerate(before):
        ask(job, minutes(number))
    ask(waiting, minutes(5))
    assert ask(new, ELEVEN) == minutes(61)
    assert ask(waiting, minutes(60.5)) == minutes(60.5)


def test_a_request_counts_from_when_it_was_made_and_not_from_when_it_might_have_been(organisation: UUID) -> None:
    first, second, third = jobs_of(organisation, 3)
    assert ask(first, TEN, most=1) == TEN
    assert ask(second, minutes(1), most=1) == ELEVEN
    assert ask(third, minutes(2), most=1) == TEN + 2 * HOUR
    assert ask(second, minutes(70), most=1) == minutes(70)
    assert ask(third, TEN + 2 * HOUR, most=1) == minutes(130)


def test_a_job_that_tries_again_needs_another_request(organisation: UUID) -> None:
    job, other = jobs_of(organisation, 2)
    assert [ask(job, minutes(number)) for number in range(3)] == [minutes(number) for number in range(3)]
    assert ask(other, minutes(3)) == ELEVEN


@pytest.mark.parametrize("state", ["cancelled", "pruned"])
def test_the_place_of_a_job_that_will_not_come_is_given_on(state: str, organisation: UUID) -> None:
    *before, leaving, staying = jobs_of(organisation, 5)
    for number, job in enumerate(before):
        ask(job, minutes(number))
    assert (ask(leaving, minutes(5)), ask(staying, minutes(6))) == (ELEVEN, minutes(61))
    if state == "cancelled":
        reread(leaving).cancel()
    else:
        db.session.delete(reread(leaving))
    db.session.commit()
    assert ask(staying, ELEVEN) == ELEVEN


def test_what_a_job_used_counts_on_when_the_job_is_over(organisation: UUID) -> None:
    *before, late = jobs_of(organisation, 4)
    for job in before:
        ask(job, TEN)
        reread(job).complete({})
        db.session.commit()
    assert ask(late, minutes(1)) == ELEVEN


def test_what_counts_no_more_is_forgotten(organisation: UUID) -> None:
    for number, job in enumerate(jobs_of(organisation, 20)):
        ask(job, TEN + number * HOUR)
    assert count_rows() == 1


def test_another_limit_and_another_organisation_have_requests_of_their_own(organisation: UUID, charlie: Person) -> None:
    ask(add_job(organisation), TEN, most=1)
    assert ask(add_job(organisation), minutes(1), most=1, name="another") == minutes(1)
    with tenant(charlie.organisation_id):
        assert ask(add_job(charlie.organisation_id), minutes(2), most=1) == minutes(2)


def test_a_limit_that_was_lowered_holds_at_once_and_a_raised_one_lets_the_next_go(organisation: UUID) -> None:
    *before, late = jobs_of(organisation, 5)
    for number, job in enumerate(before):
        ask(job, minutes(number), most=4)
    assert ask(late, minutes(10), most=2) == minutes(62)
    assert ask(late, minutes(10), most=5) == minutes(10)


# However late they wake ---------------------------------------------------------------------------


def most_in_any_hour(moments: Sequence[datetime]) -> int:
    return max(sum(1 for other in moments if start <= other < start + HOUR) for start in moments)


@pytest.mark.parametrize("most", [1, 4, 7])
def test_whoever_wakes_late_no_hour_sees_a_request_too_many_and_nobody_is_left_behind(
    most: int, organisation: UUID
) -> None:
    """Every job comes back when it was told to, but between 0 and 40 seconds later."""
    jobs = jobs_of(organisation, 30)
    wakes = {job.id: TEN + timedelta(seconds=number) for number, job in enumerate(jobs)}
    waiting = {job.id: job for job in jobs}
    made: list[datetime] = []
    step = 0
    while waiting:
        job_id = min(waiting, key=lambda one: wakes[one])
        now, step = wakes[job_id], step + 1
        turn = ask(waiting[job_id], now, most=most)
        if turn == now:
            del waiting[job_id]
            made.append(now)
        wakes[job_id] = turn + timedelta(seconds=step * 17 % 41)
    assert most_in_any_hour(made) == most
    rounds = -(-len(jobs) // most) - 1
    assert made[-1] - TEN < rounds * (HOUR + timedelta(minutes=3)) + timedelta(minutes=3)


# All at once --------------------------------------------------------------------------------------


def test_of_many_threads_exactly_so_many_go(organisation: UUID, app: APIFlask) -> None:
    jobs = jobs_of(organisation, 24)

    def ask_in_a_thread(job: Job) -> datetime:
        with app.app_context(), tenant(organisation):
            return ask(job, TEN, most=10)

    with ThreadPoolExecutor(max_workers=12) as threads:
        told = sorted(threads.map(ask_in_a_thread, jobs))
    assert told == [TEN] * 10 + [ELEVEN] * 10 + [TEN + 2 * HOUR] * 4


ASK = """
import sys
from datetime import datetime, timedelta
from uuid import UUID
from webapp.app import create_app
from webapp.extensions import db, tenant
from webapp.jobs.limits import reserve
organisation, jobs = UUID(sys.argv[1]), [UUID(job) for job in sys.argv[2:]]
with create_app().app_context(), tenant(organisation):
    print("ready", flush=True)
    now = datetime.fromisoformat(sys.stdin.readline().strip())
    for number, job in enumerate(jobs):
        moment = now + timedelta(seconds=number)
        turn = reserve(organisation, "test", job, most=10, window=timedelta(hours=1), now=moment)
        db.session.commit()
        print("goes" if turn == moment else turn.isoformat(), flush=True)
"""


def test_of_many_processes_exactly_so_many_go_and_the_others_hear_when_their_turn_comes(organisation: UUID) -> None:
    ids = [str(job.id) for job in jobs_of(organisation, 24)]
    shares = [ids[number::3] for number in range(3)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", ASK, str(organisation), *share],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for share in shares
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(f"{TEN.isoformat()}\n")
        process.stdin.flush()
    said = [line for process in processes for line in process.communicate()[0].split()]
    waiting = sorted(datetime.fromisoformat(line) for line in said if line != "goes")
    assert (len(said), said.count("goes"), len(waiting)) == (24, 10, 14)
    assert ELEVEN <= waiting[0] <= waiting[9] < ELEVEN + timedelta(minutes=1)
    assert waiting[10:] == [moment + HOUR for moment in waiting[:4]]
