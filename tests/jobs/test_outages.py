"""Workers, Redis and PostgreSQL die in the middle of jobs: real processes and servers, nothing lost, nothing twice."""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from tests.jobs.outage_worker import TRACES
from tests.outfit import PATIENCE_SECONDS, Outfit, kill_family, kill_postgres, kill_redis, running_outfit
from webapp.embedded import postgres, redis
from webapp.lib.ids import uuid7
from webapp.lib.redis import broker_client

ADD_JOB = """
    INSERT INTO jobs (organisation_id, id, kind, queue, title, state, parameters, progress_count, attempt_count,
                      attempt_limit, redrive_count, in_chunks, created_at, run_at)
    VALUES (%s, %s, %s, 'jobs', 'A job', 'pending', %s, 0, 0, 3, 0, false, now(), now())
"""


class JobsOutfit(Outfit):
    """An installation, and what its jobs are at."""

    def add(self, kind: str, count: int = 1, **parameters: int) -> list[UUID]:
        ids = [uuid7() for _ in range(count)]
        given = json.dumps({"milliseconds": 0, "steps": 1, **parameters})
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.executemany(ADD_JOB, [(self.organisation_id, job_id, kind, given) for job_id in ids])
        return ids

    def states(self) -> Counter[str]:
        with self.connect() as connection:
            return Counter(row[0] for row in connection.execute("SELECT state FROM jobs"))

    def job(self, job_id: UUID) -> dict[str, Any]:
        columns = ("state", "attempt_count", "result", "error")
        with self.connect() as connection:
            row = connection.execute(f"SELECT {', '.join(columns)} FROM jobs WHERE id = %s", [job_id]).fetchone()
        assert row is not None
        return dict(zip(columns, row, strict=True))

    def outcomes_of(self, job_id: UUID) -> list[str]:
        query = "SELECT outcome FROM job_attempts WHERE job_id = %s ORDER BY number"
        with self.connect() as connection:
            return [row[0] for row in connection.execute(query, [job_id])]

    def traces(self) -> list[str]:
        path = self.settings.data_dir / TRACES
        return path.read_text().splitlines() if path.exists() else []

    def runs(self) -> Counter[UUID]:
        """How often each job's function was called, or made a step."""
        return Counter(UUID(line.split()[0]) for line in self.traces())

    def wait_until_over(self) -> None:
        self.wait(lambda: not {"pending", "retrying", "running"} & set(self.states()))


@pytest.fixture
def outfit() -> Iterator[JobsOutfit]:
    with running_outfit(JobsOutfit) as made:
        yield made


@pytest.mark.timeout(400)
def test_a_job_that_ends_while_postgresql_is_down_is_completed_without_running_again(outfit: JobsOutfit) -> None:
    outfit.start_all()
    (job_id,) = outfit.add("pause", milliseconds=4_000)
    outfit.wait(lambda: outfit.job(job_id)["state"] == "running")
    kill_postgres(outfit)
    broker = broker_client(outfit.settings)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not broker.xlen("jobs:results"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    postgres.start_postgres(outfit.settings)
    outfit.wait_until_over()
    assert outfit.job(job_id) == {"state": "completed", "attempt_count": 1, "result": {"answer": 42}, "error": None}
    assert outfit.runs() == {job_id: 1}


@pytest.mark.timeout(400)
def test_postgresql_dies_under_load_and_every_job_has_run_once(outfit: JobsOutfit) -> None:
    (walk,) = outfit.add("walk", milliseconds=50, steps=200)
    ids = outfit.add("pause", 300, milliseconds=20)
    outfit.start_all()
    outfit.wait(lambda: outfit.states()["completed"] > 50)
    kill_postgres(outfit)
    time.sleep(2)
    postgres.start_postgres(outfit.settings)
    outfit.wait_until_over()
    assert outfit.states() == {"completed": 301}
    assert outfit.runs() == {**dict.fromkeys(ids, 1), walk: 200}
    assert outfit.job(walk)["attempt_count"] == 1, "Work that goes on does not need the database in order to go on."


@pytest.mark.timeout(400)
def test_killed_workers_jobs_run_again_and_no_others_do(outfit: JobsOutfit) -> None:
    ids = outfit.add("pause", 200, milliseconds=50)
    worker = outfit.start_all()
    outfit.wait(lambda: outfit.states()["completed"] > 20)
    kill_family(worker)
    outfit.start("worker")
    outfit.wait_until_over()
    assert outfit.states() == {"completed": 200}
    runs = outfit.runs()
    assert set(runs) == set(ids)
    assert all(runs[job_id] <= outfit.job(job_id)["attempt_count"] for job_id in ids)
    lost = [job_id for job_id in ids if outfit.outcomes_of(job_id) == ["lost", "completed"]]
    again = {job_id for job_id, count in runs.items() if count > 1}
    assert again <= set(lost)
    assert len(lost) <= 4, "No more were lost than the dead workers had threads."


@pytest.mark.timeout(400)
def test_a_job_that_kills_its_worker_is_dead_after_three_tries(outfit: JobsOutfit) -> None:
    (job_id,) = outfit.add("kill_worker")
    outfit.start("system")
    outfit.start("scheduler")
    while outfit.job(job_id)["state"] != "dead":
        worker = outfit.start("worker")
        outfit.wait(lambda: worker.poll() is not None or outfit.job(job_id)["state"] == "dead")  # noqa: B023
    assert outfit.outcomes_of(job_id) == ["lost", "lost", "lost"]
    assert outfit.runs() == {job_id: 3}


@pytest.mark.timeout(400)
def test_redis_loses_everything_and_every_job_still_ends(outfit: JobsOutfit) -> None:
    ids = outfit.add("pause", 200, milliseconds=50)
    outfit.start_all()
    outfit.wait(lambda: outfit.states()["completed"] > 20)
    kill_redis(outfit)
    shutil.rmtree(redis.find_redis(outfit.settings, "broker").folder)
    redis.start_redis(outfit.settings, "broker")
    outfit.wait_until_over()
    assert outfit.states() == {"completed": 200}
    assert set(outfit.runs()) == set(ids)


@pytest.mark.timeout(400)
def test_a_deploy_under_load_loses_and_repeats_nothing(outfit: JobsOutfit) -> None:
    long = outfit.add("walk", 2, milliseconds=50, steps=200)
    short = outfit.add("pause", 400, milliseconds=30)
    old = outfit.start_all()
    outfit.wait(lambda: outfit.states()["completed"] > 30 and len(outfit.traces()) > 100)
    outfit.start("worker")
    old.terminate()
    old.wait(PATIENCE_SECONDS)
    assert old.returncode == 0
    outfit.wait_until_over()
    assert outfit.states() == {"completed": 402}
    runs = outfit.runs()
    assert {job_id: runs[job_id] for job_id in short} == dict.fromkeys(short, 1)
    traces = outfit.traces()
    for job_id in long:
        assert [line.split()[1] for line in traces if line.startswith(str(job_id))] == [str(n) for n in range(200)]
    assert any("handed over" in outfit.outcomes_of(job_id) for job_id in long)


@pytest.mark.timeout(400)
def test_a_job_that_ends_while_redis_is_down_is_completed_without_running_again(outfit: JobsOutfit) -> None:
    outfit.start_all()
    (walk,) = outfit.add("walk", milliseconds=50, steps=200)
    (job_id,) = outfit.add("pause", milliseconds=3_000)
    outfit.wait(lambda: outfit.states()["running"] == 2)
    kill_redis(outfit)
    outfit.wait(lambda: outfit.job(job_id)["state"] == "completed")
    redis.start_redis(outfit.settings, "broker")
    (after,) = outfit.add("pause")
    outfit.wait(lambda: outfit.job(after)["state"] == "completed")
    outfit.wait_until_over()
    assert [outfit.job(one)["attempt_count"] for one in (job_id, walk)] == [1, 1]
    assert outfit.runs() == {job_id: 1, after: 1, walk: 200}
